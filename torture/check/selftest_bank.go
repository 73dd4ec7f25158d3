package check

import "fmt"

// bankOf is an account of the bank of the clean history.
func bankOf(n int) string { return BankAccount("t", n) }

// transacted is a request for a transaction.
func transacted(key string, parts ...Part) Record {
	return Record{Key: key, Op: OpTransaction, Parts: parts, Print: fmt.Sprint(parts)}
}

// committed is the reply of a transaction.
func committed(replayed bool, balances ...int64) Record {
	return Record{Type: OK, Status: 200, Balances: balances, Reply: hash(fmt.Sprint(balances)), Replayed: replayed}
}

func abortedBy(n int, code string, replayed bool) Record {
	return Record{Type: Fail, Status: 422, Code: code, Kind: kindRejected, Refused: bankOf(n), Reply: hash(code + bankOf(n)), Replayed: replayed}
}

// allParts is a read of all accounts.
func allParts() []Part { return []Part{{0, 0}, {1, 0}, {2, 0}, {3, 0}} }

// bankPart leaves the bank with 930, 1050, 1020 and 1000.
func (h *fabricated) bankPart() {
	for n := range 4 {
		h.tell(fileOne, h.ask(fileOne, on(fmt.Sprint("fund", n), OpCredit, bankOf(n), 1000)), left(1000, false))
	}
	move := transacted("move", Part{0, -100}, Part{1, 100})
	h.tell(fileOne, h.ask(fileOne, move), committed(false, 900, 1100))
	other := transacted("move", Part{0, -200}, Part{1, 200})
	h.altered(other)
	// A move and a read are under way at once.
	x, y := h.ask(fileOne, transacted("on", Part{1, -50}, Part{2, 50})), h.ask(fileTwo, transacted("read", allParts()...))
	h.tell(fileTwo, y, committed(false, 900, 1050, 1050, 1000))
	h.tell(fileOne, x, committed(false, 1050, 1050))
	h.tell(fileOne, h.ask(fileOne, transacted("broke", Part{0, -5000}, Part{3, 5000})), abortedBy(0, codeFunds, false))
	// Its reply is lost.
	back := transacted("back", Part{2, -30}, Part{0, 30}, Part{1, 0})
	h.tell(fileOne, h.ask(fileOne, back), lost())
	h.tell(fileOne, h.ask(fileOne, back), committed(true, 1020, 930, 1050))
	h.tell(fileTwo, h.ask(fileTwo, transacted("one", Part{1, 0})), committed(false, 1050))
	x = h.ask(fileOne, transacted("late", Part{0, -7}, Part{2, 7}))
	h.now += 30e9
	h.tell(fileOne, x, abortedBy(2, codeTimeout, false))
	h.tell(fileTwo, h.ask(fileTwo, transacted("read2", allParts()...)), committed(false, 930, 1050, 1020, 1000))
}

// bankEnd is what is asked of the bank at the end.
func (h *fabricated) bankEnd() {
	again := func(r Record, answer Record) {
		r.Phase = PhaseAgain
		h.tell(fileTwo, h.ask(fileTwo, r), answer)
	}
	for n := range 4 {
		again(on(fmt.Sprint("fund", n), OpCredit, bankOf(n), 1000), left(1000, true))
	}
	again(transacted("move", Part{0, -100}, Part{1, 100}), committed(true, 900, 1100))
	again(transacted("on", Part{1, -50}, Part{2, 50}), committed(true, 1050, 1050))
	again(transacted("read", allParts()...), committed(true, 900, 1050, 1050, 1000))
	again(transacted("broke", Part{0, -5000}, Part{3, 5000}), abortedBy(0, codeFunds, true))
	again(transacted("back", Part{2, -30}, Part{0, 30}, Part{1, 0}), committed(true, 1020, 930, 1050))
	again(transacted("one", Part{1, 0}), committed(true, 1050))
	again(transacted("late", Part{0, -7}, Part{2, 7}), abortedBy(2, codeTimeout, true))
	again(transacted("read2", allParts()...), committed(true, 930, 1050, 1020, 1000))
	h.now += 40e9
	last := transacted("last", allParts()...)
	last.Phase = PhaseLast
	h.tell(fileTwo, h.ask(fileTwo, last), committed(false, 930, 1050, 1020, 1000))
	again(last, committed(true, 930, 1050, 1020, 1000))
	h.add(fileOperator, Record{Type: Listed})
	for n, cents := range []int64{930, 1050, 1020, 1000} {
		h.ended(bankOf(n), cents)
	}
}

// tells changes the balances that a transaction told, wherever it did.
func (h *fabricated) tells(key string, balances ...int64) {
	h.each(key, func(r *Record) { *r = with(*r, committed(r.Replayed, balances...)) })
}

// has changes what an account of the bank has at the end.
func (h *fabricated) has(n int, cents int64) {
	h.record(func(r *Record) bool { return r.Type == State && r.Agent == bankOf(n) }, 0).Balance = &cents
}

// never takes a transaction out of the history.
func (h *fabricated) never(key string) {
	for range 2 {
		h.unsent(key, 0)
	}
}

// amount changes a part in all requests for a transaction.
func (h *fabricated) amount(key string, part int, cents int64) {
	for _, file := range h.manifest.Files {
		for i := range h.files[file] {
			if r := &h.files[file][i]; r.Type == Invoke && r.Key == key {
				r.Parts[part].Cents = cents
			}
		}
	}
}

// bankCases are doctored transactions.
var bankCases = []doctoring{
	{"a read in the middle of a transfer", CodeTotalChanged, []string{CodeNotSerializable}, func(h *fabricated) {
		h.tells("read", 900, 1050, 1000, 1000)
	}},
	{"half a transfer", CodeUpdateLost, []string{CodeTotalChanged, CodeStateMismatch}, func(h *fabricated) {
		h.tells("back", 970, 930, 1050)
		h.tells("read2", 930, 1050, 970, 1000)
		h.tells("last", 930, 1050, 970, 1000)
		h.has(2, 970)
	}},
	{"the last half of a transfer", CodeStateMismatch, nil, func(h *fabricated) { h.has(0, 900) }},
	{"half of a transfer is done twice", CodeBalanceUnknown, []string{CodeTotalChanged, CodeStateMismatch}, func(h *fabricated) {
		h.tells("back", 1020, 830, 1050)
		h.tells("read2", 830, 1050, 1020, 1000)
		h.tells("last", 830, 1050, 1020, 1000)
		h.has(0, 830)
	}},
	{"a transfer is done twice", CodeBalanceUnknown, []string{CodeStateMismatch}, func(h *fabricated) {
		h.tells("last", 960, 1050, 990, 1000)
		h.has(0, 960)
		h.has(2, 990)
	}},
	{"a transfer that was acknowledged is lost", CodeUpdateLost, []string{CodeNotSerializable, CodeStateMismatch}, func(h *fabricated) {
		h.tells("on", 950, 1050)
		h.tells("read", 1000, 950, 1050, 1000)
		h.tells("back", 1020, 1030, 950)
		h.tells("one", 950)
		h.tells("read2", 1030, 950, 1020, 1000)
		h.tells("last", 1030, 950, 1020, 1000)
		h.has(0, 1030)
		h.has(1, 950)
	}},
	{"two transfers have not seen each other", CodeUpdateLost, []string{CodeTotalChanged, CodeStateMismatch}, func(h *fabricated) {
		h.tells("back", 1020, 1030, 1050) // of account 0, what was before move
		h.tells("read2", 1030, 1050, 1020, 1000)
		h.tells("last", 1030, 1050, 1020, 1000)
		h.has(0, 1030)
	}},
	{"an aborted transfer is done", CodeBalanceUnknown, []string{CodeStateMismatch}, func(h *fabricated) {
		h.tells("read2", 923, 1050, 1027, 1000)
		h.tells("last", 923, 1050, 1027, 1000)
		h.has(0, 923)
		h.has(2, 1027)
	}},
	{"half of an aborted transfer is seen", CodeBalanceUnknown, []string{CodeTotalChanged}, func(h *fabricated) { h.tells("read2", 923, 1050, 1020, 1000) }},
	{"a read does not see what was answered before", CodeNotSerializable, nil, func(h *fabricated) { h.tells("read2", 900, 1050, 1050, 1000) }},
	{"a read of one does not see what was answered before", CodeNotSerializable, nil, func(h *fabricated) { h.tells("one", 1100) }},
	{"a read sees what was not asked for yet", CodeNotSerializable, nil, func(h *fabricated) { h.tells("read", 930, 1050, 1020, 1000) }},
	{"two reads see two transfers in another order each", CodeNotSerializable, nil, func(h *fabricated) {
		one, two := transacted("y1", Part{0, -5}, Part{1, 5}), transacted("y2", Part{2, -9}, Part{3, 9})
		first, second := transacted("see1", Part{0, 0}, Part{2, 0}), transacted("see2", Part{0, 0}, Part{2, 0})
		ids := make([]string, 4)
		asked := []Record{one, two, first, second}
		for i, r := range asked {
			ids[i] = h.ask(fileOne, r)
		}
		for i, balances := range [][]int64{{925, 1055}, {1011, 1009}, {925, 1020}, {930, 1011}} {
			h.tell(fileOne, ids[i], committed(false, balances...))
			asked[i].Phase = PhaseAgain
			h.tell(fileTwo, h.ask(fileTwo, asked[i]), committed(true, balances...))
		}
		for n, cents := range []int64{925, 1055, 1011, 1009} {
			h.has(n, cents)
		}
	}},
	{"aborted for want of funds that are there", CodeRejectionFalse, nil, func(h *fabricated) {
		h.amount("broke", 0, -10)
		h.amount("broke", 1, 10)
	}},
	{"aborted for want of funds by one that gets some", CodeRejectionFalse, nil, func(h *fabricated) {
		h.each("broke", func(r *Record) { r.Refused = bankOf(3) })
	}},
	{"aborted for its time before that is over", CodeRejectionFalse, nil, func(h *fabricated) { h.answer("late", 0).At -= 1e9 }},
	{"aborted for no reason", CodeRejectionFalse, nil, func(h *fabricated) { h.each("late", func(r *Record) { r.Code = "not_prepared" }) }},
	{"a transaction does not tell all balances", CodeReplyMalformed, nil, func(h *fabricated) { h.tells("move", 900) }},
	{"another transaction gets the reply", CodeConflictMissing, nil, func(h *fabricated) {
		r := h.answer("move", 1)
		*r = with(*r, committed(true, 900, 1100))
	}},
	{"a transaction is executed again", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("move", 2).Replayed = false }},
	{"a transaction changes its reply", CodeReplyChanged, nil, func(h *fabricated) { h.answer("move", 2).Reply = hash("x") }},
	{"an aborted transaction is committed later", CodeOutcomeChanged, nil, func(h *fabricated) {
		r := h.answer("late", 1)
		*r = with(*r, committed(true, 923, 1027))
	}},
	{"an account is held at the end", CodeAccountHeld, []string{CodeDrainIncomplete, unproved("operations")}, func(h *fabricated) {
		for i := range 2 {
			r := h.answer("last", i)
			*r = with(*r, lost())
		}
	}},
	{"an account is held for long at the end", CodeAccountHeld, nil, func(h *fabricated) { h.record(sent("last"), 0).At -= 35e9 }},
	{"a transaction is open at the end", CodeTransactionLeft, nil, func(h *fabricated) {
		h.add(fileOperator, Record{Type: Open, Tx: "x", Text: "committed"})
	}},

	{"nobody listed the transactions at the end", unproved(CodeDrainMissing), nil, func(h *fabricated) { h.remove(typed(Listed, ""), 0) }},
	{"nobody read the bank at the end", unproved(CodeDrainMissing), []string{unproved("operations")}, func(h *fabricated) { h.never("last") }},
	{"a part of no account", unproved(CodeMalformed), nil, func(h *fabricated) { h.record(sent("one"), 0).Parts = []Part{{1, 0}, {4, 0}} }},
	{"transactions wait for each other", unproved("transactions that are decided in time"), nil, func(h *fabricated) {
		h.each("broke", func(r *Record) { *r = with(*r, abortedBy(0, codeTimeout, r.Replayed)) })
		h.answer("broke", 0).At += 30e9
	}},
	{"too few transactions", unproved("transactions"), nil, func(h *fabricated) { h.manifest.Goal.Transactions = 60 }},
	{"no read of the whole bank", unproved("consistent reads of the bank"), []string{unproved("operations")}, func(h *fabricated) {
		h.never("read")
		h.never("read2")
	}},
}

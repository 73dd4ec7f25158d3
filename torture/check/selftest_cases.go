package check

import "bytes"

// cases are the ways in which a history is doctored, each with the code that
// must be found. What else follows of itself is in also.
var cases = []struct {
	name, want string
	also       []string
	doctor     func(*fabricated)
}{
	// What a server could do.
	{"a credit that was acknowledged is lost", CodeNotLinearizable, []string{CodeStateMismatch}, func(h *fabricated) {
		h.each("d1", func(r *Record) { *r = with(*r, left(70, r.Replayed)) })
		h.record(func(r *Record) bool { return r.Balance != nil && *r.Balance == 120 }, 0).Balance = ptr(70)
		h.record(typed(State, ""), 0).Balance = ptr(45)
	}},
	{"the last debit that was acknowledged is lost", CodeStateMismatch, nil, func(h *fabricated) { h.record(typed(State, ""), 0).Balance = ptr(100) }},
	{"a debit is done twice", CodeStateMismatch, nil, func(h *fabricated) { h.record(typed(State, ""), 0).Balance = ptr(90) }},
	{"a transfer's credit is done twice", CodeStateMismatch, nil, func(h *fabricated) { h.record(typed(State, ""), 1).Balance = ptr(40) }},
	{"an amount stays pending", CodeStateMismatch, nil, func(h *fabricated) { h.record(typed(State, ""), 0).Pending = 20 }},
	{"a balance that no order gives", CodeNotLinearizable, nil, func(h *fabricated) {
		h.each("c2", func(r *Record) { *r = with(*r, left(151, r.Replayed)) })
	}},
	{"a stale read", CodeNotLinearizable, nil, func(h *fabricated) {
		h.record(func(r *Record) bool { return r.Type == OK && r.Balance != nil && *r.Balance == 120 && !r.Replayed }, 0).Balance = ptr(150)
	}},
	{"refused for want of funds that are there", CodeNotLinearizable, nil, func(h *fabricated) {
		for i := range 2 {
			h.record(sent("d2"), i).Cents = 10
		}
	}},
	{"a reply changes", CodeReplyChanged, nil, func(h *fabricated) { h.answer("d1", 2).Reply = hash("x") }},
	{"a rejection changes its reason", CodeOutcomeChanged, nil, func(h *fabricated) { h.answer("d2", 1).Code = "invalid_amount" }},
	{"done, and later rejected", CodeOutcomeChanged, nil, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, poor(true))
	}},
	{"executed again at the end", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("c1", 2).Replayed = false }},
	{"both duplicates say that they did it", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("c2", 1).Replayed = false }},
	{"an outcome is forgotten", CodeOutcomeLost, []string{CodeAgainMissing}, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, Record{Type: Info, Status: 409, Code: codeInFlight, Kind: "unknown"})
	}},
	{"the same payload is called a conflict", CodeConflictFalse, []string{CodeOutcomeLost, CodeAgainMissing}, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, Record{Type: Fail, Status: 422, Code: codeConflict, Kind: kindNotDone})
	}},
	{"another payload gets the reply", CodeConflictMissing, nil, func(h *fabricated) {
		r := h.answer("c1", 1)
		*r = with(*r, left(100, true))
	}},
	{"a conflict tells the balance", CodeConflictLeak, nil, func(h *fabricated) {
		h.answer("c1", 1).Text = `{"code":"idempotency_conflict","reply":{"cents":100}}`
	}},
	{"a conflict is the reply", CodeConflictLeak, nil, func(h *fabricated) { h.answer("c1", 1).Text = `{"cents":100}` }},
	{"what is malformed is done", CodeMalformedAccepted, []string{CodeAgainMissing}, func(h *fabricated) {
		r := h.answer("malformed", 0)
		*r = with(*r, Record{Type: OK, Status: 200, Reply: hash("null")})
	}},

	// Effects.
	{"an effect that was acknowledged is lost", CodeEffectLost, nil, func(h *fabricated) { h.remove(typed(Effect, "ask"), 0) }},
	{"an effect is doubled", CodeEffectDoubled, []string{CodeBlindCall}, func(h *fabricated) { h.arrives(Effect, "ask", Ask, ToldDone) }},
	{"an effect that may happen once is doubled", CodeEffectDoubled, []string{CodeBlindCall}, func(h *fabricated) { h.arrives(Effect, "most2", AtMostOnce, ToldNothing) }},
	{"a keyed effect is doubled", CodeEffectDoubled, nil, func(h *fabricated) { h.arrives(Effect, "keyed", Keyed, ToldDone) }},
	{"an effect after a definite failure", CodeEffectAfterFail, nil, func(h *fabricated) {
		h.record(typed(Call, "declined"), 0).Type = Effect
	}},
	{"an effect that nobody asked for", CodeEffectUnasked, nil, func(h *fabricated) { h.arrives(Effect, "nobody", Ask, ToldDone) }},
	{"another amount", CodeEffectMismatch, nil, func(h *fabricated) { h.record(typed(Effect, "ask"), 0).Cents++ }},
	{"an effect of another policy", CodeEffectMismatch, nil, func(h *fabricated) { h.record(typed(Effect, "ask"), 0).Policy = Keyed }},
	{"an effect after its answer", CodeEffectTime, nil, func(h *fabricated) { h.record(typed(Effect, "ask"), 0).At = h.now }},
	{"an effect before it was asked for", CodeEffectTime, nil, func(h *fabricated) { h.record(typed(Effect, "ask"), 0).At = 1 }},
	{"a new effect key for the second call", CodeEffectKeyChanged, nil, func(h *fabricated) { h.record(typed(Call, "keyed"), 0).EffectKey = "another" }},
	{"one effect key for two calls", CodeEffectKeyShared, nil, func(h *fabricated) { h.record(typed(Effect, "most"), 0).EffectKey = "effect of ask" }},
	{"another receipt", CodeReceiptMismatch, nil, func(h *fabricated) { h.each("ask", func(r *Record) { r.Receipt = "receipt of keyed" }) }},
	{"ask is called again blindly", CodeBlindCall, []string{CodeDoubtMissing}, func(h *fabricated) { h.remove(typed(Settle, "ask3"), 0) }},
	{"at_most_once is called again", CodeBlindCall, nil, func(h *fabricated) { h.arrives(Call, "most2", AtMostOnce, ToldNothing) }},
	{"probe is called again without a probe", CodeBlindCall, nil, func(h *fabricated) {
		h.remove(func(r *Record) bool { return r.Type == Probed && !r.Found }, 0)
	}},
	{"a doubt is decided by nobody", CodeDoubtMissing, nil, func(h *fabricated) { h.remove(typed(Settle, "ask2"), 0) }},
	{"a keyed effect is in doubt", CodeDoubtForbidden, nil, func(h *fabricated) { h.doubted("keyed", Keyed); h.early("keyed") }},
	{"a credit is in doubt", CodeDoubtForbidden, nil, func(h *fabricated) {
		r := h.answer("d1", 0)
		*r = with(*r, Record{Type: Info, Status: 409, Code: codeInDoubt, Kind: "unknown"})
	}},
	{"an at_most_once effect was in doubt", CodeDoubtForbidden, nil, func(h *fabricated) { h.settled("most", "done") }},
	{"ask is unknown for good", CodeUnknownForbidden, nil, func(h *fabricated) {
		h.each("ask", func(r *Record) { *r = with(*r, unknown(r.Replayed)) })
	}},
	{"at_most_once is said to be done without an answer", CodeUnknownMissing, nil, func(h *fabricated) {
		h.each("most2", func(r *Record) { *r = with(*r, receipt("most2", r.Replayed)) })
	}},
	{"a doubt is settled against the ledger", CodeSettledWrong, nil, func(h *fabricated) {
		s := h.record(typed(Settle, "ask2"), 0)
		s.Resolution, s.Receipt = "not_done", ""
	}},

	// The end.
	{"a key was never decided", CodeDrainIncomplete, nil, func(h *fabricated) {
		h.tell(fileOne, h.ask(fileOne, on("open", OpCredit, "account/c", 1)), lost())
	}},
	{"a client did not drain", CodeDrainMissing, nil, func(h *fabricated) { h.remove(typed(Drain, ""), 1) }},
	{"nobody looked for doubts at the end", CodeDrainMissing, nil, func(h *fabricated) { h.remove(typed(Looked, ""), 0) }},
	{"a doubt is left", CodeDoubtLeft, nil, func(h *fabricated) { h.add(fileOperator, Record{Type: Doubt, EffectKey: "effect of ask"}) }},
	{"a dead letter is left", CodeDeadLeft, nil, func(h *fabricated) { h.add(fileOperator, Record{Type: Dead, Agent: "account/a"}) }},
	{"an account's end is missing", CodeStateMissing, nil, func(h *fabricated) { h.remove(typed(State, ""), 1) }},
	{"a key was not sent again at the end", CodeAgainMissing, nil, func(h *fabricated) {
		id := h.record(sent("c1"), 2).ID
		h.remove(h.answers(id), 0)
		h.remove(sent("c1"), 2)
	}},

	// The history itself.
	{"an answer before its request", CodeClock, nil, func(h *fabricated) { h.answer("malformed", 0).At = 1 }},
	{"a time after the run", CodeClock, nil, func(h *fabricated) { h.record(typed(Fault, ""), 2).At = h.manifest.Took + 1e9 }},
	{"a file that is cut in a line", CodeTruncated, nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return b[:len(b)-20] }
	}},
	{"a file that is cut between lines", CodeTruncated, nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }
	}},
	{"a line is missing", CodeTruncated, nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }
	}},
	{"a line that is no record", CodeMalformed, nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return bytes.Replace(b, []byte(`"type":"fault"`), []byte(`"type":"foul"`), 1) }
	}},
	{"a request is written twice", CodeDuplicateInvoke, nil, func(h *fabricated) {
		h.add(fileTwo, *h.record(sent("d3"), 0))
	}},
	{"a request is answered twice", CodeDoubleCompletion, nil, func(h *fabricated) { h.add(fileOne, *h.answer("c1", 0)) }},
	{"an answer to nothing", CodeUnmatched, nil, func(h *fabricated) { h.tell(fileOne, "none", left(1, false)) }},
	{"a request without an answer", CodeMissingCompletion, nil, func(h *fabricated) {
		h.remove(h.answers(h.record(sent("d1"), 0).ID), 0)
	}},

	// What proves too little.
	{"too few operations", Inconclusive, nil, func(h *fabricated) { h.manifest.Goal.Operations = 100 }},
	{"too few kills", Inconclusive, nil, func(h *fabricated) { h.manifest.Goal.Kills = 2 }},
	{"no duplicates", Inconclusive, nil, func(h *fabricated) { h.manifest.Goal.Duplicates = 99 }},
	{"no lost replies", Inconclusive, nil, func(h *fabricated) {
		h.remove(func(r *Record) bool { return r.Fault == FaultLostReply }, 0)
		h.manifest.Goal.LostReplies = 20
	}},
}

// with is an answer in the place of another one.
func with(was, now Record) Record {
	now.ID, now.At = was.ID, was.At
	return now
}

// early moves the last request for a key and its answer before the others'
// decisions, so that they say nothing else than that it is in doubt.
func (h *fabricated) early(key string) {
	n := 0
	for _, r := range h.files[fileOne] {
		if r.Type == Invoke && r.Key == key {
			n++
		}
	}
	begun := h.record(sent(key), 0).At
	h.record(sent(key), n-1).At = begun + 1
	h.answer(key, n-1).At = begun + 2
}

func ptr(n int64) *int64 { return &n }

package check

import (
	"bytes"
	"slices"
)

// doctoring is a way in which a history is doctored, with the code that must be
// found. What else follows of itself is in also.
type doctoring struct {
	name, want string
	also       []string
	doctor     func(*fabricated)
}

var cases = slices.Concat(callCases, bankCases)

var callCases = []doctoring{
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
	{"a rejection changes its reason", CodeOutcomeChanged, nil, func(h *fabricated) { h.answer("d2", 2).Code = "invalid_amount" }},
	{"done, and later rejected", CodeOutcomeChanged, nil, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, poor(true))
	}},
	{"executed again at the end", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("c1", 2).Replayed = false }},
	{"both duplicates say that they did it", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("c2", 1).Replayed = false }},
	{"an outcome is forgotten", CodeOutcomeLost, []string{unproved(CodeAgainMissing)}, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, Record{Type: Info, Status: 409, Code: codeInFlight, Kind: "unknown"})
	}},
	{"the same payload is called a conflict", CodeConflictFalse, []string{CodeOutcomeLost, unproved(CodeAgainMissing)}, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, Record{Type: Fail, Status: 422, Code: codeConflict, Kind: kindNotDone})
	}},
	{"another payload gets the reply", CodeConflictMissing, nil, func(h *fabricated) {
		r := h.answer("c1", 1)
		*r = with(*r, left(100, true))
	}},
	{"another payload is answered in doubt", CodeConflictMissing, nil, func(h *fabricated) {
		r := h.answer("ask2", 1)
		*r = with(*r, inDoubt())
	}},
	{"another payload is done before the accepted one is decided", CodeConflictMissing, nil, func(h *fabricated) {
		r := h.answer("accepted", 1)
		*r = with(*r, receipt("accepted", false))
	}},
	{"a conflict tells the balance", CodeConflictLeak, nil, func(h *fabricated) {
		h.answer("c1", 1).Text = `{"code":"idempotency_conflict","reply":{"cents":100}}`
	}},
	{"a conflict is the reply", CodeConflictLeak, nil, func(h *fabricated) { h.answer("c1", 1).Text = `{"cents":100}` }},
	{"what is malformed is done", CodeMalformedAccepted, []string{unproved(CodeAgainMissing)}, func(h *fabricated) {
		r := h.answer("malformed", 0)
		*r = with(*r, Record{Type: OK, Status: 200, Reply: hash("null")})
	}},

	{"an outcome is in doubt after it was decided", CodeOutcomeLost, []string{unproved(CodeAgainMissing)}, func(h *fabricated) {
		r := h.answer("ask2", 3)
		*r = with(*r, inDoubt())
	}},
	{"an outcome is expired after it was decided", CodeOutcomeLost, []string{unproved(CodeAgainMissing)}, func(h *fabricated) {
		r := h.answer("d1", 2)
		*r = with(*r, Record{Type: Fail, Status: 410, Code: "expired", Kind: kindNotDone})
	}},
	{"executed again, when only a replay was heard before", CodeExecutedTwice, nil, func(h *fabricated) { h.answer("d1", 2).Replayed = false }},
	{"not done, and it was", CodeRefusalFalse, nil, func(h *fabricated) { h.answer("busy", 1).Replayed = true }},
	{"not done, and passed on twice at another time", CodeRefusalFalse, []string{CodeNotLinearizable}, func(h *fabricated) {
		h.record(typed(Fault, "busy twice"), 0).At = 1
	}},
	{"not done, and passed on twice later", CodeRefusalFalse, []string{CodeNotLinearizable}, func(h *fabricated) {
		h.record(typed(Fault, "busy twice"), 0).At = h.record(sent("busy effect"), 0).At
	}},
	{"a batch is not done, and none was passed on twice", CodeRefusalFalse, nil, func(h *fabricated) {
		h.record(func(r *Record) bool { return r.Fault == FaultDuplicate && r.Keys != nil }, 0).Keys = []string{"c1"}
	}},
	{"a replay of nothing but itself, by one node", CodeRefusalFalse, nil, func(h *fabricated) { h.answer("moved", 0).Again = false }},
	{"a replay of nothing", CodeRefusalFalse, nil, func(h *fabricated) { h.answer("c1", 0).Replayed = true }},
	{"a read tells what was refused", CodeNotLinearizable, nil, func(h *fabricated) {
		h.record(func(r *Record) bool { return r.Type == OK && r.Balance != nil && *r.Balance == 0 }, 0).Balance = ptr(10)
	}},
	{"a read does not tell what was answered", CodeNotLinearizable, nil, func(h *fabricated) {
		h.record(h.answers(h.record(func(r *Record) bool { return r.Op == OpRead && r.Agent == "account/e" }, 0).ID), 0).Balance = ptr(0)
	}},
	{"a transfer's reply is without the transfer", CodeNotLinearizable, nil, func(h *fabricated) {
		h.each("t1", func(r *Record) { *r = with(*r, left(120, r.Replayed)) })
	}},
	{"an account is overdrawn", CodeNotLinearizable, nil, func(h *fabricated) {
		h.played(on("poor", OpDebit, "account/p", 5), left(-5, false))
		h.ended("account/p", -5)
	}},
	{"a credit without a balance", CodeReplyMalformed, nil, func(h *fabricated) { h.each("c1", func(r *Record) { r.Balance = nil }) }},
	{"a read without a balance", CodeReplyMalformed, nil, func(h *fabricated) {
		h.record(func(r *Record) bool { return r.Type == OK && r.Balance != nil && *r.Balance == 120 && !r.Replayed }, 0).Balance = nil
	}},
	{"an effect without a receipt", CodeReplyMalformed, nil, func(h *fabricated) { h.each("ask", func(r *Record) { r.Receipt = "" }) }},
	{"a credit is rejected", CodeRejectionFalse, nil, func(h *fabricated) {
		h.played(on("gift", OpCredit, "account/g", 5), poor(false))
		h.ended("account/g", 0)
	}},
	{"a debit is rejected for no reason", CodeRejectionFalse, nil, func(h *fabricated) {
		h.each("d2", func(r *Record) { r.Code = "invalid_amount" })
	}},
	{"an effect is rejected for no reason", CodeRejectionFalse, nil, func(h *fabricated) { h.each("declined", func(r *Record) { r.Code = codeFunds }) }},
	{"an effect is rejected that nobody declined", CodeRejectionFalse, nil, func(h *fabricated) { h.record(typed(Call, "declined"), 0).Told = ToldDone }},
	{"an effect is rejected before it was declined", CodeRejectionFalse, nil, func(h *fabricated) { h.record(typed(Call, "declined"), 0).At += 100e6 }},
	{"a conflict tells the balance in quotes", CodeConflictLeak, nil, func(h *fabricated) {
		h.conflicts(`{"code":"idempotency_conflict","detail":"{\"cents\":100}"}`)
	}},
	{"a conflict tells the receipt", CodeConflictLeak, nil, func(h *fabricated) { h.conflicts(`{"detail":"you have paid for ask"}`) }},
	{"a conflict tells some receipt", CodeConflictLeak, nil, func(h *fabricated) { h.conflicts(`{"reply":{"receipt":"paid"}}`) }},
	{"a conflict tells the rejection", CodeConflictLeak, nil, func(h *fabricated) { h.conflicts(`{"detail":"insufficient_funds"}`) }},
	{"a conflict is this key's own", CodeConflictLeak, nil, func(h *fabricated) { h.answer("d2", 1).Text = `{"detail":"you have 70"}` }},

	// Effects.
	{"an effect that was acknowledged is lost", CodeEffectLost, nil, func(h *fabricated) { h.remove(typed(Effect, "busy effect"), 0) }},
	{"an effect is doubled", CodeEffectDoubled, []string{CodeBlindCall}, func(h *fabricated) { h.arrives(Effect, "ask", Ask, ToldDone) }},
	{"an effect that may happen once is doubled", CodeEffectDoubled, []string{CodeBlindCall, CodeEffectTime}, func(h *fabricated) { h.arrives(Effect, "most2", AtMostOnce, ToldNothing) }},
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
	{"another receipt", CodeReceiptMismatch, nil, func(h *fabricated) { h.each("ask", func(r *Record) { r.Receipt = "paid for keyed" }) }},
	{"ask is called again blindly", CodeBlindCall, nil, func(h *fabricated) { h.remove(typed(Settle, "ask3"), 0) }},
	{"at_most_once is called again", CodeBlindCall, []string{CodeEffectTime}, func(h *fabricated) { h.arrives(Call, "most2", AtMostOnce, ToldNothing) }},
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
	{"a doubt is settled with another receipt", CodeSettledWrong, nil, func(h *fabricated) { h.record(typed(Settle, "ask2"), 0).Receipt = "paid for ask" }},
	{"a doubt is settled as done, and it was not", CodeSettledWrong, []string{CodeBlindCall}, func(h *fabricated) {
		h.record(typed(Settle, "ask3"), 0).Resolution = "done"
	}},
	{"the word for the second call came before the first", CodeBlindCall, []string{CodeDoubtFalse}, func(h *fabricated) {
		h.record(typed(Settle, "ask3"), 0).At = h.record(typed(Call, "ask3"), 0).At - 15e6
	}},
	{"the word for the second call came after it", CodeBlindCall, []string{CodeSettledWrong}, func(h *fabricated) {
		h.record(typed(Settle, "ask3"), 0).At = h.record(typed(Effect, "ask3"), 0).At + 15e6
	}},
	{"the probe for the second call came before the first", CodeBlindCall, nil, func(h *fabricated) {
		probed := func(r *Record) bool { return r.Type == Probed && !r.Found }
		h.exchange(typed(Call, "probe2"), probed)
		h.record(probed, 0).At = h.record(typed(Call, "probe2"), 0).At - 1 // its place says enough
	}},
	{"the probe for the second call came after it", CodeBlindCall, nil, func(h *fabricated) {
		h.exchange(typed(Effect, "probe2"), func(r *Record) bool { return r.Type == Probed && !r.Found })
	}},
	{"in doubt, and the outside world had answered", CodeDoubtFalse, nil, func(h *fabricated) { h.record(typed(Effect, "ask2"), 0).Told = ToldDone }},
	{"in doubt long after the server was killed", CodeDoubtFalse, nil, func(h *fabricated) { h.moveKill(0, h.record(sent("late"), 0).At+1e9) }},
	{"in doubt before the server could lose patience", CodeDoubtFalse, nil, func(h *fabricated) { h.answer("slow", 0).At -= 100e6 }},
	{"in doubt once more for no reason", CodeDoubtFalse, nil, func(h *fabricated) {
		s := *h.record(typed(Settle, "ask2"), 0)
		s.At += 20e6
		h.add(fileOperator, s)
	}},
	{"unknown for good, and the outside world had answered", CodeUnknownFalse, nil, func(h *fabricated) { h.record(typed(Effect, "most2"), 0).Told = ToldDone }},
	{"unknown for good before the server was killed", CodeUnknownFalse, []string{CodeEffectTime}, func(h *fabricated) { h.moveKill(1, h.record(sent("late"), 0).At+1e9) }},
	{"called after it was said to be unknown for good", CodeEffectTime, nil, func(h *fabricated) {
		h.record(typed(Effect, "most3"), 0).At += callTime
	}},
	{"an effect of a request that was refused", CodeEffectTime, nil, func(h *fabricated) {
		h.record(typed(Effect, "busy effect"), 0).At = h.answer("busy effect", 0).At
	}},
	{"a doubt is settled against the ledger", CodeSettledWrong, nil, func(h *fabricated) {
		s := h.record(typed(Settle, "ask2"), 0)
		s.Resolution, s.Receipt = "not_done", ""
	}},

	// The end.
	{"a key was never decided", CodeDrainIncomplete, nil, func(h *fabricated) {
		h.tell(fileOne, h.ask(fileOne, on("open", OpCredit, "account/c", 1)), lost())
	}},
	{"a key was refused as long as anybody asked", CodeDrainIncomplete, []string{unproved(CodeStateMissing)}, func(h *fabricated) {
		h.tell(fileOne, h.ask(fileOne, on("open", OpCredit, "account/c", 1)), busy())
	}},
	{"a client gave up keys", CodeDrainIncomplete, nil, func(h *fabricated) { h.record(typed(Drain, ""), 0).Left = 3 }},
	{"a doubt is left", CodeDoubtLeft, nil, func(h *fabricated) { h.add(fileOperator, Record{Type: Doubt, EffectKey: "effect of ask"}) }},
	{"a dead letter is left", CodeDeadLeft, nil, func(h *fabricated) { h.add(fileOperator, Record{Type: Dead, Agent: "account/a"}) }},
	{"the server did not start again", CodeServerLost, []string{unproved("its end")}, func(h *fabricated) {
		h.manifest.Finished, h.manifest.Failed = false, "the server: "+FailedRestart
	}},
	{"a reply changes in a run that was not played to its end", CodeReplyChanged, []string{unproved("its end")}, func(h *fabricated) {
		h.manifest.Finished = false
		h.answer("d1", 2).Reply = hash("x")
	}},
	{"a reply changes in a history with a hole", CodeReplyChanged, []string{unproved(CodeTruncated)}, func(h *fabricated) {
		h.raw[fileLedger] = half
		h.answer("d1", 2).Reply = hash("x")
	}},

	// The history itself.
	{"a client did not drain", unproved(CodeDrainMissing), nil, func(h *fabricated) { h.remove(typed(Drain, ""), 1) }},
	{"nobody looked for doubts at the end", unproved(CodeDrainMissing), nil, func(h *fabricated) { h.remove(typed(Looked, ""), 0) }},
	{"an account's end is missing", unproved(CodeStateMissing), nil, func(h *fabricated) { h.remove(typed(State, ""), 1) }},
	{"a key was not sent again at the end", unproved(CodeAgainMissing), nil, func(h *fabricated) {
		h.unsent("c1", 2)
	}},
	{"a key was sent again at the end, and not answered", unproved(CodeAgainMissing), nil, func(h *fabricated) {
		r := h.answer("c1", 2)
		*r = with(*r, lost())
	}},
	{"the server was killed after the end", unproved(CodeAgainMissing), []string{unproved(CodeStateMissing), unproved(CodeDrainMissing)}, func(h *fabricated) { h.killed() }},
	{"an answer before its request", unproved(CodeClock), nil, func(h *fabricated) { h.answer("malformed", 0).At = 1 }},
	{"a time after the run", unproved(CodeClock), nil, func(h *fabricated) { h.record(typed(Looked, ""), 0).At = h.manifest.Took + 1e9 }},
	{"a fault that was over before it began", unproved(CodeClock), nil, func(h *fabricated) {
		h.record(func(r *Record) bool { return r.Fault == FaultPause }, 0).Until = 1
	}},
	{"a file that is cut in a line", unproved(CodeTruncated), nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return b[:len(b)-20] }
	}},
	{"a file that is cut between lines", unproved(CodeTruncated), nil, func(h *fabricated) {
		h.raw[fileFaults] = func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }
	}},
	{"half of the outside world's ledger is missing", unproved(CodeTruncated), nil, func(h *fabricated) { h.raw[fileLedger] = half }},
	{"a line is missing", unproved(CodeTruncated), nil, func(h *fabricated) {
		h.raw[fileLedger] = func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }
	}},
	{"a line that is no record", unproved(CodeMalformed), nil, func(h *fabricated) {
		h.raw[fileLedger] = func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"type":"effect"`), []byte(`"type":"affect"`), 1)
		}
	}},
	{"a line with a member that is none", unproved(CodeMalformed), nil, func(h *fabricated) {
		h.raw[fileLedger] = func(b []byte) []byte { return bytes.Replace(b, []byte(`"cents":7`), []byte(`"euros":7`), 1) }
	}},
	{"a file that goes on after its end", unproved(CodeMalformed), nil, func(h *fabricated) {
		h.raw[fileLedger] = func(b []byte) []byte { return append(b, `{"type":"looked","at":1}`+"\n"...) }
	}},
	{"a repetition of something else", unproved(CodeMalformed), nil, func(h *fabricated) { h.record(sent("c1"), 2).Print = "another" }},
	{"another payload that is the same", unproved(CodeMalformed), nil, func(h *fabricated) {
		h.record(sent("c1"), 1).Print = h.record(sent("c1"), 0).Print
	}},
	{"a request is written twice", unproved(CodeDuplicateInvoke), nil, func(h *fabricated) {
		h.add(fileTwo, *h.record(sent("d3"), 0))
	}},
	{"a request is answered twice", unproved(CodeDoubleCompletion), nil, func(h *fabricated) { h.add(fileOne, *h.answer("c1", 0)) }},
	{"an answer to nothing", unproved(CodeUnmatched), nil, func(h *fabricated) { h.tell(fileOne, "none", left(1, false)) }},
	{"a request without an answer", unproved(CodeMissingCompletion), nil, func(h *fabricated) {
		h.remove(h.answers(h.record(sent("d1"), 0).ID), 0)
	}},

	// What proves too little.
	{"it was not played to its end", unproved("its end"), nil, func(h *fabricated) {
		h.manifest.Finished, h.manifest.Took = false, 0
		h.remove(typed(Drain, ""), 1)
		h.remove(typed(Looked, ""), 0)
		h.remove(typed(State, ""), 1)
		h.unsent("c1", 2)
	}},
	{"a file was not begun", unproved(CodeTruncated), []string{unproved("its end")}, func(h *fabricated) {
		h.manifest.Finished = false
		h.manifest.Files = append(h.manifest.Files, "client-2.jsonl")
	}},
	{"an operation is refused for good", unproved("operations that the server takes"), nil, func(h *fabricated) { h.forbidden("account/a") }},
	{"an operation is refused for good, passed on twice", unproved("operations that the server takes"), nil, func(h *fabricated) {
		h.forbidden("account/a")
		h.record(sent("forbidden"), 0).At, h.answer("forbidden", 0).At = 1, 2
		h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, Key: "forbidden", At: 1})
	}},
	{"an account of which nothing was taken has no end", unproved(CodeStateMissing), []string{unproved("operations that the server takes")}, func(h *fabricated) {
		h.forbidden("account/f")
	}},
	{"too few operations", unproved("operations"), nil, func(h *fabricated) { h.manifest.Goal.Operations++ }},
	{"too few operations that were not refused", unproved("operations"), []string{unproved("operations that the server takes")}, func(h *fabricated) {
		h.manifest.Goal.Operations++
		h.forbidden("account/a")
	}},
	{"nothing is done", unproved("operations that are done"), nil, func(h *fabricated) {
		for _, file := range h.manifest.Files {
			h.files[file] = nil
		}
		h.manifest.Goal, h.manifest.Bank = Goal{Operations: 1}, nil
		h.add(fileOne, Record{Type: Drain})
		h.add(fileTwo, Record{Type: Drain})
		h.played(on("d", OpDebit, "account/a", 1), poor(false))
		h.ended("account/a", 0)
		h.add(fileOperator, Record{Type: Looked})
	}},
	{"too few kills", unproved("kills"), nil, func(h *fabricated) { h.manifest.Goal.Kills = 4 }},
	{"no duplicates", unproved("operations sent in duplicate"), nil, func(h *fabricated) { h.manifest.Goal.Duplicates = 99 }},
	{"reads are passed on twice", unproved("operations sent in duplicate"), nil, func(h *fabricated) {
		h.manifest.Goal.Duplicates = 26
		h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, At: 1})
		h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, At: 2})
	}},
	{"no lost replies", unproved("lost replies"), nil, func(h *fabricated) {
		h.remove(func(r *Record) bool { return r.Fault == FaultLostReply }, 0)
		h.manifest.Goal.LostReplies = 20
	}},
	{"no other payload is answered", unproved("altered payloads"), []string{unproved("operations")}, func(h *fabricated) {
		h.manifest.Goal = Goal{Operations: 501}
		for _, key := range alteredKeys {
			r := h.answer(key, 1)
			*r = with(*r, lost())
		}
	}},
	{"no effect of a policy", unproved("effects of the policy none"), []string{unproved("operations")}, func(h *fabricated) {
		h.manifest.Goal = Goal{Operations: 501}
		h.manifest.Policies = append(h.manifest.Policies, "none")
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

// half cuts a file in its middle.
func half(b []byte) []byte { return b[:len(b)/2] }

// played is an operation, and the same again at the end.
func (h *fabricated) played(r, answer Record) {
	h.tell(fileOne, h.ask(fileOne, r), answer)
	r.Phase, answer.Replayed = PhaseAgain, true
	h.tell(fileOne, h.ask(fileOne, r), answer)
}

// alteredKeys are the keys of which the second request is another payload.
var alteredKeys = []string{"c1", "d2", "ask", "ask2", "accepted", "move"}

// conflicts makes all conflicts say the same.
func (h *fabricated) conflicts(text string) {
	for _, key := range alteredKeys {
		h.answer(key, 1).Text = text
	}
}

// forbidden is an operation that the server does not take.
func (h *fabricated) forbidden(account string) {
	h.tell(fileOne, h.ask(fileOne, on("forbidden", OpCredit, account, 1)), Record{Type: Fail, Status: 403, Code: "forbidden", Kind: kindNotDone})
}

// moveKill moves the n-th kill to another time.
func (h *fabricated) moveKill(n int, at int64) {
	k := h.record(func(r *Record) bool { return r.Fault == FaultKill }, n)
	k.At, k.Until = at, at+1
}

// unsent removes the n-th request for a key, and its answer.
func (h *fabricated) unsent(key string, n int) {
	h.remove(h.answers(h.record(sent(key), n).ID), 0)
	h.remove(sent(key), n)
}

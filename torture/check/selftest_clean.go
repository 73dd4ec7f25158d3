package check

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

const (
	fileOne, fileTwo = "client-0.jsonl", "client-1.jsonl"
	fileLedger       = "ledger.jsonl"
	fileOperator     = "operator.jsonl"
	fileFaults       = "faults.jsonl"
)

// cleanHistory has everything that happens in a torture at least once, and
// nothing in it is wrong.
func cleanHistory() *fabricated {
	h := &fabricated{
		files: make(map[string][]Record), raw: make(map[string]func([]byte) []byte),
		manifest: Manifest{
			Version: Version, Run: "t", Took: 3600e9, Files: []string{fileOne, fileTwo, fileLedger, fileOperator, fileFaults},
			Policies: []string{Keyed, Probe, AtMostOnce, Ask},
			Goal:     Goal{Operations: 15, Kills: 1, Duplicates: 6, LostReplies: 6},
		},
	}
	h.accountsPart()
	h.effectsPart()
	h.refusalsPart()
	h.faultsPart()
	h.endPart()
	return h
}

// ask writes an invoke and returns its id.
func (h *fabricated) ask(file string, r Record) string {
	h.ids++
	r.Type, r.ID = Invoke, fmt.Sprint(h.ids)
	if r.Print == "" {
		r.Print = fmt.Sprint(r.Op, r.Cents, r.To)
	}
	h.add(file, r)
	return r.ID
}

func (h *fabricated) tell(file, id string, r Record) {
	r.ID = id
	h.add(file, r)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// left is the reply of an account.
func left(cents int64, replayed bool) Record {
	return Record{Type: OK, Status: 200, Balance: &cents, Reply: hash(fmt.Sprintf(`{"cents":%d}`, cents)), Replayed: replayed}
}

func poor(replayed bool) Record {
	return Record{Type: Fail, Status: 422, Code: codeFunds, Kind: kindRejected, Reply: hash(codeFunds), Replayed: replayed}
}

func lost() Record { return Record{Type: Info, Code: "connection_lost", Kind: "unknown"} }

// of are the requests that endPart repeats.
func on(key, op, agent string, cents int64) Record {
	return Record{Key: key, Op: op, Agent: agent, Cents: cents}
}

// accountsPart leaves account/a with 95 and account/b with 20.
func (h *fabricated) accountsPart() {
	a := "account/a"
	h.tell(fileOne, h.ask(fileOne, on("c1", OpCredit, a, 100)), left(100, false))
	// In duplicate, and the replay comes first.
	x, y := h.ask(fileTwo, on("c2", OpCredit, a, 50)), h.ask(fileTwo, on("c2", OpCredit, a, 50))
	h.tell(fileTwo, y, left(150, true))
	h.tell(fileTwo, x, left(150, false))
	// Its reply is lost.
	h.tell(fileOne, h.ask(fileOne, on("d1", OpDebit, a, 30)), lost())
	h.tell(fileOne, h.ask(fileOne, on("d1", OpDebit, a, 30)), left(120, true))
	h.tell(fileOne, h.ask(fileOne, on("d2", OpDebit, a, 1000)), poor(false))
	h.tell(fileTwo, h.ask(fileTwo, on("", OpRead, a, 0)), left(120, false))
	transfer := on("t1", OpTransfer, a, 20)
	transfer.To = "account/b"
	// The transfer and the debit are under way at once.
	x, y = h.ask(fileOne, transfer), h.ask(fileTwo, on("d3", OpDebit, a, 5))
	h.tell(fileTwo, y, left(95, false))
	h.tell(fileOne, x, left(95, false))
	h.tell(fileTwo, h.ask(fileTwo, on("", OpRead, "account/b", 0)), left(20, false))
	altered := on("c1", OpCredit, a, 101)
	altered.Phase = PhaseAltered
	h.tell(fileOne, h.ask(fileOne, altered), Record{Type: Fail, Status: 422, Code: codeConflict, Kind: kindNotDone, Text: `{"code":"idempotency_conflict"}`})
}

// effectOf is a request for an effect.
func effectOf(key, policy string) Record {
	return Record{Key: key, Op: OpEffect, Agent: "effects/" + policy, Policy: policy, Cents: 7}
}

func receipt(key string, replayed bool) Record {
	return Record{Type: OK, Status: 200, Receipt: "receipt of " + key, Reply: hash(key), Replayed: replayed}
}

// arrives is what the outside world notes.
func (h *fabricated) arrives(kind, key, policy, told string) {
	r := Record{Type: kind, Key: key, EffectKey: "effect of " + key, Policy: policy, Cents: 7, Told: told}
	if kind == Effect {
		r.Receipt = "receipt of " + key
	}
	h.add(fileLedger, r)
}

func (h *fabricated) probed(key string, found bool) {
	h.add(fileLedger, Record{Type: Probed, EffectKey: "effect of " + key, Found: found})
}

func (h *fabricated) settled(key, word string) {
	r := Record{Type: Settle, Key: key, EffectKey: "effect of " + key, Resolution: word}
	if word == "done" {
		r.Receipt = "receipt of " + key
	}
	h.add(fileOperator, r)
}

func (h *fabricated) doubted(key, policy string) {
	h.tell(fileOne, h.ask(fileOne, effectOf(key, policy)), Record{Type: Info, Status: 409, Code: codeInDoubt, Kind: "unknown"})
}

func unknown(replayed bool) Record {
	return Record{Type: Info, Status: 409, Code: codeUnknown, Kind: "unknown", Reply: hash(codeUnknown), Replayed: replayed}
}

func (h *fabricated) effectsPart() {
	// The first answer of the outside world is lost; it is called again.
	x := h.ask(fileOne, effectOf("keyed", Keyed))
	h.arrives(Effect, "keyed", Keyed, ToldNothing)
	h.arrives(Call, "keyed", Keyed, ToldDone)
	h.tell(fileOne, x, receipt("keyed", false))
	// Probed, and found.
	x = h.ask(fileTwo, effectOf("probe", Probe))
	h.arrives(Effect, "probe", Probe, ToldNothing)
	h.probed("probe", true)
	h.tell(fileTwo, x, receipt("probe", false))
	// Probed, and not found.
	x = h.ask(fileTwo, effectOf("probe2", Probe))
	h.arrives(Call, "probe2", Probe, ToldNothing)
	h.probed("probe2", false)
	h.arrives(Effect, "probe2", Probe, ToldDone)
	h.tell(fileTwo, x, receipt("probe2", false))
	x = h.ask(fileOne, effectOf("ask", Ask))
	h.arrives(Effect, "ask", Ask, ToldDone)
	h.tell(fileOne, x, receipt("ask", false))
	// In doubt, and it had happened.
	h.doubted("ask2", Ask)
	h.arrives(Effect, "ask2", Ask, ToldNothing)
	h.settled("ask2", "done")
	// In doubt, and it had not.
	h.doubted("ask3", Ask)
	h.arrives(Call, "ask3", Ask, ToldNothing)
	h.settled("ask3", "not_done")
	h.arrives(Effect, "ask3", Ask, ToldDone)
	for _, key := range []string{"ask2", "ask3"} {
		again := effectOf(key, Ask)
		again.Phase = PhaseDrain
		h.tell(fileOne, h.ask(fileOne, again), receipt(key, true))
	}
	x = h.ask(fileTwo, effectOf("most", AtMostOnce))
	h.arrives(Effect, "most", AtMostOnce, ToldDone)
	h.tell(fileTwo, x, receipt("most", false))
	x = h.ask(fileTwo, effectOf("most2", AtMostOnce))
	h.arrives(Effect, "most2", AtMostOnce, ToldNothing)
	h.tell(fileTwo, x, unknown(false))
}

func declined(replayed bool) Record {
	return Record{Type: Fail, Status: 422, Code: "rejected_by_provider", Kind: kindRejected, Reply: hash("402"), Replayed: replayed}
}

func (h *fabricated) refusalsPart() {
	x := h.ask(fileOne, effectOf("declined", Ask))
	h.arrives(Call, "declined", Ask, ToldDeclined)
	h.tell(fileOne, x, declined(false))
	x = h.ask(fileOne, on("malformed", OpMalformed, "account/a", 0))
	h.tell(fileOne, x, Record{Type: Fail, Status: 400, Code: "invalid_request", Kind: kindNotDone})
}

func (h *fabricated) faultsPart() {
	for _, f := range []string{FaultKill, FaultPause, FaultCut, FaultDelay, FaultDuplicate, FaultLostReply, FaultTwice} {
		r := Record{Type: Fault, Fault: f, At: h.tick()}
		if f == FaultKill || f == FaultPause {
			r.Until = h.tick()
		}
		h.add(fileFaults, r)
	}
}

func (h *fabricated) endPart() {
	h.add(fileOne, Record{Type: Drain})
	h.add(fileTwo, Record{Type: Drain})
	again := func(r Record, answer Record) {
		r.Phase = PhaseAgain
		h.tell(fileTwo, h.ask(fileTwo, r), answer)
	}
	a := "account/a"
	again(on("c1", OpCredit, a, 100), left(100, true))
	again(on("c2", OpCredit, a, 50), left(150, true))
	again(on("d1", OpDebit, a, 30), left(120, true))
	again(on("d2", OpDebit, a, 1000), poor(true))
	again(on("d3", OpDebit, a, 5), left(95, true))
	transfer := on("t1", OpTransfer, a, 20)
	transfer.To = "account/b"
	again(transfer, left(95, true))
	for key, policy := range map[string]string{"keyed": Keyed, "probe": Probe, "probe2": Probe, "ask": Ask, "ask2": Ask, "ask3": Ask, "most": AtMostOnce} {
		again(effectOf(key, policy), receipt(key, true))
	}
	again(effectOf("most2", AtMostOnce), unknown(true))
	again(effectOf("declined", Ask), declined(true))
	a95, b20 := int64(95), int64(20)
	h.add(fileOperator, Record{Type: State, Agent: a, Balance: &a95})
	h.add(fileOperator, Record{Type: State, Agent: "account/b", Balance: &b20})
	h.add(fileOperator, Record{Type: Looked})
}

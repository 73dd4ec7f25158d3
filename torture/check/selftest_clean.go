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
			Version: Version, Run: "t", Took: 3600e9, Finished: true, Files: []string{fileOne, fileTwo, fileLedger, fileOperator, fileFaults},
			Policies: []string{Keyed, Probe, AtMostOnce, Ask},
			Bank:     &Bank{Accounts: 4, Cents: 1000, Timeout: 30e9},
			Goal:     Goal{Operations: 40, Kills: 3, Duplicates: 21, LostReplies: 4, Transactions: 20},
		},
	}
	h.accountsPart()
	h.busyPart()
	h.effectsPart()
	h.causesPart()
	h.refusalsPart()
	h.bankPart()
	h.faultsPart()
	h.endPart()
	h.bankEnd()
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

// busy is the answer of a server that has too much to do.
func busy() Record { return Record{Type: Fail, Status: 429, Code: "overloaded", Kind: kindNotDone} }

func inDoubt() Record { return Record{Type: Info, Status: 409, Code: codeInDoubt, Kind: "unknown"} }

// conflict is the answer to another payload.
func conflict() Record {
	return Record{Type: Fail, Status: 422, Code: codeConflict, Kind: kindNotDone, Text: `{"status":422,"code":"idempotency_conflict"}`}
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
	h.altered(on("c1", OpCredit, a, 101))
	h.altered(on("d2", OpDebit, a, 1001))
}

// altered sends another payload.
func (h *fabricated) altered(r Record) {
	r.Phase = PhaseAltered
	h.tell(fileOne, h.ask(fileOne, r), conflict())
}

// busyPart leaves account/d with 23: what was refused did not happen, unless it was
// passed on twice.
func (h *fabricated) busyPart() {
	d := "account/d"
	h.tell(fileOne, h.ask(fileOne, on("busy", OpCredit, d, 10)), busy())
	h.tell(fileTwo, h.ask(fileTwo, on("", OpRead, d, 0)), left(0, false))
	h.tell(fileOne, h.ask(fileOne, on("busy", OpCredit, d, 10)), left(10, false))
	x := h.ask(fileOne, on("busy twice", OpCredit, d, 3))
	h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, Key: "busy twice"})
	h.tell(fileTwo, h.ask(fileTwo, on("", OpRead, d, 0)), left(13, false))
	h.tell(fileOne, x, busy())
	h.tell(fileOne, h.ask(fileOne, on("busy twice", OpCredit, d, 3)), left(13, true))
	batched := on("busy batch", OpCredit, d, 10)
	batched.Batch = 1
	x = h.ask(fileOne, batched)
	h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, Keys: []string{"busy batch"}})
	h.tell(fileOne, x, busy())
	h.tell(fileOne, h.ask(fileOne, on("busy batch", OpCredit, d, 10)), left(23, true))
	h.tell(fileOne, h.ask(fileOne, effectOf("busy effect", Keyed)), busy())
	x = h.ask(fileOne, effectOf("busy effect", Keyed))
	h.arrives(Effect, "busy effect", Keyed, ToldDone)
	h.tell(fileOne, x, receipt("busy effect", false))
	// The one that was sent last is answered first.
	x, y := h.ask(fileOne, on("crossed", OpCredit, "account/e", 1)), h.ask(fileTwo, on("crossed", OpCredit, "account/e", 1))
	h.tell(fileTwo, y, left(1, true))
	h.tell(fileTwo, h.ask(fileTwo, on("", OpRead, "account/e", 0)), left(1, false))
	h.tell(fileOne, x, left(1, false))
	// A copy was faster.
	x = h.ask(fileOne, on("copied", OpCredit, "account/e", 1))
	h.add(fileFaults, Record{Type: Fault, Fault: FaultDuplicate, Key: "copied"})
	h.tell(fileOne, x, left(2, true))
	// One node did it, and another one answered.
	itself := left(3, true)
	itself.Again = true
	h.tell(fileOne, h.ask(fileOne, on("moved", OpCredit, "account/e", 1)), itself)
}

// effectOf is a request for an effect.
func effectOf(key, policy string) Record {
	return Record{Key: key, Op: OpEffect, Agent: "effects/" + policy, Policy: policy, Cents: 7}
}

func receipt(key string, replayed bool) Record {
	return Record{Type: OK, Status: 200, Receipt: "paid for " + key, Reply: hash(key), Replayed: replayed}
}

// arrives is what the outside world notes.
func (h *fabricated) arrives(kind, key, policy, told string) {
	r := Record{Type: kind, Key: key, EffectKey: "effect of " + key, Policy: policy, Cents: 7, Told: told}
	if kind == Effect {
		r.Receipt = "paid for " + key
	}
	h.add(fileLedger, r)
}

func (h *fabricated) probed(key string, found bool) {
	h.add(fileLedger, Record{Type: Probed, EffectKey: "effect of " + key, Found: found})
}

func (h *fabricated) settled(key, word string) {
	r := Record{Type: Settle, Key: key, EffectKey: "effect of " + key, Resolution: word}
	if word == "done" {
		r.Receipt = "paid for " + key
	}
	h.add(fileOperator, r)
}

func (h *fabricated) doubted(key, policy string) {
	h.tell(fileOne, h.ask(fileOne, effectOf(key, policy)), inDoubt())
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
	other := effectOf("ask", Ask)
	other.Cents++
	h.altered(other)
	// In doubt, and it had happened.
	x = h.ask(fileOne, effectOf("ask2", Ask))
	h.arrives(Effect, "ask2", Ask, ToldNothing)
	h.tell(fileOne, x, inDoubt())
	other = effectOf("ask2", Ask)
	other.Cents++
	h.altered(other)
	h.settled("ask2", "done")
	// In doubt, and it had not.
	x = h.ask(fileOne, effectOf("ask3", Ask))
	h.arrives(Call, "ask3", Ask, ToldNothing)
	h.tell(fileOne, x, inDoubt())
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

// causesPart has what nobody can know for other reasons than that the outside world
// gave no answer.
func (h *fabricated) causesPart() {
	h.doubtedBy("killed", func() { h.killed() })
	h.doubtedBy("slow", func() { h.now += 2e9 })
	// Accepted, and used for something else before it is decided.
	h.tell(fileOne, h.ask(fileOne, effectOf("accepted", Keyed)), Record{Type: Info, Status: statusAccepted, Code: codeInFlight, Kind: "unknown"})
	other := effectOf("accepted", Keyed)
	other.Cents++
	h.altered(other)
	h.arrives(Effect, "accepted", Keyed, ToldDone)
	h.tell(fileOne, h.ask(fileOne, effectOf("accepted", Keyed)), receipt("accepted", true))
	// Its call is on its way when the server is killed, and arrives after the answer.
	x := h.ask(fileTwo, effectOf("most3", AtMostOnce))
	h.killed()
	h.tell(fileTwo, x, unknown(false))
	h.arrives(Effect, "most3", AtMostOnce, ToldDone)
}

// doubtedBy is an effect of which the outside world's answer is lost.
func (h *fabricated) doubtedBy(key string, cause func()) {
	x := h.ask(fileOne, effectOf(key, Ask))
	h.arrives(Effect, key, Ask, ToldDone)
	cause()
	h.tell(fileOne, x, inDoubt())
	h.settled(key, "done")
}

func (h *fabricated) killed() {
	at := h.tick()
	h.add(fileFaults, Record{Type: Fault, Fault: FaultKill, At: at, Until: h.tick()})
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
	h.killed()
	at := h.tick()
	h.add(fileFaults, Record{Type: Fault, Fault: FaultPause, At: at, Until: h.tick()})
	for _, f := range []string{FaultCut, FaultDelay, FaultDuplicate, FaultLostReply, FaultTwice} {
		h.add(fileFaults, Record{Type: Fault, Fault: f, Key: "c2"})
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
	again(on("busy", OpCredit, "account/d", 10), left(10, true))
	again(on("busy twice", OpCredit, "account/d", 3), left(13, true))
	again(on("busy batch", OpCredit, "account/d", 10), left(23, true))
	again(on("crossed", OpCredit, "account/e", 1), left(1, true))
	again(on("copied", OpCredit, "account/e", 1), left(2, true))
	again(on("moved", OpCredit, "account/e", 1), left(3, true))
	for _, policy := range []string{Keyed, Probe, AtMostOnce, Ask} {
		for _, key := range receipts[policy] {
			again(effectOf(key, policy), receipt(key, true))
		}
	}
	again(effectOf("most2", AtMostOnce), unknown(true))
	again(effectOf("most3", AtMostOnce), unknown(true))
	again(effectOf("declined", Ask), declined(true))
	h.ended(a, 95)
	h.ended("account/b", 20)
	h.ended("account/d", 23)
	h.ended("account/e", 3)
	h.add(fileOperator, Record{Type: Looked})
}

// receipts are the effects that are done, by policy.
var receipts = map[string][]string{
	Keyed: {"keyed", "busy effect", "accepted"}, Probe: {"probe", "probe2"}, AtMostOnce: {"most"}, Ask: {"ask", "ask2", "ask3", "killed", "slow"},
}

func (h *fabricated) ended(account string, cents int64) {
	h.add(fileOperator, Record{Type: State, Agent: account, Balance: &cents})
}

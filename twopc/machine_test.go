package twopc

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	epoch     = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	testRules = rules{retryBase: time.Second, retryMax: time.Minute, alarmAfter: time.Minute, keep: time.Hour}
)

func agentPart(id string) branch  { return branch{Type: "account", ID: id, Action: "debit"} }
func outsidePart(p string) branch { return branch{Participant: p} }

func begun(t *testing.T, branches ...branch) (*transaction, []order) {
	t.Helper()
	if err := check(branches); err != nil {
		t.Fatal(err)
	}
	tx := &transaction{Tx: "t", Branches: branches}
	return tx, tx.begin(epoch, 30*time.Second)
}

// say words orders: "prepare 1", "commit 2 h".
func say(orders []order) string {
	var words []string
	for _, o := range orders {
		w := map[orderKind]string{askAgent: "ask", askOutside: "prepare", withdraw: "withdraw", alarm: "alarm"}[o.kind]
		if o.kind == tellAgent || o.kind == tellOutside {
			w = "abort"
			if o.commit {
				w = "commit"
			}
		}
		w += " " + branchName(o.branch)
		if o.handle != "" {
			w += " " + o.handle
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

func wants(t *testing.T, what string, orders []order, want string) {
	t.Helper()
	if got := say(orders); got != want {
		t.Errorf("%s: %q is ordered, want %q", what, got, want)
	}
}

func yes(handle string) heard { return heard{verdict: wasDone, handle: handle} }
func failed() heard           { return heard{verdict: wasFailed, detail: "no answer", unsure: true} }
func no(code string) heard    { return heard{verdict: wasNo, refusal: refusal{Code: code}} }

// Agents come one after the other, by their names and not by where they stand in
// the request, and the outside after all of them.
func TestOrderOfAsking(t *testing.T) {
	t.Parallel()
	tx, orders := begun(t, outsidePart("db"), agentPart("b"), agentPart("a"), outsidePart("web"))
	wants(t, "begin", orders, "ask 3")
	wants(t, "a voted", tx.voted(2, yes(""), epoch), "ask 2")
	wants(t, "b voted", tx.voted(1, yes(""), epoch), "prepare 1, prepare 4")
	wants(t, "web voted", tx.voted(3, yes("h4"), epoch), "")
	if tx.State != Undecided {
		t.Fatalf("it is %s before all voted", tx.State)
	}
	wants(t, "db voted", tx.voted(0, yes("h1"), epoch), "commit 1 h1, commit 2, commit 3, commit 4 h4")
	for i := range 4 {
		if !tx.Finished.IsZero() {
			t.Fatalf("it is finished after %d of 4 acknowledgements", i)
		}
		tx.told(i, heard{}, &testRules, epoch)
	}
	if tx.Finished.IsZero() || !tx.forgotten(&testRules, epoch.Add(time.Hour)) || tx.forgotten(&testRules, epoch.Add(time.Hour-1)) {
		t.Errorf("finished at %v", tx.Finished)
	}
}

func TestOneAgentIsOnePhase(t *testing.T) {
	t.Parallel()
	tx, orders := begun(t, agentPart("a"))
	wants(t, "begin", orders, "ask 1")
	if !tx.OnePhase || !tx.next(&testRules).IsZero() {
		t.Errorf("one phase %v, woken at %v", tx.OnePhase, tx.next(&testRules))
	}
	wants(t, "late", tx.woken(&testRules, epoch.Add(time.Hour)), "") // it may have done it
	tx.ended(heard{reply: json.RawMessage(`7`)}, epoch)
	if r, err := tx.outcome(); err != nil || string(r.Replies[0]) != "7" || tx.Finished.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	tx, orders = begun(t, outsidePart("db"))
	wants(t, "one outside", orders, "prepare 1")
	wants(t, "it voted", tx.voted(0, yes("h"), epoch), "commit 1 h")
}

// Replies that cannot all be kept are a no of the coordinator itself.
func TestRepliesAreTooLarge(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), outsidePart("x"))
	tx.voted(0, heard{reply: make(json.RawMessage, maxReplies)}, epoch)
	wants(t, "one byte more", tx.voted(1, heard{handle: "h", reply: make(json.RawMessage, 1)}, epoch), "abort 1, abort 2 h")
	if tx.Refusal.Code != CodeTooLarge || tx.Refusal.Branch != 2 {
		t.Errorf("%+v", tx.Refusal)
	}
}

// A no aborts: who has prepared, or may have, is told, and nobody else.
func TestNoAborts(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), agentPart("b"), outsidePart("db"))
	tx.voted(0, yes(""), epoch)
	wants(t, "b says no", tx.voted(1, no("broke"), epoch), "abort 1")
	if b := &tx.Branches[2]; b.Acked.IsZero() || b.Vote != VoteNone {
		t.Errorf("db was never asked, and is %+v", b)
	}
	if _, err := tx.outcome(); err == nil || !strings.Contains(err.Error(), "broke") {
		t.Error(err)
	}

	// One under way is withdrawn, and told when its answer is there.
	tx, _ = begun(t, outsidePart("x"), outsidePart("y"), outsidePart("z"), outsidePart("q"))
	tx.begun(0, "k")
	tx.voted(1, yes("hy"), epoch)
	tx.voted(3, heard{readOnly: true}, epoch)
	wants(t, "z says no", tx.voted(2, no("broke"), epoch), "withdraw 1, abort 2 hy, abort 3")
	wants(t, "a late yes", tx.voted(0, yes("hx"), epoch), "abort 1 hx")
	tx.told(0, heard{}, &testRules, epoch)
	tx.told(1, heard{}, &testRules, epoch)
	tx.told(2, heard{}, &testRules, epoch)
	if tx.Finished.IsZero() {
		t.Errorf("it is not finished: %+v", tx.Branches)
	}
}

// What a lost call prepared may be there besides what is known.
func TestAbortOfWhatIsNotSure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late heard
		want string
	}{
		"no answer":             {failed(), "abort 1"},
		"no, after a lost call": {heard{verdict: wasNo, unsure: true}, "abort 1"},
		"no, at once":           {no("x"), "abort 1"}, // a call of before a crash is not counted
		"yes, after a lost one": {heard{handle: "h", unsure: true}, "abort 1"},
		"yes, at once":          {yes("h"), "abort 1 h"},
		"nothing to keep":       {heard{readOnly: true}, ""},
		"nothing, but a lost":   {heard{readOnly: true, unsure: true}, "abort 1"},
	} {
		tx, _ := begun(t, outsidePart("x"), outsidePart("y"))
		tx.voted(1, no("broke"), epoch)
		tx.told(1, heard{}, &testRules, epoch)
		if got := say(tx.voted(0, c.late, epoch)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if tx.Finished.IsZero() != (c.want != "") {
			t.Errorf("%s: finished %v", name, tx.Finished)
		}
	}
	// A lost call and a later yes: what is committed is what voted.
	tx, _ := begun(t, outsidePart("x"))
	tx.voted(0, failed(), epoch)
	wants(t, "again", tx.woken(&testRules, tx.next(&testRules)), "prepare 1")
	wants(t, "yes", tx.voted(0, yes("h2"), epoch), "commit 1 h2")
}

// Read-only votes: nothing more outside, and agents are held until the decision.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), agentPart("b"), outsidePart("db"))
	tx.voted(0, heard{readOnly: true}, epoch)
	wants(t, "b", tx.voted(1, heard{readOnly: true}, epoch), "prepare 3")
	wants(t, "db", tx.voted(2, heard{readOnly: true}, epoch), "commit 1, commit 2")
	if tx.State != Committed || tx.Branches[2].Acked.IsZero() {
		t.Errorf("%+v", tx)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), agentPart("b"))
	tx.voted(0, yes(""), epoch)
	if next := tx.next(&testRules); !next.Equal(epoch.Add(30 * time.Second)) {
		t.Errorf("woken at %v", next)
	}
	wants(t, "before", tx.woken(&testRules, epoch.Add(30*time.Second-1)), "")
	// It is asked, and may be prepared at any moment: it is told at once.
	wants(t, "then", tx.woken(&testRules, epoch.Add(30*time.Second)), "abort 1, abort 2")
	if tx.Refusal.Code != CodeTimeout || tx.Refusal.Branch != 2 || !strings.Contains(tx.Refusal.Detail, "account/b did not vote") {
		t.Errorf("%+v", tx.Refusal)
	}
	wants(t, "a late yes", tx.voted(1, yes(""), epoch), "")
	tx.told(0, heard{}, &testRules, epoch)
	tx.told(1, heard{}, &testRules, epoch)
	if tx.Finished.IsZero() {
		t.Error("not finished")
	}
}

// Votes that fail are asked for until the time is over, and the decision is told
// for ever.
func TestRetries(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, outsidePart("x"))
	now, asked := epoch, 1
	for {
		wants(t, "failed", tx.voted(0, failed(), now), "")
		now = tx.next(&testRules)
		if orders := tx.woken(&testRules, now); tx.State == Undecided {
			wants(t, "again", orders, "prepare 1")
			asked++
			continue
		}
		break
	}
	if !now.Equal(tx.Deadline) || asked < 8 || tx.State != Aborted {
		t.Errorf("%s at %v after it was asked %d times", tx.State, now.Sub(epoch), asked)
	}
	for i := range 40 {
		if b := &tx.Branches[0]; !b.Telling || b.Attempts != i+1 {
			t.Fatalf("%d: %+v", i, b)
		}
		tx.told(0, failed(), &testRules, now)
		wait := tx.Branches[0].Again.Sub(now)
		if most := min(time.Second<<min(i, 20), time.Minute); wait < most/2 || wait > most {
			t.Fatalf("after %d attempts it waits %v", i+1, wait)
		}
		now = tx.Branches[0].Again
		if orders := tx.woken(&testRules, now); !strings.HasPrefix(say(orders), "abort 1") {
			t.Fatalf("%d: %q", i, say(orders))
		}
	}
	tx.told(0, heard{}, &testRules, now)
	if tx.Finished.IsZero() {
		t.Error("not finished")
	}
}

// A branch that went the other way is never hidden: it stays until an operator
// has taken note.
func TestHazard(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, outsidePart("x"), outsidePart("y"))
	tx.voted(0, yes("hx"), epoch)
	tx.voted(1, yes("hy"), epoch)
	wants(t, "x was rolled back", tx.told(0, no("rolled_back"), &testRules, epoch), "alarm 1")
	tx.told(1, heard{}, &testRules, epoch)
	if !tx.Finished.IsZero() {
		t.Fatal("it is finished")
	}
	wants(t, "a minute later", tx.woken(&testRules, epoch.Add(time.Minute)), "alarm 1")
	wants(t, "and at once again", tx.woken(&testRules, epoch.Add(time.Minute)), "")
	if _, code, _ := tx.resolve("2", Resolution{Who: "ann", Why: "?", At: epoch}); code != CodeNotNeeded {
		t.Errorf("y: %s", code)
	}
	if _, code, _ := tx.resolve("1", Resolution{Who: "ann", Why: "booked by hand", At: epoch}); code != "" || tx.Finished.IsZero() {
		t.Errorf("%s, %+v", code, tx)
	}
	if i := tx.info(); i.Branches[0].Mixed != "rolled_back" || i.Branches[0].Resolved.Who != "ann" {
		t.Errorf("%+v", i.Branches[0])
	}
}

// An operator gives a branch up whose database is gone.
func TestResolve(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), outsidePart("x"))
	if _, code, _ := tx.resolve("2", Resolution{}); code != CodeUndecided {
		t.Error(code)
	}
	tx.voted(0, yes(""), epoch)
	tx.voted(1, yes("h"), epoch)
	for name, want := range map[string]string{"1": CodeNotNeeded, "3": CodeUnknownBranch, "": CodeUnknownBranch} {
		if _, code, _ := tx.resolve(name, Resolution{}); code != want {
			t.Errorf("%q: %s", name, code)
		}
	}
	tx.begun(1, "k")
	res := Resolution{Who: "ann", Why: "the database burned", At: epoch}
	orders, code, _ := tx.resolve("2", res)
	wants(t, "resolved "+code, orders, "withdraw 2")
	if _, code, _ := tx.resolve("2", res); code != "" {
		t.Errorf("the same again: %s", code)
	}
	if _, code, _ := tx.resolve("2", Resolution{Who: "bob", Why: "?"}); code != CodeNotNeeded {
		t.Errorf("another: %s", code)
	}
	tx.told(0, heard{}, &testRules, epoch)
	if !tx.Finished.IsZero() {
		t.Error("a call is under way, and it is finished")
	}
	wants(t, "its answer", tx.told(1, failed(), &testRules, epoch), "")
	if tx.Finished.IsZero() || !tx.Branches[1].Again.IsZero() {
		t.Errorf("%+v", tx.Branches[1])
	}
}

func TestInquiry(t *testing.T) {
	t.Parallel()
	tx, _ := begun(t, agentPart("a"), outsidePart("x"), outsidePart("y"))
	ask := func(name, handle, want string) {
		t.Helper()
		if got := tx.inquired("t", name, handle); string(got) != want {
			t.Errorf("%s of %q with %q: %s, want %s", tx.State, name, handle, got, want)
		}
	}
	ask("2", "h", "wait")
	tx.voted(0, yes(""), epoch)
	tx.voted(1, yes("h"), epoch)
	ask("2", "h", "wait")
	ask("2", "other", "wait")
	tx.voted(2, heard{readOnly: true}, epoch)
	ask("2", "h", "commit")
	ask("2", "other", "abort")
	ask("2", "", "wait")  // which of those that may be there is not said
	ask("3", "", "abort") // it had nothing to keep
	ask("1", "", "abort") // an agent does not ask
	ask("9", "h", "abort")
	if got := tx.inquired("u", "2", "h"); got != Abort {
		t.Errorf("another transaction: %s", got)
	}
	tx, _ = begun(t, outsidePart("x"), outsidePart("y"))
	tx.voted(0, yes("h"), epoch)
	tx.voted(1, no("broke"), epoch)
	ask("1", "h", "abort")

	tx = &transaction{}
	if got := tx.inquired("t", "1", "h"); got != Abort {
		t.Errorf("an unknown one: %s", got)
	}
	tx.presume("t", epoch)
	tx.presume("t", epoch)
	if tx.State != presumed || tx.is("t") || tx.Inquired != 2 || !tx.forgotten(&testRules, epoch.Add(time.Hour)) {
		t.Errorf("%+v", tx)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	many := make([]branch, MaxParticipants+1)
	for i := range many {
		many[i] = outsidePart("x")
	}
	big := outsidePart("x")
	big.Body = json.RawMessage(`"` + strings.Repeat("x", maxBodies) + `"`)
	wide := make([]branch, MaxParticipants)
	for i := range wide {
		wide[i] = agentPart(fmt.Sprint(i) + strings.Repeat("<", 700)) // six bytes each, in JSON
	}
	for want, branches := range map[string][]branch{
		"1 to 100 participants": {}, "and this one 101": many,
		"bodies have":                 {big},
		"account/a takes part twice":  {agentPart("a"), agentPart("b"), agentPart("a")},
		"names both an agent and":     {{Type: "a", ID: "b", Action: "c", Participant: "x"}},
		"participant 2 names neither": {agentPart("a"), {}},
		"participants have":           wide,
	} {
		if err := check(branches); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := check(many[:MaxParticipants]); err != nil {
		t.Error(err)
	}
}

// The largest state that can come about is well under an agent's limit of 1 MiB.
func TestSizeOfTheState(t *testing.T) {
	t.Parallel()
	branches := make([]branch, MaxParticipants)
	for i := range branches {
		branches[i] = outsidePart(strings.Repeat("p", 200))
		branches[i].Body = json.RawMessage(`"` + strings.Repeat("b", maxBodies/MaxParticipants-2) + `"`)
	}
	tx, _ := begun(t, branches...)
	for i := range branches {
		tx.voted(i, heard{verdict: wasFailed, detail: strings.Repeat("<", 10000)}, epoch)
		tx.Branches[i].Preparing = true
	}
	for i := range branches[1:] {
		tx.voted(i, heard{handle: strings.Repeat("<", maxHandle), reply: json.RawMessage(`"` + strings.Repeat("r", 1300) + `"`)}, epoch)
		tx.Branches[i].Error = text(strings.Repeat("<", maxText)) // an attempt to tell
		tx.Branches[i].Resolved = &Resolution{Who: text(strings.Repeat("é", maxText)), Why: text(strings.Repeat("w", 2*maxText))}
	}
	b, err := json.Marshal(tx)
	if err != nil || len(b) > 800<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	t.Logf("%d bytes", len(b))
}

// TestProtocol drives machines through random schedules: votes in any order,
// answers that get lost, calls that arrive late, participants that say no. In
// the end, when nothing is lost any more, all is over, and all of it happened or
// nothing.
func TestProtocol(t *testing.T) {
	t.Parallel()
	decided := make(map[State]int)
	seeds := uint64(20_000)
	if testing.Short() {
		seeds = 5000
	}
	for seed := range seeds {
		tx, err := protocol(seed)
		if err != nil {
			t.Fatalf("seed %d: %v\n%+v", seed, err, tx)
		}
		decided[tx.State]++
	}
	if decided[Committed] < 500 || decided[Aborted] < 500 || len(decided) != 2 {
		t.Errorf("decided: %v", decided)
	}
}

// flight is something that was ordered and not answered yet.
type flight struct {
	order
	lost bool // the call fails, having had its effect or not
}

// protocol plays one schedule against a model of the participants: what is
// prepared at each, and what became of it.
func protocol(seed uint64) (*transaction, error) {
	r := rand.New(rand.NewPCG(seed, 1))
	var branches []branch
	for i := range 1 + r.IntN(5) {
		b := agentPart(fmt.Sprint(i))
		if r.IntN(2) == 0 || i == 0 {
			b = outsidePart(fmt.Sprint("p", i))
		}
		branches = append(branches, b)
	}
	if err := check(branches); err != nil {
		return nil, err
	}
	tx := &transaction{Tx: fmt.Sprint(seed), Branches: branches}
	prepared := make([]map[string]bool, len(branches)) // handles
	kept := make([]int, len(branches))
	for i := range prepared {
		prepared[i] = make(map[string]bool)
	}
	now := epoch
	var under []flight
	take := func(orders []order) {
		for _, o := range orders {
			if o.kind != withdraw && o.kind != alarm {
				under = append(under, flight{order: o, lost: r.IntN(4) == 0})
			}
		}
	}
	was, calls := Undecided, 0
	take(tx.begin(now, 30*time.Second))
	for round := 0; ; round++ {
		if round > 10_000 {
			return tx, fmt.Errorf("it does not end")
		}
		if tx.State != was && was != Undecided {
			return tx, fmt.Errorf("it was %s and is %s", was, tx.State)
		}
		was = tx.State
		if len(under) == 0 || r.IntN(8) == 0 {
			if next := tx.next(&testRules); !next.IsZero() && tx.Finished.IsZero() {
				now = next
				take(tx.woken(&testRules, now))
				continue
			}
			if len(under) == 0 {
				break
			}
		}
		n := r.IntN(len(under))
		f := under[n]
		under = slices.Delete(under, n, n+1)
		i, outside := f.branch, tx.Branches[f.branch].outside()
		f.lost = f.lost && round < 200 && outside // agents' messages arrive once
		switch f.kind {
		case askAgent, askOutside:
			h := heard{verdict: wasDone}
			switch v := r.IntN(12); {
			case v == 0:
				h = no("no")
			case v == 1:
				h.readOnly = true
			case f.lost && v%2 == 0:
				h = failed()
			default:
				calls++
				if outside {
					h.handle = fmt.Sprint("h", calls)
				}
				prepared[i][h.handle] = true
				if f.lost {
					h = failed()
				}
			}
			take(tx.voted(i, h, now))
		default:
			if f.commit && tx.State != Committed || !f.commit && tx.State != Aborted {
				return tx, fmt.Errorf("branch %d is told %v", i+1, f.commit)
			}
			happens := !f.lost || r.IntN(2) == 0
			if happens && f.commit && prepared[i][f.handle] {
				kept[i]++
			}
			if happens {
				delete(prepared[i], f.handle)
				if f.handle == "" && !f.commit {
					clear(prepared[i])
				}
			}
			h := heard{verdict: wasDone}
			if f.lost {
				h = failed()
			}
			take(tx.told(i, h, &testRules, now))
		}
	}
	return tx, verdictOn(tx, prepared, kept)
}

// verdictOn says what is wrong with the end of a schedule.
func verdictOn(tx *transaction, prepared []map[string]bool, kept []int) error {
	if tx.Finished.IsZero() || !tx.decided() {
		return fmt.Errorf("it is %s and not finished", tx.State)
	}
	for i := range tx.Branches {
		b := &tx.Branches[i]
		want := 0
		if tx.State == Committed && b.Vote == VoteYes {
			want = 1
		}
		if kept[i] != want {
			return fmt.Errorf("branch %d was kept %d times", i+1, kept[i])
		}
		if tx.State == Committed && b.Vote != VoteYes && b.Vote != VoteReadOnly {
			return fmt.Errorf("branch %d voted %q", i+1, b.Vote)
		}
		for h := range prepared[i] {
			// Left over by a call whose answer was lost, beside the one that voted:
			// an inquiry tells that it is to be dropped.
			if tx.State == Aborted || tx.inquired(tx.Tx, branchName(i), h) != Abort {
				return fmt.Errorf("branch %d is left prepared as %q", i+1, h)
			}
		}
	}
	return nil
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// treeOf is what people see of what was followed.
func treeOf(t *testing.T, f *followed, tree func(*treePrinter)) string {
	t.Helper()
	var out, errs bytes.Buffer
	s := &session{printer: newPrinter(&out, &errs, false)}
	if err := s.followed(f, tree); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What is in doubt, or went the other way, is told with who keeps it and what a
// person can do.
func TestFollowATransactionInDoubt(t *testing.T) {
	t.Parallel()
	ago := time.Now().Add(-12 * time.Minute)
	f := &followed{Transaction: &twopc.Info{Tx: "T", State: twopc.Committed, Began: ago, Decided: ago, Branches: []twopc.BranchInfo{
		{Name: "1", Agent: "account/a", Action: "debit", Vote: twopc.VoteYes, Told: ago},
		{Name: "2", Participant: "stock", Vote: twopc.VoteYes, Told: ago, Attempts: 18, Error: "connection\x1b refused", Again: ago},
		{Name: "3", Participant: "old", Vote: twopc.VoteYes, Told: ago, Mixed: "rolled back", Acked: ago},
		{Name: "4", Participant: "gone", Vote: twopc.VoteYes, Told: ago, Resolved: &twopc.Resolution{Who: "ann", Why: "it burnt"}},
	}}, Agents: []followedAgent{{"account/a", "1", 7, true}}, Dead: []client.DeadLetter{{ID: cannedID, Agent: "transaction/x", Action: "voted", Attempts: 10, At: ago, Reason: "it panicked"}}}
	f.adviseTransaction()
	got := treeOf(t, f, f.transactionTree)
	for _, want := range []string{
		"transaction T: in_doubt (committed), began ", "account/a, version 7, is held until it hears of the decision\n",
		"├─ 2 stock : vote yes, told for 12m0s (18 attempts)\n│     last error: connection\\u001b refused\n", "WENT THE OTHER WAY: rolled back", "resolved by ann: it burnt",
		"└─ dead letter " + cannedID + ": voted of transaction/x, 10 attempts, 12m0s ago: it panicked\n",
		"next: mend what made it fail, then: semel dead show " + cannedID,
		"next: stock is told until it acknowledges; if it never will: semel transactions resolve T 2 --why TEXT\n",
		"next: old went the other way: put it right by hand, then: semel transactions resolve T 3 --why TEXT\n",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "2 stock:", "2 stock :"), want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if strings.Contains(got, "resolve T 4") || strings.Contains(got, "resolve T 1") || len(f.Next) != 3 {
		t.Errorf("what needs nobody: %s", got)
	}
}

func TestFollowASagaWithADoubt(t *testing.T) {
	t.Parallel()
	ago := time.Now().Add(-time.Minute)
	f := &followed{Saga: &saga.View{ID: "trip-1", Phase: saga.Running, Version: 2, Started: ago, Undoing: true,
		Failure: &saga.Failure{Step: "pay", Code: "declined", Detail: "no money"},
		Steps: []saga.StepView{
			{Name: "flight", Do: saga.Try{State: saga.Done, Attempts: 1}, Undo: saga.Try{State: saga.Asked, Attempts: 2, Key: cannedID, Asked: ago}},
			{Name: "pay", Pivot: true, Do: saga.Try{State: saga.Rejected, Attempts: 1, Code: "declined"}},
		}}, Doubts: []client.Doubt{{ID: cannedID, Effect: "cancel_flight", Attempts: 1, Asked: ago, Reason: "the line went dead"}}}
	f.adviseSaga()
	got := treeOf(t, f, f.sagaTree)
	for _, want := range []string{
		"saga trip-1: running, version 2, started ", "│  it is being undone\n│  failed: pay declined: no money\n├─ flight: done, 1 attempts",
		"│     undo: asked, 2 attempts", "│     doubt " + cannedID + ": effect cancel_flight, 1 attempts, asked 1m0s ago: the line went dead\n",
		"└─ pay (pivot): rejected", "next: look at the doubt, ask the provider, and settle it: semel doubts show " + cannedID + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
}

package agentsink_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/outbox"
	"github.com/semel-dev/semel/outbox/agentsink"
	"github.com/semel-dev/semel/store/mem"
)

type account struct{ Cents int64 }

type debit struct{ Cents int64 }

func (a *account) debit(_ *semel.Step, in debit) (int64, error) {
	a.Cents -= in.Cents
	return a.Cents, nil
}

// A message that is delivered twice takes effect once; one that no agent will
// ever take is refused.
func TestDeliveredTwice(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	accounts := semel.NewAgent[account](app, "account")
	action := semel.On(accounts, "debit", (*account).debit)
	sink, err := agentsink.New(app, "billing", nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := []outbox.Message{
		{ID: "1", Key: "alice", Topic: "account/debit", Body: json.RawMessage(`{"Cents":5}`)},
		{ID: "2", Key: "bob", Topic: "account/debit", Body: json.RawMessage(`{"Cents":7}`)},
		{ID: "3", Key: "alice", Topic: "nothing"},
		{ID: "4", Key: "alice", Topic: "account/debit", Body: json.RawMessage(`{"Cents":`)},
	}
	for range 2 {
		for i, r := range sink.Deliver(t.Context(), messages) {
			want := outbox.Done
			if i >= 2 {
				want = outbox.Refused
			}
			if r.Verdict != want {
				t.Errorf("message %s: %v %v", messages[i].ID, r.Verdict, r.Err)
			}
		}
	}
	left, err := action.Call(t.Context(), "alice", debit{1}, semel.Key("k"))
	if err != nil || left != -6 {
		t.Errorf("%d cents are left, not -6: %v", left, err)
	}
}

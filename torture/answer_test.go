package torture

import (
	"testing"

	"github.com/semel-dev/semel/torture/check"
)

// What an answer means decides everything else: each is taken for what it says,
// and what is not understood for nothing.
func TestAnswers(t *testing.T) {
	t.Parallel()
	credit := &operation{kind: check.OpCredit}
	effect := &operation{kind: check.OpEffect}
	for _, c := range []struct {
		name   string
		op     *operation
		status int
		body   string
		typ    string
		code   string
		final  bool
		busy   bool
		hash   bool
	}{
		{"done", credit, 200, `{"cents":7}`, check.OK, "", true, false, true},
		{"an effect is done", effect, 200, `{"receipt":"r"}`, check.OK, "", true, false, true},
		{"rejected", credit, 422, `{"code":"insufficient_funds","kind":"rejected","detail":"x"}`, check.Fail, "insufficient_funds", true, false, true},
		{"conflict", credit, 422, `{"code":"idempotency_conflict","kind":"not_done"}`, check.Fail, "idempotency_conflict", false, false, false},
		{"overloaded", credit, 429, `{"code":"overloaded","kind":"not_done"}`, check.Fail, "overloaded", false, true, false},
		{"malformed", credit, 400, `{"code":"invalid_request","kind":"not_done"}`, check.Fail, "invalid_request", false, false, false},
		{"in flight", effect, 409, `{"code":"in_flight","kind":"unknown"}`, check.Info, "in_flight", false, false, false},
		{"accepted", effect, 202, `{"status":"in_flight"}`, check.Info, "in_flight", false, false, false},
		{"in doubt", effect, 409, `{"code":"in_doubt","kind":"unknown"}`, check.Info, "in_doubt", false, false, false},
		{"unknown for good", effect, 409, `{"code":"outcome_unknown","kind":"unknown"}`, check.Info, "outcome_unknown", true, false, true},
		{"of somebody else", credit, 502, `<html>bad gateway</html>`, check.Info, "http_502", false, false, false},
	} {
		r := answered(c.op, c.status, []byte(c.body), true, false)
		if r.Type != c.typ || r.Code != c.code || final(&r) != c.final || busy(&r) != c.busy || (r.Reply != "") != c.hash || !r.Replayed || r.Status != c.status {
			t.Errorf("%s: %+v, final %v, busy %v", c.name, r, final(&r), busy(&r))
		}
	}
	if r := answered(credit, 200, []byte(`{"cents":7}`), false, false); r.Balance == nil || *r.Balance != 7 {
		t.Errorf("the balance is %v", r.Balance)
	}
	if r := answered(effect, 200, []byte(`{"receipt":"r"}`), false, false); r.Receipt != "r" {
		t.Errorf("the receipt is %q", r.Receipt)
	}
	// A reply alone and in a batch is the same; another one is not.
	one, batch := answered(credit, 200, []byte("{\"cents\":7}\n"), false, false), answered(credit, 200, []byte(`{"cents":7}`), true, false)
	if other := answered(credit, 200, []byte(`{"cents":8}`), false, false); one.Reply != batch.Reply || one.Reply == other.Reply {
		t.Errorf("the replies are %q, %q, %q", one.Reply, batch.Reply, other.Reply)
	}
	no, maybe := `{"code":"c","kind":"rejected","detail":"a"}`, `{"code":"c","kind":"rejected","detail":"b"}`
	if a, b := answered(credit, 422, []byte(no), false, false), answered(credit, 422, []byte(maybe), false, false); a.Reply == b.Reply {
		t.Error("another detail of a rejection is not noticed")
	}
}

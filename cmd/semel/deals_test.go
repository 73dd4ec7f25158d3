package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// tripConfig is a server whose saga books a flight, debits an account and pays,
// with a provider that declines more than 500 cents and fails at 13.
func tripConfig(t *testing.T) (file string) {
	t.Helper()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Cents int }
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &in)
		}
		switch {
		case err != nil:
			t.Errorf("%s: %q, %v", r.URL.Path, b, err)
		case r.URL.Path == "/pay" && in.Cents > 500:
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, `{"why":"declined"}`)
		case r.URL.Path == "/mail" && in.Cents == 13:
			w.WriteHeader(http.StatusPaymentRequired)
		default:
			fmt.Fprint(w, `{"id":"F1"}`)
		}
	}))
	t.Cleanup(provider.Close)
	file = filepath.Join(t.TempDir(), "trip.yaml")
	text := strings.ReplaceAll(tripYAML, "URL", provider.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const tripYAML = `
effects:
  book_flight: {url: URL/flight, policy: keyed, allow_private: true}
  cancel_flight: {url: URL/flight/cancel, policy: keyed, allow_private: true}
  pay: {url: URL/pay, policy: keyed, allow_private: true}
  mail: {url: URL/mail, policy: keyed, allow_private: true}
sagas:
  trip:
    timeout: 10m
    steps:
      - name: flight
        effect: book_flight
        body: '{"traveller": {{json .input.traveller}}}'
        undo:
          effect: cancel_flight
          body: '{"flight": {{if has .replies "flight"}}{{json .replies.flight.id}}{{else}}null{{end}}, "fact": {{json .fact}}}'
      - name: account
        agent: account/{{.input.traveller}}
        action: debit
        body: '{"cents": {{json .input.cents}}}'
        undo:
          agent: account/{{.input.traveller}}
          action: credit
          body: '{"cents": {{json .input.cents}}}'
      - name: payment
        effect: pay
        pivot: true
        body: '{"cents": {{json .input.cents}}}'
      - name: mail
        effect: mail
        attempts: 1
        body: '{"cents": {{json .input.cents}}}'
`

func TestVerbsOfTransactions(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.verb(exitOK, "call", "account/alice", "open", `{"cents":1000}`, "--key", "open")
	parts := func(cents int) string {
		return fmt.Sprintf(`[{"agent":"account/alice","action":"debit","body":{"cents":%d}},{"agent":"account/bob","action":"credit","body":{"cents":%[1]d}}]`, cents)
	}
	r := decoded[twopc.Result](t, p.verb(exitOK, "transactions", "run", parts(100), "--key", "t 1"))
	again := decoded[callJSON](t, p.verb(exitOK, "transactions", "run", parts(100), "--key", "t 1", "--json"))
	if !again.Replayed || again.Key != "t 1" || again.Agent != transactionsAgent || !strings.Contains(string(again.Reply), r.Tx) {
		t.Errorf("%+v", again)
	}
	type told struct{ Error failureJSON }
	no := decoded[told](t, p.verb(exitRejected, "transactions", "run", parts(10_000), "--key", "no", "--json"))
	if no.Error.Code != "insufficient_funds" || !strings.Contains(string(no.Error.Data), `"at":"account/alice"`) {
		t.Errorf("%+v", no)
	}
	conflict := decoded[told](t, p.verb(exitNotDone, "transactions", "run", parts(1), "--key", "t 1", "--json"))
	if conflict.Error.Code != "idempotency_conflict" || !strings.Contains(conflict.Error.Next, "`semel explain transaction 't 1'`") {
		t.Errorf("%+v", conflict)
	}
	p.verb(exitUsage, "transactions", "run", "{}")
	p.verb(exitUsage, "transactions", "resolve", r.Tx, "1")
	p.verb(exitNotDone, "transactions", "run", "[]")
	p.verb(exitNotDone, "transactions", "run", `[{"agent":"nothing/x","action":"y"}]`)
	p.verb(exitNotDone, "call", "transaction/x", "resolve", "{}", "--key", "k")

	listed := make(map[twopc.State]int)
	for line := range strings.Lines(p.verb(exitOK, "transactions", "--json")) {
		listed[decoded[twopc.Info](t, line).State]++
	}
	if listed[twopc.Committed] != 1 || listed[twopc.Aborted] != 1 {
		t.Error(listed)
	}
	if got := p.verb(exitOK, "transactions", "list", "--state", "in_doubt", "--json"); got != "" {
		t.Error(got)
	}
	p.verb(exitNotDone, "transactions", "--state", "lost")
	if got := p.verb(exitOK, "transactions", "list", "--state", "committed", "--limit", "1"); !strings.Contains(got, r.Tx+"  committed") {
		t.Error(got)
	}
	if got := decoded[twopc.Info](t, p.verb(exitOK, "transactions", "show", r.Tx, "--json")); got.Tx != r.Tx || len(got.Branches) != 2 {
		t.Errorf("%+v", got)
	}
	if got := p.verb(exitOK, "transactions", "show", r.Tx); !strings.Contains(got, "1 account/alice debit: vote yes, acknowledged ") {
		t.Error(got)
	}
	missing := decoded[told](t, p.verb(exitNotDone, "transactions", "show", "x", "--json"))
	if missing.Error.Code != "unknown_transaction" || !strings.Contains(missing.Error.Next, "`semel transactions`") {
		t.Errorf("%+v", missing)
	}
	refused := decoded[told](t, p.verb(exitRejected, "transactions", "resolve", r.Tx, "1", "--why", "w", "--json"))
	if refused.Error.Code != twopc.CodeNotNeeded {
		t.Errorf("%+v", refused)
	}
	if got := p.verb(exitOK, "transactions", "sweep", "--json"); got != "" {
		t.Error(got)
	}

	for _, what := range []string{"t 1", r.Tx} {
		f := decoded[followed](t, p.verb(exitOK, "explain", "transaction", what, "--json"))
		if f.Transaction == nil || f.Transaction.Tx != r.Tx || len(f.Agents) != 2 || f.Agents[0].Agent != "account/alice" || f.Agents[0].Version == 0 || f.Agents[0].Held || len(f.Next) != 0 {
			t.Errorf("%+v", f)
		}
	}
	if got := p.verb(exitOK, "explain", "transaction", "t 1"); !strings.Contains(got, "├─ 1 account/alice debit: vote yes") || !strings.Contains(got, "└─ 2 account/bob credit") ||
		!strings.Contains(got, "account/bob, version ") || !strings.HasSuffix(got, "next: nothing; it is over\n") {
		t.Error(got)
	}
	if got := p.verb(exitOK, "explain", "transaction", "no"); !strings.Contains(got, "because insufficient_funds: ") {
		t.Error(got)
	}
	p.verb(exitNotDone, "explain", "transaction", "never")
}

func TestVerbsOfSagas(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"), "--config", tripConfig(t))
	p.verb(exitOK, "call", "account/ada", "open", `{"cents":10000}`, "--key", "open")
	input := func(cents int) string { return fmt.Sprintf(`{"traveller":"ada","cents":%d}`, cents) }
	const final = `{"input":{"traveller":"ada","cents":400},"replies":{"account":{"cents":9600},"flight":{"id":"F1"},"mail":{"id":"F1"},"payment":{"id":"F1"}}}`
	if got := p.verb(exitOK, "sagas", "start", "trip", input(400), "--key", "k"); got != final+"\n" {
		t.Error(got)
	}
	if got := decoded[callJSON](t, p.verb(exitOK, "sagas", "start", "trip", input(400), "--key", "k", "--json")); !got.Replayed || string(got.Reply) != final || got.Agent != "sagas/trip" {
		t.Errorf("%+v", got)
	}
	type told struct{ Error failureJSON }
	no := decoded[told](t, p.verb(exitRejected, "sagas", "start", "trip", input(600), "--key", "no", "--json"))
	if no.Error.Code != "rejected_by_provider" || !strings.Contains(string(no.Error.Data), `"step":"payment"`) {
		t.Errorf("%+v", no)
	}
	conflict := decoded[told](t, p.verb(exitNotDone, "sagas", "start", "trip", input(1), "--key", "k", "--json"))
	if !strings.Contains(conflict.Error.Next, "`semel explain saga trip k`") {
		t.Errorf("%+v", conflict)
	}
	unknown := decoded[told](t, p.verb(exitNotDone, "sagas", "start", "nothing", "--json"))
	if unknown.Error.Code != "unknown_saga" {
		t.Errorf("%+v", unknown)
	}

	// One that is parked: its mail was declined behind the pivot.
	waited := decoded[told](t, p.verb(exitUnknown, "sagas", "start", "trip", input(13), "--key", "mail", "--wait", "1s", "--json"))
	if waited.Error.Code != "in_flight" || !strings.Contains(waited.Error.Next, "semel explain saga trip mail") {
		t.Errorf("%+v", waited)
	}
	parked := decoded[saga.View](t, p.verb(exitOK, "sagas", "list", "--phase", "parked", "--json"))
	id := parked.ID
	if got := decoded[struct{ Saga, Key string }](t, p.verb(exitOK, "sagas", "start", "trip", input(13), "--key", "mail", "--async", "--json")); got.Saga != id || got.Key != "mail" {
		t.Errorf("%+v", got)
	}
	if got := p.verb(exitOK, "sagas", "show", id); !strings.Contains(got, "semel sagas resume "+id) {
		t.Error(got)
	}
	for _, args := range [][]string{{"trip", "mail"}, {id}} {
		f := decoded[followed](t, p.verb(exitOK, append([]string{"explain", "saga", "--json"}, args...)...))
		if f.Saga == nil || f.Saga.ID != id || len(f.Next) != 2 || !strings.Contains(f.Next[0], "semel sagas settle "+id+" mail") {
			t.Errorf("%+v", f)
		}
	}
	if got := p.verb(exitOK, "explain", "saga", "trip", "mail"); !strings.Contains(got, "├─ payment (pivot): done") || !strings.Contains(got, "└─ mail: rejected") || !strings.Contains(got, "next: or mend what keeps it") {
		t.Error(got)
	}
	p.verb(exitRejected, "sagas", "cancel", id, "--why", "rain")
	p.verb(exitRejected, "sagas", "settle", id, "flight", "--happened")
	p.verb(exitUsage, "sagas", "settle", id, "mail")
	p.verb(exitUsage, "sagas", "settle", id, "mail", "--happened", "--did-not-happen")
	if got := decoded[struct {
		Saga  string
		Phase saga.Phase
	}](t, p.verb(exitOK, "sagas", "settle", id, "mail", "--happened", "--why", "a letter", "--reply", `"letter"`, "--json")); got.Saga != id || got.Phase != saga.Completed {
		t.Errorf("%+v", got)
	}
	p.verb(exitRejected, "sagas", "resume", id)
	p.verb(exitNotDone, "sagas", "show", "trip-x")
	p.verb(exitNotDone, "sagas", "list", "nothing")
	p.verb(exitNotDone, "explain", "saga", "trip", "never")
	phases := make(map[saga.Phase]int)
	for line := range strings.Lines(p.verb(exitOK, "sagas", "trip", "--json")) {
		phases[decoded[saga.View](t, line).Phase]++
	}
	if phases[saga.Completed] != 2 || phases[saga.Compensated] != 1 {
		t.Error(phases)
	}
	if got := decoded[client.State](t, p.verb(exitOK, "get", "account/ada", "--json")); !strings.Contains(string(got.State), `"cents":9587`) {
		t.Errorf("%+v", got)
	}
	if got := p.verb(exitOK, "explain", "saga", "trip", "no"); !strings.Contains(got, "undo: done") || !strings.HasSuffix(got, "next: nothing; it is over\n") {
		t.Error(got)
	}
}

// What is wrong with sagas is said with the line it is in, before anything runs.
func TestSagasAreChecked(t *testing.T) {
	t.Parallel()
	const steps = "sagas:\n  trip:\n    steps:\n"
	for _, c := range []struct{ yaml, where, want string }{
		{steps + "      - {name: a, effect: none}\n", ":4", `sagas.trip.steps[0].effect: there is no effect "none"`},
		{steps + "      - name: a\n        agent: account/x\n        action: debit\n        undo:\n          effect: none\n", ":8", `sagas.trip.steps[0].undo.effect: there is no effect "none"`},
		{steps + "      - name: a\n        agent: account/x\n        action: debit\n        body: '{{json .input'\n", ":7", "sagas.trip.steps[0].body: "},
		{steps + "      - name: a\n        agent: account/x\n        action: debit\n      - name: b\n        agent: account/{{.input.id\n        action: debit\n", ":8", "sagas.trip.steps[1].agent: "},
		{steps + "      - {name: a, agent: account/x}\n", ":4", "sagas.trip.steps[0]: it needs an effect, or an agent and an action"},
		{steps + "      - {name: a, agent: account, action: debit}\n", ":4", "sagas.trip.steps[0].agent: write it as TYPE/ID"},
		{steps + "      - {name: a, agent: account/x, action: debit, effect: pay}\n", ":4", "and not both"},
		{steps + "      - {name: a, agent: account/x, action: debit, parallel: true}\n", ":4", "sagas.trip.steps[0].parallel: there is no step before it"},
		{steps + "      - {name: a, agent: account/x, action: debit, pivot: true}\n      - {name: b, agent: account/x, action: debit, pivot: true}\n", ":2", "there is a pivot before it already"},
		{steps + "      - {name: a, agent: account/x, action: debit}\n      - {name: a, agent: account/x, action: debit}\n", ":2", "the name is taken"},
		{steps + "      - {name: a, agent: account/x, action: debit, retries: 1}\n", ":4", "retries"},
		{"sagas:\n  trip: {timeout: 1m}\n", ":2", "no stages"},
		{"sagas:\n  bad name: {steps: [{name: a, agent: account/x, action: debit}]}\n", ":2", "the name"},
	} {
		_, err := configure(t.Context(), sourceOf(t, c.yaml, nil))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.where) {
			t.Errorf("%s%v\nwant %s %s", c.yaml, err, c.where, c.want)
		}
	}
}

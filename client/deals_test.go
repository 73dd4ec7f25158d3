package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/twopc"
)

// broker is a real server with transactions and the saga "take", which takes
// cents of an account. It loses as many answers as lose says.
func broker(t *testing.T, lose *atomic.Int32) *bank {
	t.Helper()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	opts := server.Options{Logger: slog.New(slog.DiscardHandler), Transactions: twopc.New(app, nil), Sagas: saga.Register(app, nil)}
	saga.New(opts.Sagas, "take", saga.Version[saga.Document]{Number: 1, Stages: []saga.Stage[saga.Document]{
		saga.Step[saga.Document]{Name: "take", Do: saga.OfAction("account", "debit", func(*saga.Document) (string, error) { return "a/b", nil }, nil)},
	}})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := server.Handler(app, opts)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || lose.Add(-1) < 0 {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &bank{app, srv, newClient(t, srv.URL, Options{Retries: 5})}
}

func debitAndCredit(cents string) []Participant {
	body := json.RawMessage(`{"cents":` + cents + `}`)
	return []Participant{{Agent: "account/a/b", Action: "debit", Body: body}, {Agent: "account/é %", Action: "credit", Body: body}}
}

// However many answers are lost, cents move once, and the answer is that of the
// first time.
func TestTransactWithLostAnswers(t *testing.T) {
	t.Parallel()
	var lose atomic.Int32
	b := broker(t, &lose)
	if _, err := b.c.Call(t.Context(), Request{Agent: "account/a/b", Action: "open", Body: json.RawMessage(`{"cents":100}`)}); err != nil {
		t.Fatal(err)
	}
	lose.Store(3)
	r, reply, err := b.c.Transact(t.Context(), Transaction{Key: "k 1", Participants: debitAndCredit("30")})
	if err != nil || reply.Attempts < 2 || !reply.Replayed || reply.Key != "k 1" || len(r.Replies) != 2 || string(r.Replies[0]) != `{"cents":70}` {
		t.Errorf("%+v, %+v, %v", r, reply, err)
	}
	if a, e := b.cents(t, "a/b"), b.cents(t, "é %"); a != 70 || e != 30 {
		t.Errorf("%d and %d cents", a, e)
	}
	for _, find := range []func() (twopc.Info, error){
		func() (twopc.Info, error) { return b.c.Transaction(t.Context(), r.Tx) },
		func() (twopc.Info, error) { return b.c.FindTransaction(t.Context(), "k 1", "") },
		func() (twopc.Info, error) { return b.c.FindTransaction(t.Context(), "k 1", "anonymous") },
	} {
		if i, err := find(); err != nil || i.Tx != r.Tx || i.State != twopc.Committed || i.Branches[1].Agent != "account/é %" {
			t.Errorf("%+v, %v", i, err)
		}
	}
	_, _, err = b.c.Transact(t.Context(), Transaction{Key: "no", Participants: debitAndCredit("1000"), Timeout: time.Minute})
	if no, ok := twopc.RefusedOf(err); semel.KindOf(err) != semel.KindRejected || !ok || no.At != "account/a/b" {
		t.Errorf("%v", err)
	}
	if _, _, err := b.c.Transact(t.Context(), Transaction{Key: "k 1", Participants: debitAndCredit("31")}); !errors.Is(err, semel.ErrConflict) {
		t.Error(err)
	}
	n := 0
	for i, err := range b.c.Transactions(t.Context(), "committed") {
		if n++; err != nil || i.Tx != r.Tx {
			t.Errorf("%+v, %v", i, err)
		}
	}
	for _, err := range b.c.Transactions(t.Context(), "lost") {
		if n++; !errors.Is(err, semel.ErrInvalidRequest) {
			t.Error(err)
		}
	}
	if n != 2 {
		t.Errorf("%d entries", n)
	}
	for _, tx := range []string{"x/../y", "é?#%", "x"} {
		if _, err := b.c.Transaction(t.Context(), tx); code(err) != "unknown_transaction" {
			t.Errorf("%s: %v", tx, err)
		}
		if err := b.c.ResolveBranch(t.Context(), tx, "1", "why"); code(err) != "unknown_transaction" {
			t.Errorf("%s: %v", tx, err)
		}
	}
	if _, err := b.c.FindTransaction(t.Context(), "never", ""); code(err) != "unknown_transaction" {
		t.Error(err)
	}
	var no *semel.Rejection
	if err := b.c.ResolveBranch(t.Context(), r.Tx, "1", "why"); !errors.As(err, &no) || no.Code != twopc.CodeNotNeeded {
		t.Error(err)
	}
}

func code(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

func TestSagasWithLostAnswers(t *testing.T) {
	t.Parallel()
	var lose atomic.Int32
	b := broker(t, &lose)
	if _, err := b.c.Call(t.Context(), Request{Agent: "account/a/b", Action: "open", Body: json.RawMessage(`{"cents":100}`)}); err != nil {
		t.Fatal(err)
	}
	lose.Store(2)
	request := SagaRequest{Name: "take", Key: `k"1`, Input: json.RawMessage(`{"cents":30}`)}
	id, reply, err := b.c.RunSaga(t.Context(), request)
	if err != nil || !strings.HasPrefix(id, "take-") || reply.Attempts < 2 || !reply.Replayed || reply.Key != `k"1` ||
		string(reply.Body) != `{"input":{"cents":30},"replies":{"take":{"cents":70}}}` {
		t.Errorf("%s, %+v, %v", id, reply, err)
	}
	if again, reply, err := b.c.StartSaga(t.Context(), request); err != nil || again != id || !reply.Replayed {
		t.Errorf("%s, %+v, %v", again, reply, err)
	}
	if cents := b.cents(t, "a/b"); cents != 70 {
		t.Errorf("%d cents", cents)
	}
	undone, _, err := b.c.RunSaga(t.Context(), SagaRequest{Name: "take", Key: "no", Input: json.RawMessage(`{"cents":1000}`)})
	var no *semel.Rejection
	if !errors.As(err, &no) || no.Code != "insufficient_funds" || undone == "" {
		t.Errorf("%s, %v", undone, err)
	}
	for _, find := range []func() (saga.View, error){
		func() (saga.View, error) { return b.c.Saga(t.Context(), id) },
		func() (saga.View, error) { return b.c.FindSaga(t.Context(), "take", `k"1`, "") },
	} {
		if v, err := find(); err != nil || v.ID != id || v.Phase != saga.Completed {
			t.Errorf("%+v, %v", v, err)
		}
	}
	seen := make(map[string]saga.Phase)
	for v, err := range b.c.Sagas(t.Context(), "take", saga.Completed, saga.Compensated) {
		if err != nil {
			t.Fatal(err)
		}
		seen[v.ID] = v.Phase
	}
	if len(seen) != 2 || seen[undone] != saga.Compensated {
		t.Error(seen)
	}
	if all, err := b.c.SagaDefinitions(t.Context()); err != nil || len(all) != 1 || all[0].Name != "take" || all[0].Steps[0] != "take" {
		t.Errorf("%+v, %v", all, err)
	}
	for what, give := range map[string]func(id string) (saga.Phase, error){
		"cancel": func(id string) (saga.Phase, error) { return b.c.CancelSaga(t.Context(), id, "why") },
		"resume": func(id string) (saga.Phase, error) { return b.c.ResumeSaga(t.Context(), id) },
		"settle": func(id string) (saga.Phase, error) {
			return b.c.SettleStep(t.Context(), id, saga.Settlement{Step: "take", Fact: saga.Happened})
		},
	} {
		if _, err := give(id); !errors.As(err, &no) || no.Code != saga.CodeEnded {
			t.Errorf("%s: %v", what, err)
		}
		for _, odd := range []string{"take", "é?#%/x", "take-x"} {
			if _, err := give(odd); code(err) != "unknown_saga" {
				t.Errorf("%s %s: %v", what, odd, err)
			}
		}
	}
	for _, bad := range []SagaRequest{{Name: ""}, {Name: "take", Input: json.RawMessage("{")}, {Name: "take", Key: "k\n"}} {
		if _, _, err := b.c.RunSaga(t.Context(), bad); semel.KindOf(err) != semel.KindNotDone {
			t.Error(err)
		}
	}
	if _, _, err := b.c.RunSaga(t.Context(), SagaRequest{Name: "é/x"}); code(err) != "unknown_saga" {
		t.Error(err)
	}
}

// What is sent, and what is made of answers that a real server seldom gives.
func TestDealsAsTheyAreSent(t *testing.T) {
	t.Parallel()
	var sent string
	answer := func() (*http.Response, error) { return respond(200, `{"tx":"T","replies":[1]}`), nil }
	c := scripted(t, Options{Retries: 2}, func(_ int, r *http.Request, body string) (*http.Response, error) {
		sent = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Idempotency-Key") + " " + body)
		return answer()
	})
	want := func(what string, err error) {
		t.Helper()
		if err != nil || sent != what {
			t.Errorf("%s, %v\nwant %s", sent, err, what)
		}
	}
	_, _, err := c.Transact(t.Context(), Transaction{Key: "k", Participants: []Participant{{Participant: "db", Body: json.RawMessage("1")}}, Timeout: 1500 * time.Millisecond})
	want(`POST /v1/transactions "k" {"participants":[{"participant":"db","body":1}],"timeout":"1.5s"}`, err)
	answer = func() (*http.Response, error) { return respond(204, ""), nil }
	want(`POST /v1/transactions/a%2Fb/resolve  {"branch":"1","why":"w"}`, c.ResolveBranch(t.Context(), "a/b", "1", "w"))
	answer = func() (*http.Response, error) { return respond(200, `{"phase":"running"}`), nil }
	_, err = c.SettleStep(t.Context(), "s/1", saga.Settlement{Step: "a", Fact: saga.Happened, Who: "nobody", Why: "w", Reply: json.RawMessage("1")})
	want(`POST /v1/sagas/s%2F1/settle  {"step":"a","fact":"happened","why":"w","reply":1}`, err)
	_, err = c.ResumeSaga(t.Context(), "s")
	want(`POST /v1/sagas/s/resume`, err)

	answer = func() (*http.Response, error) {
		return respond(200, `{"prepared":[{"participant":"db","tx":"T","branch":"1","resolved":true}],"failed":"other: no line"}`), nil
	}
	var found []Orphan
	for o, e := range c.Sweep(t.Context()) {
		if err = e; e == nil {
			found = append(found, o)
		}
	}
	if len(found) != 1 || !found[0].Resolved || semel.KindOf(err) != semel.KindNotDone || !strings.Contains(err.Error(), "other: no line") {
		t.Errorf("%+v, %v", found, err)
	}
	answer = func() (*http.Response, error) { return respond(200, `{"transactions":[],"sagas":[]}`), nil }
	if _, err := c.FindTransaction(t.Context(), "k", "ann"); semel.KindOf(err) != semel.KindNotDone {
		t.Error(err)
	}
	want("GET /v1/transactions?key=k&principal=ann", nil)
	if _, err := c.FindSaga(t.Context(), "n", "k", ""); semel.KindOf(err) != semel.KindNotDone {
		t.Error(err)
	}
	want("GET /v1/sagas?key=k&name=n", nil)
	answer = func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	if _, _, err := c.Transact(t.Context(), Transaction{Key: "k"}); semel.KindOf(err) != semel.KindUnknown {
		t.Error(err)
	}
	if _, _, err := c.RunSaga(t.Context(), SagaRequest{Name: "n", Key: "k"}); semel.KindOf(err) != semel.KindUnknown {
		t.Error(err)
	}
	if _, _, err := c.Transact(t.Context(), Transaction{Key: "k\n"}); !errors.Is(err, semel.ErrKeyInvalid) {
		t.Error(err)
	}
}

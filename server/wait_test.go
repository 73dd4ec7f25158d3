package server_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// The time in which a request must have arrived is no bound for the wait that
// it prefers. (net/http once ended the context of a request that was read in
// time when that was over.)
func TestWaitOutlastsTheReadTimeout(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const readTimeout = 100 * time.Millisecond
	slow := semel.NewEffect(app, "slow", func(ctx context.Context, _ semel.EffectCall, _ string) (string, error) {
		<-time.After(4 * readTimeout)
		return "late", nil
	})
	agent := semel.NewAgent[int](app, "slow")
	then := semel.Then(agent, "then", func(_ *int, _ *semel.Step, _ none, r semel.Result[string]) (string, error) { return r.Value, r.Err() })
	semel.On(agent, "run", func(_ *int, st *semel.Step, _ none) (string, error) {
		slow.Ask(st, "", then.With(none{}))
		return semel.Defer[string]()
	})
	srv := httptest.NewUnstartedServer(server.Handler(app, server.Options{Wait: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}))
	srv.Config.ReadTimeout = readTimeout
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, app: app, url: srv.URL, http: srv.Client()}
	for _, prefer := range []string{"wait=20", ""} {
		if r := s.do("POST", "/v1/agents/slow/a/run", "{}", "Idempotency-Key", "k"+prefer, "Prefer", prefer); r.status != 200 || r.body != `"late"` {
			t.Errorf("Prefer: %s: %+v", prefer, r)
		}
	}
}

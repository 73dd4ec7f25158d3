package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// FAULTS 64: what a request carries beside its call stays with the request. It
// is not in the message that dies, nor in the effect that is in doubt, nor in
// what is told of them.
func TestSecretsStayWithTheRequest(t *testing.T) {
	t.Parallel()
	const token = "canary-token-4be1"
	secrets := map[string]string{
		"Authorization": "Bearer " + token, "Cookie": "s=canary-cookie-77aa", "Proxy-Authorization": "Basic canary-basic-0c9d",
		"X-Api-Key": "canary-api-key-91f2", "Baggage": "secret=canary-baggage-5d3e",
	}
	var headers []string
	for name, value := range secrets {
		headers = append(headers, name, value)
	}
	auth := users{token: {Tenant: "default", Name: "anna", Roles: server.AllRoles}}
	var log safeBuffer
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	var seen safeBuffer
	var heal atomic.Bool
	s := serve(t, semel.Config{
		MaxAttempts: 1, TracerProvider: provider,
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, server.Options{Auth: auth}, troubles(&heal, func(c semel.EffectCall) { fmt.Fprintf(&seen, "%+v\n", c) }))
	for _, action := range []string{"ask", "die"} {
		path := "/v1/agents/stuck/x/" + action
		with := append([]string{"Idempotency-Key", action}, headers...)
		same(t, action, s.do("POST", path, "1", append(with, "Prefer", "respond-async")...).status, 202)
		same(t, action, s.until(`"in_flight"`, func() response { return s.do("POST", path, "1", with...) }).status, 409)
	}
	out := make(map[string]string)
	for _, path := range []string{"/v1/dead", "/v1/doubts", "/v1/agents?type=stuck", "/v1/agents/stuck/x/keys", "/v1/outcomes/stuck/x?key=die", "/metrics"} {
		r := s.do("GET", path, "", headers...)
		same(t, path, r.status, 200)
		if out[path] = r.body; strings.Contains(fmt.Sprint(r.header), "canary") {
			t.Errorf("the header of %s has a secret: %v", path, r.header)
		}
	}
	for letter, err := range s.app.DeadLetters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out["a dead letter"] += fmt.Sprintf("%+v %s", letter, letter.Body)
	}
	for d, err := range s.app.Doubts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out["a doubt"] += fmt.Sprintf("%+v", d)
	}
	out["the log"], out["what the effect was given"], out["the spans"] = log.String(), seen.String(), fmt.Sprintf("%+v", spans.GetSpans())
	for what := range out {
		if out[what] == "" || strings.HasPrefix(out[what], `{"dead_letters":[]`) || strings.HasPrefix(out[what], `{"doubts":[]`) {
			t.Errorf("%s is empty: %q", what, out[what])
		}
		if i := strings.Index(out[what], "canary"); i >= 0 {
			t.Errorf("%s has a secret: …%s…", what, out[what][max(0, i-100):min(len(out[what]), i+100)])
		}
	}
}

// safeBuffer is a buffer for several writers.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

package webeffect_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

// The provider is told which trace its call belongs to.
func TestTraceGoesOverToTheProvider(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	provider := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Traceparent")
	}))
	defer provider.Close()
	tracing := sdktrace.NewTracerProvider()
	app, err := semel.Open(t.Context(), mem.New(), &semel.Config{TracerProvider: tracing})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(context.Background())
	if err := webeffect.Register(app, map[string]webeffect.Spec{"pay": {URL: provider.URL, AllowPrivate: true}}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, span := tracing.Tracer("test").Start(t.Context(), "root")
	defer span.End()
	if _, err := app.Do(ctx, semel.Request{Type: webeffect.AgentType, ID: "pay", Action: webeffect.Action, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	trace := span.SpanContext()
	if got := <-seen; !strings.Contains(got, trace.TraceID().String()) || strings.Contains(got, trace.SpanID().String()) {
		t.Errorf("the provider was told %q; the trace is %s, and its parent a span of its own", got, trace.TraceID())
	}
}

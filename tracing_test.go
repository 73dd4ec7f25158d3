package semel_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// One trace has all that one call caused, in the order of causes: through a
// message to another agent, an effect, its answer, and the answer to the first.
func TestTrace(t *testing.T) {
	t.Parallel()
	seen := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(seen))
	app, err := semel.Open(t.Context(), mem.New(), &semel.Config{TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(context.Background())
	var outside trace.SpanContext
	charge := semel.NewEffect(app, "charge", func(ctx context.Context, _ semel.EffectCall, n int) (int, error) {
		outside = trace.SpanContextFromContext(ctx)
		return n, nil
	})
	type state struct{ N int }
	bank := semel.NewAgent[state](app, "bank")
	charged := semel.Then(bank, "charged", func(st *state, s *semel.Step, _ struct{}, r semel.Result[int]) (int, error) {
		return r.Value, r.Err()
	})
	pay := semel.On(bank, "pay", func(st *state, s *semel.Step, n int) (int, error) {
		charge.Ask(s, n, charged.With(struct{}{}))
		return semel.Defer[int]()
	})
	shop := semel.NewAgent[state](app, "shop")
	paid := semel.Then(shop, "paid", func(st *state, s *semel.Step, _ struct{}, r semel.Result[int]) (int, error) {
		return r.Value + 1, r.Err()
	})
	buy := semel.On(shop, "buy", func(st *state, s *semel.Step, n int) (int, error) {
		pay.Ask(s, "b", n, paid.With(struct{}{}))
		return semel.Defer[int]()
	})
	ctx, root := provider.Tracer("test").Start(t.Context(), "root")
	if got, err := buy.Call(ctx, "s", 7, semel.Key("secret-key")); err != nil || got != 8 {
		t.Fatal(got, err)
	}
	root.End()
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range seen.Ended() {
		spans[s.Name()] = s
		if s.SpanContext().TraceID() != root.SpanContext().TraceID() {
			t.Errorf("%s is in another trace", s.Name())
		}
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "secret") {
				t.Errorf("%s tells the key: %v", s.Name(), a)
			}
		}
	}
	parent := "root"
	for _, name := range []string{"call shop.buy", "process shop.buy", "process bank.pay", "call charge"} {
		s, p := spans[name], spans[parent]
		if s == nil || p == nil || s.Parent().SpanID() != p.SpanContext().SpanID() {
			t.Errorf("%q is not caused by %q", name, parent)
		}
		parent = name
	}
	for _, name := range []string{"process bank.charged", "process shop.paid"} {
		if spans[name] == nil {
			t.Errorf("there is no span %q", name)
		}
	}
	if s := spans["call charge"]; s != nil && !outside.Equal(s.SpanContext()) {
		t.Error("the effect's function does not see its span")
	}
	if calls := slices.DeleteFunc(seen.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() != "call charge" }); len(calls) != 1 {
		t.Errorf("%d calls of the effect", len(calls))
	}
}

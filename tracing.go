package semel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// tracing makes spans (OpenTelemetry) of calls, steps and effects, if
// Config.TracerProvider says where to. The context of a span travels with what
// the step sends and asks for, durably, as a W3C traceparent: so one trace
// shows what one call caused, also by another process after a crash. A step
// that is tried again, and an effect that is called again, has a span for each
// attempt. A nil *tracing traces nothing.
type tracing struct{ tracer trace.Tracer }

func newTracing(p trace.TracerProvider) *tracing {
	if p == nil {
		return nil
	}
	return &tracing{p.Tracer("github.com/semel-dev/semel")}
}

var traceContext propagation.TraceContext

const traceparent = "traceparent"

// textOf is the traceparent of a context's span; empty if it has none.
func textOf(ctx context.Context) string {
	c := make(propagation.MapCarrier, 2)
	traceContext.Inject(ctx, c)
	return c[traceparent]
}

// under is ctx with a traceparent's span as the parent of what follows.
func under(ctx context.Context, text string) context.Context {
	if text == "" {
		return ctx
	}
	return traceContext.Extract(ctx, propagation.MapCarrier{traceparent: text})
}

// call begins the span of a call from outside.
func (t *tracing) call(ctx context.Context, m *message.Message) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, "call "+m.To.Type+"."+m.Action, trace.WithSpanKind(trace.SpanKindClient), about(m, "send"))
	m.Trace = textOf(ctx)
	return ctx, func(err error) { end(span, KindOf(err), err) }
}

// one gives a message of a batch the trace of whoever sends the batch.
func (t *tracing) one(ctx context.Context, m *message.Message) {
	if t != nil {
		m.Trace = textOf(ctx)
	}
}

// step begins the span of a step, if its message belongs to a trace; else it
// returns nil.
func (t *tracing) step(s *core.Step) func(core.Result) {
	m := s.Message()
	if t == nil || m.Trace == "" {
		return nil
	}
	ctx, span := t.tracer.Start(under(context.Background(), m.Trace), "process "+m.To.Type+"."+m.Action,
		trace.WithSpanKind(trace.SpanKindConsumer), about(m, "process"))
	s.SetTrace(textOf(ctx))
	return func(r core.Result) {
		if r.Verdict == core.Failed {
			span.SetStatus(codes.Error, "the step failed")
		}
		if r.Code != "" {
			span.SetAttributes(attribute.String("semel.code", r.Code))
		}
		span.End()
	}
}

// effect begins the span of a call or a probe of an effect.
func (t *tracing) effect(ctx context.Context, job core.EffectJob) (context.Context, func(core.EffectResult)) {
	if t == nil || job.Trace == "" {
		return ctx, func(core.EffectResult) {}
	}
	verb := "call "
	if job.Probe {
		verb = "probe "
	}
	ctx, span := t.tracer.Start(under(ctx, job.Trace), verb+job.Name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("semel.effect", job.Name), attribute.String("semel.agent.type", job.Agent.Type), attribute.Int("semel.attempt", job.Attempt)))
	return ctx, func(r core.EffectResult) {
		if r.Status == 0 { // it panicked
			r.Status = message.StatusUnknown
		}
		span.SetAttributes(attribute.String("semel.status", r.Status.String()))
		if r.Status == message.StatusUnknown || r.Status == message.StatusNotDone {
			span.SetStatus(codes.Error, r.Status.String())
		}
		span.End()
	}
}

// about describes a message by the conventions for messaging. It has no key, no
// id and no body: what is in a trace is read by many.
func about(m *message.Message, operation string) trace.SpanStartOption {
	return trace.WithAttributes(
		attribute.String("messaging.system", "semel"),
		attribute.String("messaging.operation.name", operation),
		attribute.String("messaging.destination.name", m.To.Type+"."+m.Action),
	)
}

func end(span trace.Span, kind Kind, err error) {
	if err != nil {
		span.SetAttributes(attribute.String("semel.kind", kind.String()))
		if kind != KindRejected {
			span.SetStatus(codes.Error, kind.String())
		}
	}
	span.End()
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
)

// traces sends spans to a collector. The zero value sends none.
type traces struct {
	provider trace.TracerProvider // nil without a collector
	sdk      *sdktrace.TracerProvider
	log      *slog.Logger
}

// startTraces begins to send spans to the endpoint, if one is configured. A
// collector that does not answer costs spans and nothing else: they are sent
// behind the calls, from a queue of bounded size.
func startTraces(ctx context.Context, c otlpConfig, log *slog.Logger) (*traces, error) {
	if c.Endpoint == "" {
		return &traces{}, nil
	}
	endpoint := c.Endpoint
	if u, err := url.Parse(endpoint); err == nil && (u.Path == "" || u.Path == "/") {
		endpoint = u.JoinPath("v1", "traces").String() // as OTEL_EXPORTER_OTLP_ENDPOINT means it
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("otlp.endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces could not be sent", "error", err) }))
	sdk := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("semel"), semconv.ServiceVersion(readBuildInfo().Version))),
	)
	return &traces{sdk, sdk, log}, nil
}

// stop sends what is left, for a few seconds at most.
func (t *traces) stop() {
	if t.sdk == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := t.sdk.Shutdown(ctx); err != nil {
		t.log.Warn("some traces were not sent", "error", err)
	}
}

package server

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// metrics is what /metrics shows: the App's Stats, the latency of calls over
// HTTP, and the process. docs/reference/metrics.md has every name; a test
// compares the two. No label has a key, a tenant or an agent: there are as many
// series after a year as after a minute, and who may read the metrics learns
// nothing of what is called. It is safe for concurrent use.
type metrics struct {
	registry *prometheus.Registry
	calls    map[semel.Guarantee]map[string]prometheus.Observer
}

// callOutcomes are how a call over HTTP ends: done, or with one of the kinds of
// failure.
var callOutcomes = []string{"done", message.Rejected.String(), message.NotDone.String(), message.Unknown.String()}

// callBuckets reach from an answer without a wait to the longest usual one, in
// seconds.
var callBuckets = []float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 30}

// newMetrics makes the metrics of an App and of the program's version.
func newMetrics(app *semel.App, version string) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), calls: make(map[semel.Guarantee]map[string]prometheus.Observer)}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "semel_call_duration_seconds", Help: "Time from when a call over HTTP was read until its answer, by the guarantee of its action.", Buckets: callBuckets,
	}, []string{"guarantee", "outcome"})
	for _, g := range []semel.Guarantee{message.ExactlyOnce, message.AtLeastOnce, message.AtMostOnce} {
		m.calls[g] = make(map[string]prometheus.Observer)
		for _, outcome := range callOutcomes { // at once: a rate needs the zero that it began with
			m.calls[g][outcome] = durations.WithLabelValues(g.String(), outcome)
		}
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "semel_build_info", Help: "1, with what the program was built from.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(
		durations, build, statsCollector{app},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// handler is GET /metrics, in the text format of Prometheus.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// observe counts a call that was answered: outcome is "done", or the kind of
// its failure ("rejected", "not_done", "unknown"). Anything else is unknown.
func (m *metrics) observe(guarantee semel.Guarantee, outcome string, seconds float64) {
	byOutcome := m.calls[guarantee]
	o := byOutcome[outcome]
	if o == nil {
		o = byOutcome[message.Unknown.String()]
	}
	if o != nil {
		o.Observe(seconds)
	}
}

package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/semel-dev/semel"
)

// statsCollector shows an App's Stats. One scrape takes one snapshot.
type statsCollector struct{ app *semel.App }

// stat is one number of Stats and its metric. A negative value is not known,
// and not shown.
type stat struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	label string // value of the desc's only label, if it has one
	value func(*semel.Stats) float64
}

func statDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("semel_"+name, help, labels, nil)
}

func statCounter(name, help string, value func(*semel.Stats) uint64) stat {
	return stat{desc: statDesc(name, help), kind: prometheus.CounterValue, value: func(s *semel.Stats) float64 { return float64(value(s)) }}
}

func statGauge[N int | int64 | float64](name, help string, value func(*semel.Stats) N) stat {
	return stat{desc: statDesc(name, help), kind: prometheus.GaugeValue, value: func(s *semel.Stats) float64 { return float64(value(s)) }}
}

// statOf is a counter of several series.
func statOf(d *prometheus.Desc, label string, value func(*semel.Stats) uint64) stat {
	return stat{desc: d, kind: prometheus.CounterValue, label: label, value: func(s *semel.Stats) float64 { return float64(value(s)) }}
}

var (
	descRefused     = statDesc("calls_refused_total", "Calls refused before anything of them was accepted.", "reason")
	descEffectCalls = statDesc("effect_calls_total", "Calls and probes of effects begun.", "kind")
	descAlarms      = statDesc("alarms_total", "Alarms: what a person should look at.", "kind")
	descUnitBytes   = statDesc("unit_bytes", "Sizes of the committed units, as keys and values.")
	descCommits     = statDesc("commit_duration_seconds", "Time from the submission of a unit until it was known to be durable.")
)

var allStats = []stat{
	statCounter("steps_total", "Steps that stand: they replied, rejected or deferred.", func(s *semel.Stats) uint64 { return s.Steps }),
	statCounter("rejections_total", "Steps that rejected.", func(s *semel.Stats) uint64 { return s.Rejections }),
	statCounter("replays_total", "Duplicates suppressed: repetitions answered with what was recorded.", func(s *semel.Stats) uint64 { return s.Replays }),
	statCounter("conflicts_total", "Calls refused because their key was used for another request.", func(s *semel.Stats) uint64 { return s.Conflicts }),
	statCounter("handler_failures_total", "Handlers that failed, panics among them; nothing of their steps stands.", func(s *semel.Stats) uint64 { return s.HandlerFailures }),
	statCounter("handler_panics_total", "Handlers that panicked.", func(s *semel.Stats) uint64 { return s.HandlerPanics }),
	statCounter("retries_total", "Accepted messages that failed and were put off to be tried again.", func(s *semel.Stats) uint64 { return s.Retries }),
	statOf(descRefused, "overloaded", func(s *semel.Stats) uint64 { return s.Overloaded }),
	statOf(descRefused, "storage_full", func(s *semel.Stats) uint64 { return s.StorageFull }),
	statOf(descEffectCalls, "call", func(s *semel.Stats) uint64 { return s.EffectCalls }),
	statOf(descEffectCalls, "probe", func(s *semel.Stats) uint64 { return s.EffectProbes }),
	statGauge("calls_in_flight", "Calls and reads that wait for their answers.", func(s *semel.Stats) int { return s.CallsInFlight }),
	statGauge("queue_length", "Events that the shards have yet to look at.", func(s *semel.Stats) int { return s.QueueLength }),
	statGauge("outbox_lag_messages", "Messages between agents that were sent and not consumed.", func(s *semel.Stats) int { return s.OutboxLag }),
	statGauge("effects_pending", "Effects that are not settled, those under way and in doubt among them.", func(s *semel.Stats) int { return s.EffectsPending }),
	statGauge("effects_running", "Calls and probes of effects under way.", func(s *semel.Stats) int { return s.EffectsRunning }),
	statGauge("doubts", "Effects in doubt.", func(s *semel.Stats) int { return s.Doubts }),
	statGauge("oldest_doubt_age_seconds", "Time since the call was begun that has been in question longest; 0 without doubts.", func(s *semel.Stats) float64 { return s.OldestDoubt.Seconds() }),
	statGauge("dead_letters", "Accepted messages that failed for good and wait for a person.", func(s *semel.Stats) int { return s.DeadLetters }),
	statGauge("shards", "Shards of the store.", func(s *semel.Stats) int { return s.Shards }),
	statGauge("shards_down", "Shards that take no calls and are being opened again.", func(s *semel.Stats) int { return s.ShardsDown }),
	statGauge("shards_retention_paused", "Shards that forget nothing, because the clock leapt.", func(s *semel.Stats) int { return s.ShardsPaused }),
	statGauge("agents_cached", "Agents in memory.", func(s *semel.Stats) int { return s.AgentsCached }),
	statGauge("state_cache_bytes", "Memory that the states of agents are taken to need.", func(s *semel.Stats) int64 { return s.CacheBytes }),
	statGauge("largest_unit_bytes", "Size of the largest unit so far.", func(s *semel.Stats) int { return s.LargestUnitBytes }),
	statGauge("store_size_bytes", "Size of the store.", func(s *semel.Stats) int64 { return s.StoreBytes }),
	statGauge("store_free_bytes", "Room left on the store's device.", func(s *semel.Stats) int64 { return s.FreeBytes }),
}

// Describe implements prometheus.Collector.
func (c statsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRefused, descEffectCalls, descAlarms, descUnitBytes, descCommits} {
		ch <- d
	}
	for i := range allStats {
		if allStats[i].label == "" {
			ch <- allStats[i].desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c statsCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.app.Stats()
	for i := range allStats {
		st := &allStats[i]
		v := st.value(&s)
		switch {
		case v < 0:
		case st.label != "":
			ch <- prometheus.MustNewConstMetric(st.desc, st.kind, v, st.label)
		default:
			ch <- prometheus.MustNewConstMetric(st.desc, st.kind, v)
		}
	}
	for kind, n := range s.Alarms {
		ch <- prometheus.MustNewConstMetric(descAlarms, prometheus.CounterValue, float64(n), string(kind))
	}
	ch <- statHistogram(descUnitBytes, s.UnitBytes)
	ch <- statHistogram(descCommits, s.CommitSeconds)
}

func statHistogram(d *prometheus.Desc, h semel.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Bounds))
	for i, bound := range h.Bounds {
		buckets[bound] = h.Counts[i]
	}
	return prometheus.MustNewConstHistogram(d, h.Count, h.Sum, buckets)
}

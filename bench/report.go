package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// reportVersion is of the JSON's shape. Members may be added under the same
// version; none is renamed, removed or given another meaning.
const reportVersion = 1

// Report is what a study found. Its JSON is stable. Ratios within a report mean
// something; absolute figures of two machines, or two runs, cannot be compared.
type Report struct {
	Version      int           `json:"version"`
	Command      string        `json:"command"` // that repeats it
	Semel        string        `json:"semel"`   // the program's version
	Started      time.Time     `json:"started"`
	Took         time.Duration `json:"took_ns"`
	Machine      Machine       `json:"machine"`
	Workload     Workload      `json:"workload"`
	Warnings     []string      `json:"warnings,omitempty"` // of what makes the figures mean less
	Disk         Measurement   `json:"disk"`               // one 4 KiB write and its sync, by one caller
	Measurements []Measurement `json:"measurements"`
	Ratios       []Ratio       `json:"ratios"`
}

// Workload is what was called.
type Workload struct {
	Agents     int           `json:"agents"` // chosen uniformly
	BodyBytes  int           `json:"body_bytes"`
	StateBytes int           `json:"state_bytes"`
	Round      time.Duration `json:"round_ns"` // of a measurement, after a fifth of it to warm up
	Rounds     int           `json:"rounds"`
}

// Measurement is what was measured of one guarantee, or of the raw store, at a
// point.
type Measurement struct {
	Point
	Guarantee  string        `json:"guarantee,omitempty"` // empty for the raw store and the disk
	Operations int           `json:"operations"`
	Elapsed    time.Duration `json:"elapsed_ns"`
	PerSecond  float64       `json:"operations_per_second"` // of the median round
	Rounds     []float64     `json:"rounds_operations_per_second"`
	CPU        time.Duration `json:"cpu_ns_per_operation"` // of the whole process: callers, clients and compactions included
	Busy       float64       `json:"processors_busy"`      // 0 to 1, of all that the process may use
	Latency    Latency       `json:"latency_ns"`           // of a call, or of a whole batch
	Histogram  []Bucket      `json:"histogram"`
	latency    *Histogram
}

// Latency is a distribution in brief.
type Latency struct {
	Count uint64        `json:"count"`
	Mean  time.Duration `json:"mean"`
	Min   time.Duration `json:"min"`
	P10   time.Duration `json:"p10"`
	P25   time.Duration `json:"p25"`
	P50   time.Duration `json:"p50"`
	P75   time.Duration `json:"p75"`
	P90   time.Duration `json:"p90"`
	P95   time.Duration `json:"p95"`
	P99   time.Duration `json:"p99"`
	P999  time.Duration `json:"p99_9"`
	P9999 time.Duration `json:"p99_99"`
	Max   time.Duration `json:"max"`
}

// Ratio compares what two guarantees do at a point: above 1 the first has more
// of it.
type Ratio struct {
	Point
	Of            string    `json:"of"`
	To            string    `json:"to"` // a guarantee, or the raw store
	Throughput    float64   `json:"throughput"`
	ThroughputsBy []float64 `json:"throughput_by_round"`
	P50           float64   `json:"p50"`
	P99           float64   `json:"p99"`
	P999          float64   `json:"p99_9"`
}

func measurementOf(p Point, guarantee string, r *Result) Measurement {
	h := &r.latency
	m := Measurement{
		Point: p, Guarantee: guarantee, Operations: r.Ops, Elapsed: r.Elapsed,
		PerSecond: r.PerSec, Rounds: slices.Clone(r.rounds), CPU: r.CPU,
		Latency: Latency{
			Count: h.Count(), Mean: h.Mean(), Min: h.Min(), P10: h.Quantile(0.1), P25: h.Quantile(0.25),
			P50: h.Quantile(0.5), P75: h.Quantile(0.75), P90: h.Quantile(0.9), P95: h.Quantile(0.95), P99: h.Quantile(0.99),
			P999: h.Quantile(0.999), P9999: h.Quantile(0.9999), Max: h.Max(),
		},
		Histogram: h.Coarse(), latency: h,
	}
	if r.Elapsed > 0 {
		m.Busy = min(float64(r.cpu)/float64(r.Elapsed)/float64(runtime.GOMAXPROCS(0)), 1)
	}
	return m
}

// ratioOf pairs the rounds of two results, which took turns: what disturbs the
// machine for longer than a round disturbs both. The ratio of throughputs is
// the median round's.
func ratioOf(p Point, of string, a *Result, to string, b *Result) Ratio {
	r := Ratio{Point: p, Of: of, To: to, P50: over(a.P50, b.P50), P99: over(a.P99, b.P99), P999: over(a.P999, b.P999)}
	for i := range min(len(a.rounds), len(b.rounds)) {
		r.ThroughputsBy = append(r.ThroughputsBy, quotient(a.rounds[i], b.rounds[i]))
	}
	r.Throughput = median(r.ThroughputsBy)
	return r
}

func over(a, b time.Duration) float64 { return quotient(float64(a), float64(b)) }

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// find is the measurement of a guarantee at a point, or of the raw store under
// the same load in process; nil if it was not measured.
func (r *Report) find(p Point, guarantee string) *Measurement {
	if guarantee == RawStore && p.Path == InProcess {
		p.Path, guarantee = RawStore, ""
	}
	for i := range r.Measurements {
		if m := &r.Measurements[i]; m.Point == p && m.Guarantee == guarantee {
			return m
		}
	}
	return nil
}

// points are the points at which guarantees were compared, in their order.
func (r *Report) points() []Point {
	var out []Point
	for _, m := range r.Measurements {
		if m.Path != RawStore && !slices.Contains(out, m.Point) {
			out = append(out, m.Point)
		}
	}
	return out
}

// ratio is exactly-once's to another subject at a point; nil if there is none.
func (r *Report) ratio(p Point, to string) *Ratio {
	for i := range r.Ratios {
		if x := &r.Ratios[i]; x.Point == p && x.To == to {
			return x
		}
	}
	return nil
}

// disturbed says what in the figures shows that something else used the machine.
func (r *Report) disturbed() (warnings []string) {
	if l := r.Disk.Latency; l.P99 > 20*l.P50 {
		warnings = append(warnings, "One sync in a hundred takes "+short(l.P99)+", and half of them less than "+short(l.P50)+": the disk is used by something else, or throttled. Ratios that depend on it are rough.")
	}
	apart := 0
	for _, m := range r.Measurements {
		if slices.Max(m.Rounds) > 2*slices.Min(m.Rounds) {
			apart++
		}
	}
	if apart > 0 {
		warnings = append(warnings, fmt.Sprintf("In %d of %d measurements the fastest round did more than twice what the slowest did: something else uses this machine. Measure again when it is quiet.", apart, len(r.Measurements)))
	}
	return warnings
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

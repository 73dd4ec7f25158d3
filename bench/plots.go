package bench

import (
	"fmt"
	"html/template"
	"math"
	"time"
)

// named are the quantiles that have names on an axis, and marks on a line.
var named = []struct {
	p    float64
	name string
}{{0, "0"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}}

// distribution draws the latencies of all subjects at a point. The further to
// the right, the rarer: each nine of the share has the same room, or the tail
// would be invisible. A line ends where too few calls stand behind it.
func (r *Report) distribution(p Point) template.HTML {
	out := plot{
		label: "Distribution of latency, " + p.String(),
		x:     axis{title: "share of calls that are at least this fast", to: 1},
	}
	if p.Batch > 1 {
		out.x.title = "share of batches that are at least this fast"
	}
	var seen []float64
	for i, name := range subjectNames {
		m := r.find(p, name)
		if m == nil {
			continue
		}
		s := series{class: class(i)}
		for _, at := range shares(m.latency) {
			d := float64(max(m.latency.Quantile(at.p), time.Nanosecond))
			seen = append(seen, d)
			point := mark{x: nines(at.p), y: math.Log10(d)}
			if at.name != "" {
				point.tip = fmt.Sprintf("%s: %s of calls within %s", name, at.name, short(time.Duration(d)))
			}
			out.x.to = max(out.x.to, point.x)
			s.points = append(s.points, point)
		}
		out.series = append(out.series, s)
	}
	for _, n := range named {
		if nines(n.p) <= out.x.to {
			out.x.ticks = append(out.x.ticks, tick{nines(n.p), n.name})
		}
	}
	out.x.to += 0.05
	out.y = logAxis("", seen, briefly)
	return out.svg()
}

func nines(p float64) float64 { return -math.Log10(1 - p) }

type share struct {
	p    float64
	name string // of one of the named
}

// shares are the quantiles of a line: sixteen for each nine, and the named.
func shares(h *Histogram) (out []share) {
	for i := 0; i <= 64; i++ {
		p := 1 - math.Pow(10, -float64(i)/16)
		if i > 0 && !h.Enough(p) {
			break
		}
		for _, n := range named[1:] {
			if n.p <= p+1e-9 && (len(out) > 0 && out[len(out)-1].p < n.p-1e-9) {
				out = append(out, share{n.p, n.name})
			}
		}
		if len(out) == 0 || out[len(out)-1].p < p-1e-9 {
			out = append(out, share{p: p})
		}
	}
	return out
}

// tradeoff draws latency against throughput over the numbers of callers of a
// path: p50, and p99 dashed. Batches are left out: their latency is of another
// thing.
func (r *Report) tradeoff(path string) template.HTML {
	out := plot{label: "Throughput against latency, " + path}
	var rates, latencies []float64
	for i, name := range subjectNames {
		for _, q := range []struct {
			p    float64
			name string
		}{{0.5, "p50"}, {0.99, "p99"}} {
			s := series{class: class(i), dashed: q.p > 0.5}
			for _, p := range r.points() {
				m := r.find(p, name)
				if p.Path != path || p.Batch > 1 || m == nil || !m.latency.Enough(q.p) || m.PerSecond <= 0 {
					continue
				}
				d := float64(m.latency.Quantile(q.p))
				rates, latencies = append(rates, m.PerSecond), append(latencies, d)
				s.points = append(s.points, mark{
					x: math.Log10(m.PerSecond), y: math.Log10(d),
					tip: fmt.Sprintf("%s, %s: %s calls/s, %s %s", name, p.Load(), thousands(m.PerSecond), q.name, short(time.Duration(d))),
				})
				if i == 0 && q.p > 0.5 {
					s.points[len(s.points)-1].label = fmt.Sprint(p.Callers)
				}
			}
			out.series = append(out.series, s)
		}
	}
	out.x = logAxis("calls per second", rates, kilos)
	out.y = logAxis("", latencies, briefly)
	return out.svg()
}

func class(i int) string { return fmt.Sprintf("s%d", i) }

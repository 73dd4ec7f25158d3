package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteText writes the report as a table for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Machine)
	fmt.Fprintf(&b, "disk: a 4 KiB write and its sync takes %s (p50), %s (p99)\n", short(r.Disk.Latency.P50), short(r.Disk.Latency.P99))
	path := ""
	for _, p := range r.points() {
		if p.Path != path {
			path = p.Path
			fmt.Fprintf(&b, "\n%-28s %-14s %10s %9s %9s %9s %9s %9s %5s\n", path, "", "calls/s", "× exactly", "p50", "p99", "p99.9", "CPU each", "busy")
		}
		load := p.Load()
		for _, name := range subjectNames {
			if m := r.find(p, name); m != nil {
				fmt.Fprintf(&b, "%-28s %-14s %10s %9s %9s %9s %9s %9s %5s\n", load, name, thousands(m.PerSecond), r.times(p, name),
					short(m.Latency.P50), m.quantile(0.99), m.quantile(0.999), short(m.CPU), percent(m.Busy))
				load = ""
			}
		}
	}
	b.WriteString("\n" + strings.Join(r.Findings(), "\n") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// subjectNames are what is compared at a point, in the order of the tables.
var subjectNames = func() (names []string) {
	for _, g := range Guarantees {
		names = append(names, g.String())
	}
	return append(names, RawStore)
}()

// Findings say in sentences what exactly-once costs beside the others.
func (r *Report) Findings() []string {
	exactly, atLeast, atMost := subjectNames[0], subjectNames[1], subjectNames[2]
	var out []string
	for _, p := range r.points() {
		least, most := r.ratio(p, atLeast), r.ratio(p, atMost)
		if least == nil || most == nil {
			continue
		}
		out = append(out, fmt.Sprintf("%s: %s does %s of the calls of %s (p50 %s, p99 %s) and %s of those of %s (p50 %s, p99 %s).",
			p, exactly, percent(least.Throughput), atLeast, factor(least.P50), factor(least.P99),
			percent(most.Throughput), atMost, factor(most.P50), factor(most.P99)))
	}
	return out
}

// times is how many times exactly-once's throughput a subject has at a point.
func (r *Report) times(p Point, name string) string {
	if name == subjectNames[0] {
		return factor(1)
	}
	if x := r.ratio(p, name); x != nil {
		return factor(quotient(1, x.Throughput))
	}
	return ""
}

// quantile is a quantile of the latency, or a dash where too few calls stand
// behind it to mean anything.
func (m *Measurement) quantile(p float64) string {
	if !m.latency.Enough(p) {
		return "–"
	}
	return short(m.latency.Quantile(p))
}

// String is the machine in a line.
func (m Machine) String() string {
	parts := []string{m.OS + "/" + m.Arch, counted(m.Cores, "core")}
	if m.CPU != "" {
		parts = append(parts, m.CPU)
	}
	if m.Memory > 0 {
		parts = append(parts, gib(m.Memory)+" of memory")
	}
	if m.FileSystem != "" {
		parts = append(parts, m.FileSystem+" on "+m.Device)
	}
	return strings.Join(append(parts, m.Go), ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func gib(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func factor(x float64) string { return fmt.Sprintf("%.2f ×", x) }

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

// thousands is a number without decimals, in groups of three digits.
func thousands(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// span is a length of time for people who wait: 45s, 3m20s.
func span(d time.Duration) string { return d.Round(time.Second).String() }

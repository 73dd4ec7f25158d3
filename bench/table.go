package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Table writes rows as a Markdown table.
func Table(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("| workload | operations/s | p50 | p99 | CPU each | beside | operations/s | p50 | CPU each | ratio | goal |\n")
	b.WriteString("|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s |", r.Name, r.Result.PerSec, short(r.Result.P50), short(r.Result.P99), short(r.Result.CPU), r.Beside)
		if r.Baseline == nil {
			b.WriteString(" | | | | |\n")
			continue
		}
		fmt.Fprintf(&b, " %.0f | %s | %s | %.2f × (%s) | %s |\n", r.Baseline.PerSec, short(r.Baseline.P50), short(r.Baseline.CPU), r.Ratio, r.What, r.Goal)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func short(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000)
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	default:
		return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
	}
}

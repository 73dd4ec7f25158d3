package postgres

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
)

// BenchmarkGet looks keys up: of states alone, and of messages that may be in any
// of the generations that are kept.
func BenchmarkGet(b *testing.B) {
	const gens, rows = 8, 100_000
	dsn := pgtest.Shared(b).Database(b)
	st := openStore(b, dsn, Options{Shards: 1})
	o := own(b, st, 0)
	pgtest.Exec(b, dsn, fmt.Sprintf("INSERT INTO semel.semel_row SELECT 0, %d, convert_to('agent/' || n, 'utf8'), repeat('x', 128)::bytea, false FROM generate_series(1, %d) n", message.TableState, rows))
	for gen := range message.Generation(gens) {
		o.dedup(b, gen)
		pgtest.Exec(b, dsn, fmt.Sprintf("INSERT INTO semel.semel_dedup_%d SELECT 0, convert_to('agent/' || n, 'utf8'), repeat('x', 96)::bytea FROM generate_series(1, %d) n", gen, rows/gens))
	}
	pgtest.Exec(b, dsn, "ANALYZE")
	for _, n := range []int{1, 64, 512} {
		for _, in := range []int{0, 1, gens} {
			b.Run(fmt.Sprintf("keys=%d/generations=%d", n, in), func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					var keys []message.RowKey
					for i := range n {
						key := fmt.Appendf(nil, "agent/%d", (len(took)*7919+i*101)%rows)
						keys = append(keys, message.RowKey{Table: message.TableState, Key: key})
						for gen := range message.Generation(in) {
							keys = append(keys, message.RowKey{Table: message.TableDedup, Gen: gen, Key: key})
						}
					}
					start := time.Now()
					if _, err := o.Get(background, keys); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			})
		}
	}
}

// BenchmarkSmallUnits commits one step at a time, as for a caller who is alone:
// what the server takes to plan counts.
func BenchmarkSmallUnits(b *testing.B) {
	st := openStore(b, pgtest.Shared(b).Database(b), Options{Shards: 1})
	o := own(b, st, 0)
	m := newUnitMaker()
	var took []time.Duration
	for b.Loop() {
		writes := m.make()[:2]
		o.at.Seq++
		start := time.Now()
		if err := o.Commit(background, &message.Unit{Version: o.at, Writes: writes}).Wait(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
}

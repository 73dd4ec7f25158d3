package twopc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
)

// BenchmarkTransfer moves money between two of a thousand accounts, one of 2PC a
// time for each caller, on the embedded store:
//
//	go test ./twopc -run '^$' -bench Transfer -cpu 2
func BenchmarkTransfer(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			app, err := semel.Open(b.Context(), pebble.At(b.TempDir()), nil)
			if err != nil {
				b.Fatal(err)
			}
			accounts := ledger.Register(app)
			co := twopc.New(app, nil)
			if err := app.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer app.Close(b.Context())
			for i := range 1000 {
				if _, err := accounts.Credit.Call(b.Context(), fmt.Sprint(i), ledger.Amount{Cents: 1 << 40}, semel.Key("open")); err != nil {
					b.Fatal(err)
				}
			}
			var n atomic.Int64
			var all [64][]time.Duration
			done := make(chan int)
			b.ResetTimer()
			for c := range callers {
				go func() {
					for {
						i := n.Add(1)
						if i > int64(b.N) {
							break
						}
						from := rand.IntN(1000)
						to := (from + 1 + rand.IntN(999)) % 1000
						began := time.Now()
						if _, err := co.Run(b.Context(), fmt.Sprint("t", i), []twopc.Part{
							twopc.Do(accounts.Debit.Ref, fmt.Sprint(from), ledger.Amount{Cents: 1}),
							twopc.Do(accounts.Credit.Ref, fmt.Sprint(to), ledger.Amount{Cents: 1}),
						}); err != nil {
							b.Error(err)
						}
						all[c] = append(all[c], time.Since(began))
					}
					done <- c
				}()
			}
			for range callers {
				<-done
			}
			b.StopTimer()
			times := slices.Sorted(slices.Values(slices.Concat(all[:]...)))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			b.ReportMetric(times[len(times)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(times[len(times)*99/100].Seconds()*1e3, "p99-ms")
		})
	}
}

package twopc_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
)

type account struct {
	Cents int64 `json:"cents"`
}

// Two agents, of many, on the embedded store. Run with -cpu 1 and -benchtime 5s,
// and -p callers by SetParallelism.
func BenchmarkTwoAgents(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			app, err := semel.Open(context.Background(), pebble.At(b.TempDir()), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer app.Close(context.Background())
			co := twopc.New(app, nil)
			accounts := semel.NewAgent[account](app, "account")
			add := semel.On(accounts, "add", func(a *account, _ *semel.Step, n int64) (int64, error) {
				a.Cents += n
				return a.Cents, nil
			})
			if err := app.Start(context.Background()); err != nil {
				b.Fatal(err)
			}
			var n atomic.Int64
			b.SetParallelism(callers) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					parts := []twopc.Part{twopc.Do(add.Ref, fmt.Sprint(i*7%1000), -1), twopc.Do(add.Ref, fmt.Sprint(i*13%1000+1000), 1)}
					if _, err := co.Run(context.Background(), fmt.Sprint("k", i), parts); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

package saga_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/store/pebble"
)

// A saga of two effects that do nothing, on the embedded store: what a saga
// costs besides its providers.
func BenchmarkRun(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			app, err := semel.Open(b.Context(), pebble.At(b.TempDir()), nil)
			if err != nil {
				b.Fatal(err)
			}
			for _, name := range services {
				semel.NewEffect(app, "book-"+name, func(context.Context, semel.EffectCall, booking) (string, error) { return "ok", nil }, semel.Keyed)
				semel.NewEffect(app, "undo-"+name, func(context.Context, semel.EffectCall, refund) (string, error) { return "ok", nil }, semel.Keyed)
			}
			trips := saga.New(saga.Register(app, nil), "trip", steps(step("flight"), step("hotel")))
			var n atomic.Int64
			b.SetParallelism(callers) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := trips.Run(context.Background(), fmt.Sprint("k", n.Add(1)), Trip{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sagas/s")
			if err := app.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

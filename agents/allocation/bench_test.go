package allocation_test

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/mem"
)

// BenchmarkReserve measures a step in a pool that has n reservations already:
// an operation is a reserve or the release of what it reserved, by turns. "many"
// has 256 callers at once, who share the writing of the state; "alone" writes it
// for each. "refused" is a reserve that finds no capacity.
func BenchmarkReserve(b *testing.B) {
	for _, n := range []int{10, 1000, 5000} {
		for _, c := range []struct {
			name    string
			size    int
			refused bool
		}{{"many", 256, false}, {"alone", 1, false}, {"refused", 256, true}} {
			b.Run(fmt.Sprintf("n=%d/%s", n, c.name), func(b *testing.B) { benchmarkReserve(b, n, c.size, c.refused) })
		}
	}
}

func benchmarkReserve(b *testing.B, n, size int, refused bool) {
	app, pools := open(b, mem.New())
	defer closeApp(b, app)
	if _, err := pools.Configure.Call(b.Context(), "p", allocation.Configure{Capacity: 1 << 40}, semel.Key("c")); err != nil {
		b.Fatal(err)
	}
	keys := 0
	key := func() semel.CallOption { keys++; return semel.Key(fmt.Sprint(keys)) }
	reserve := func(units int64) semel.Request {
		return pools.Reserve.Request("p", allocation.Reserve{Units: units, Holder: fmt.Sprint("job-", keys), TTL: "24h"}, key())
	}
	call := func(requests []semel.Request) []semel.Answer {
		answers := app.CallAll(b.Context(), requests)
		for _, a := range answers {
			if a.Err != nil && !refused {
				b.Fatal(a.Err)
			}
		}
		return answers
	}
	var fill []semel.Request
	for range n {
		fill = append(fill, reserve(1))
	}
	call(fill)
	units := int64(1)
	if refused {
		units = 1 << 41
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		var requests []semel.Request
		for range min(size, b.N-done) {
			requests = append(requests, reserve(units))
		}
		answers := call(requests)
		done += len(answers)
		if refused {
			continue
		}
		requests = requests[:0]
		for _, a := range answers[:min(len(answers), b.N-done)] {
			r, err := pools.Reserve.Reply(a)
			if err != nil {
				b.Fatal(err)
			}
			requests = append(requests, pools.Release.Request("p", allocation.Held{Reservation: r.Reservation}, key()))
		}
		call(requests)
		done += len(requests)
	}
}

package torture

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/semel-dev/semel/torture/check"
)

// A transaction never changes the total, has every account once, and is something
// else when it is altered, that the server would take too.
func TestTransactionsKeepTheTotal(t *testing.T) {
	t.Parallel()
	m := &maker{rng: rand.New(rand.NewPCG(1, 2)), run: "r", name: "0-0", accounts: 4, span: 1000, bank: 100, timeout: bankTimeout}
	kinds := make(map[int]int)
	for range 3000 {
		o := m.next()
		other := *o
		other.parts = o.otherParts()
		for _, parts := range [][]check.Part{o.parts, other.parts} {
			total, seen := int64(0), make(map[int]bool)
			for _, p := range parts {
				if total += p.Cents; seen[p.Account] || p.Account < 0 || p.Account >= bankAccounts {
					t.Fatalf("%+v", parts)
				}
				seen[p.Account] = true
			}
			if total != 0 || len(parts) == 0 {
				t.Fatalf("the total changes by %d: %+v", total, parts)
			}
		}
		if string(o.body()) == string(other.body()) || !json.Valid(o.body()) {
			t.Fatalf("%s", o.body())
		}
		kinds[len(o.parts)]++
	}
	for _, n := range []int{1, 2, 3, bankAccounts} {
		if kinds[n] == 0 {
			t.Errorf("none of %d parts is made: %v", n, kinds)
		}
	}
}

package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// leaser opens a store that knows leases.
func leaser(t *testing.T, h Harness, shards int) (Place, store.Leaser) {
	t.Helper()
	if h.Differs.NotLocked == "" {
		t.Skip("one process at a time has the store")
	}
	if h.Differs.LeasesByPart != "" {
		t.Skip("has leases by part: " + h.Differs.LeasesByPart)
	}
	p, st := fresh(t, h, shards)
	l, ok := st.(store.Leaser)
	if !ok {
		t.Fatal("several processes may open the store, and it knows no leases")
	}
	return p, l
}

func keep(t testing.TB, l store.Leaser, n store.Node) store.Roster {
	t.Helper()
	r, err := l.Keep(background, n)
	if err != nil {
		t.Fatalf("Keep %s: %v", n.ID, err)
	}
	return r
}

// claim claims a shard and says whether it was given, and as clean.
func claim(t testing.TB, l store.Leaser, node string, shard message.Shard) (ok, clean bool) {
	t.Helper()
	c, ok, err := l.Claim(background, node, shard)
	if err != nil {
		t.Fatalf("Claim of shard %d for %s: %v", shard, node, err)
	}
	return ok, c.Clean
}

func release(t testing.TB, l store.Leaser, node string, shard message.Shard, clean bool) {
	t.Helper()
	if err := l.Release(background, node, shard, clean); err != nil {
		t.Fatalf("Release of shard %d by %s: %v", shard, node, err)
	}
}

func expectClaim(t testing.TB, l store.Leaser, node string, shard message.Shard, ok, clean bool) {
	t.Helper()
	if o, c := claim(t, l, node, shard); o != ok || ok && c != clean {
		t.Errorf("a claim of shard %d for %s: %v, clean %v; want %v, clean %v", shard, node, o, c, ok, clean)
	}
}

var nodeA = store.Node{ID: "a", Name: "first", Address: "http://a"}
var nodeB = store.Node{ID: "b", Name: "second", Address: "http://b"}

// The roster has who lives, itself included, and who holds what.
func testRoster(t *testing.T, h Harness) {
	_, l := leaser(t, h, 3)
	diff(t, "one node", store.Roster{Nodes: []store.Node{nodeA}, Holders: []string{"", "", ""}}, keep(t, l, nodeA))
	keep(t, l, nodeB)
	claim(t, l, "a", 1)
	claim(t, l, "b", 2)
	leaving := nodeA
	leaving.Leaving = true
	keep(t, l, leaving)
	diff(t, "two nodes", store.Roster{Nodes: []store.Node{leaving, nodeB}, Holders: []string{"", "a", "b"}}, keep(t, l, nodeB))
}

// A shard is one node's until it gives it up. The last one to do so says whether
// it left it clean.
func testClaim(t *testing.T, h Harness) {
	_, l := leaser(t, h, 2)
	keep(t, l, nodeA)
	keep(t, l, nodeB)
	expectClaim(t, l, "a", 0, true, true) // nobody ever had it
	expectClaim(t, l, "b", 0, false, false)
	expectClaim(t, l, "a", 0, true, true) // as when the answer was lost
	release(t, l, "b", 0, true)           // which does not hold it
	expectClaim(t, l, "b", 0, false, false)
	release(t, l, "a", 0, true)
	release(t, l, "a", 0, false) // a second time it holds it no longer
	expectClaim(t, l, "b", 0, true, true)
	release(t, l, "b", 0, false)
	expectClaim(t, l, "a", 0, true, false)
	if _, _, err := l.Claim(background, "a", 2); err == nil {
		t.Error("a claim of shard 2 of 2")
	}
}

// FAULTS 26, 27: a node whose lease is over may have its shards taken, and they
// are not clean; until then it may go on with them.
func testLapse(t *testing.T, h Harness) {
	p, l := leaser(t, h, 2)
	keep(t, l, nodeA)
	keep(t, l, nodeB)
	expectClaim(t, l, "a", 0, true, true)
	expectClaim(t, l, "a", 1, true, true)
	p.Lapse(t, "a")
	expectClaim(t, l, "b", 0, true, false)
	r := keep(t, l, nodeB)
	diff(t, "after the lease", store.Roster{Nodes: []store.Node{nodeB}, Holders: []string{"b", "a"}}, r)
	r = keep(t, l, nodeA) // it is back
	diff(t, "when it is back", store.Roster{Nodes: []store.Node{nodeA, nodeB}, Holders: []string{"b", "a"}}, r)
	expectClaim(t, l, "b", 1, false, false)
	release(t, l, "a", 0, true) // which it does not hold any more
	expectClaim(t, l, "a", 0, false, false)
}

// Whoever leaves frees its shards at once.
func testLeave(t *testing.T, h Harness) {
	_, l := leaser(t, h, 3)
	keep(t, l, nodeA)
	keep(t, l, nodeB)
	expectClaim(t, l, "a", 0, true, true)
	expectClaim(t, l, "a", 1, true, true)
	expectClaim(t, l, "b", 2, true, true)
	release(t, l, "a", 0, true)
	for range 2 {
		if err := l.Leave(background, "a"); err != nil {
			t.Fatal(err)
		}
	}
	diff(t, "the roster", store.Roster{Nodes: []store.Node{nodeB}, Holders: []string{"", "", "b"}}, keep(t, l, nodeB))
	expectClaim(t, l, "b", 0, true, true)
	expectClaim(t, l, "b", 1, true, false)
}

// Of many that want a shard at once, one has it.
func testOneHolder(t *testing.T, h Harness) {
	p, l := leaser(t, h, 4)
	nodes := make(map[string]bool)
	for i := range 8 {
		nodes[fmt.Sprint(i)] = true
		keep(t, l, store.Node{ID: fmt.Sprint(i)})
	}
	race := func() []string {
		t.Helper()
		won := make([]int, 4)
		var mu sync.Mutex
		var all sync.WaitGroup
		for id := range nodes {
			all.Go(func() {
				for shard := range won {
					_, ok, err := l.Claim(background, id, message.Shard(shard))
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					if ok {
						mu.Lock()
						won[shard]++
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		for shard, n := range won {
			if n != 1 {
				t.Errorf("%d nodes have shard %d", n, shard)
			}
		}
		return keep(t, l, nodeA).Holders
	}
	for shard, holder := range race() { // those that were released
		release(t, l, holder, message.Shard(shard), true)
	}
	for _, holder := range race() { // those of nodes that died
		p.Lapse(t, holder)
		delete(nodes, holder)
	}
	race()
}

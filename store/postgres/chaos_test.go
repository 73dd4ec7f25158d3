package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Three nodes take a shard from each other while the network loses messages and
// answers of theirs. Every unit that was acknowledged is there, as it was
// written, and no sequence was given twice.
func TestNodesOnABadNetwork(t *testing.T) {
	t.Parallel()
	const nodes, units = 3, 150
	seed := rand.Uint64()
	t.Logf("seed %d", seed) // it decides what is lost, not in which order the nodes come
	dsn := pgtest.Shared(t).Database(t)
	opt := Options{Shards: 1}
	judge := openStore(t, dsn, opt)
	var mu sync.Mutex
	acked := make(map[message.Seq]string)
	lost := 0
	var wg sync.WaitGroup
	for node := range nodes {
		w := &wire{}
		opt.dial = w.dial
		st := openStore(t, pgtest.With(dsn, "pool_max_conns", "2"), opt)
		rng := rand.New(rand.NewPCG(seed, uint64(node)))
		wg.Go(func() {
			var s store.Session
			var at message.Version
			for i := range units {
				if s == nil || rng.IntN(20) == 0 {
					w.lose(none)
					var err error
					if s, err = st.Open(background, 0, fmt.Sprint("node ", node)); err != nil {
						t.Errorf("node %d: %v", node, err)
						return
					}
					at = s.Version()
				}
				if rng.IntN(4) == 0 {
					w.lose(loss(1 + rng.IntN(2)))
				}
				at.Seq++
				value := fmt.Sprintf("%d/%d", node, i)
				err := s.Commit(background, &message.Unit{Version: at, Writes: []message.Write{
					{RowKey: state(fmt.Sprintf("%06d", at.Seq)), Value: []byte(value)},
				}}).Wait()
				mu.Lock()
				switch {
				case err == nil:
					if other, given := acked[at.Seq]; given {
						t.Errorf("unit %d was acknowledged as %s and as %s", at.Seq, other, value)
					}
					acked[at.Seq] = value
				case !definite(err):
					lost++
				case !errors.Is(err, store.ErrFenced) && !errors.Is(err, store.ErrUnavailable):
					t.Errorf("node %d: %v", node, err)
				}
				mu.Unlock()
				if err != nil {
					s = nil
				}
			}
		})
	}
	wg.Wait()
	o := own(t, judge, 0)
	rows, err := o.Scan(background, store.Range{Table: message.TableState}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != int(o.at.Seq) {
		t.Errorf("there are %d units, and the shard is at %d", len(rows), o.at.Seq)
	}
	for i, row := range rows {
		seq := message.Seq(i + 1)
		if string(row.Key) != fmt.Sprintf("%06d", seq) {
			t.Fatalf("unit %d is missing", seq)
		}
		if was, ok := acked[seq]; ok && was != string(row.Value) {
			t.Errorf("unit %d was acknowledged as %s and is %s", seq, was, row.Value)
		}
		delete(acked, seq)
	}
	for seq, value := range acked {
		t.Errorf("unit %d, %s, was acknowledged and is lost", seq, value)
	}
	if lost == 0 || len(rows) < 20 {
		t.Errorf("%d units, %d unknown: too few to show anything", len(rows), lost)
	}
	t.Logf("%d units, %d unknown", len(rows), lost)
}

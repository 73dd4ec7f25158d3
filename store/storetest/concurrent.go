package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Reads run beside commits: a scan sees whole units only, and reads never go
// back in time.
func testReadersBesideCommits(t *testing.T, h Harness) {
	_, st := fresh(t, h, 1)
	o := own(t, st, 0)
	o.commit(put(state("a"), "00000"), put(state("b"), "00000"), put(dedup(0, "0"), ""))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			last := ""
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := scanValues(o)
				if err != nil || len(got) != 2 || got[0] != got[1] || got[0] < last {
					t.Errorf("a scan beside commits: %q after %q, %v", got, last, err)
					return
				}
				last = got[0]
			}
		})
	}
	var waits sync.WaitGroup
	for i := range 200 {
		n := fmt.Sprintf("%05d", i+1)
		p := o.submit(put(state("a"), n), put(state("b"), n))
		waits.Go(func() {
			if err := p.Wait(); err != nil {
				t.Errorf("Wait: %v", err)
			}
		})
		if i%50 == 0 {
			if err := st.Maintain(background, store.Retention{Below: message.Generation(i)}); err != nil {
				t.Error(err)
			}
		}
	}
	waits.Wait()
	close(done)
	readers.Wait()
	expect(t, o, state("a"), "00200")
}

func scanValues(s store.Session) ([]string, error) {
	rows, err := s.Scan(background, store.Range{Table: message.TableState}, 10)
	var values []string
	for _, row := range rows {
		values = append(values, string(row.Value))
	}
	return values, err
}

// Shards commit and change hands at once. Whoever is fenced stops; per shard,
// the units that stand are those that were acknowledged, or were in question
// when the owner changed.
func testShardsAtOnce(t *testing.T, h Harness) {
	const shards, takeovers, units = 3, 4, 25
	_, st := fresh(t, h, shards)
	var wg sync.WaitGroup
	acked := make([][]int, shards) // per shard and owner: units acknowledged
	for shard := range shards {
		acked[shard] = make([]int, takeovers)
		for who := range takeovers {
			wg.Go(func() {
				s, err := st.Open(background, message.Shard(shard), fmt.Sprint("owner ", who))
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				at := s.Version()
				for i := range units {
					at.Seq++
					u := &message.Unit{Version: at, Writes: []message.Write{put(state(fmt.Sprintf("%d/%d", who, i)), "")}}
					err := s.Commit(background, u).Wait()
					if errors.Is(err, store.ErrFenced) {
						return
					}
					if err != nil {
						t.Errorf("Commit: %v", err)
						return
					}
					acked[shard][who]++
				}
			})
		}
	}
	wg.Wait()
	for shard := range shards {
		o := own(t, st, message.Shard(shard))
		total := 0
		for who, n := range acked[shard] {
			total += n
			for i := range units {
				if _, there := value(t, o, state(fmt.Sprintf("%d/%d", who, i))); there != (i < n) {
					t.Errorf("shard %d, owner %d: unit %d is there: %v, and %d were acknowledged", shard, who, i, there, n)
				}
			}
		}
		if int(o.at.Seq) != total || int(o.at.Epoch) != takeovers+1 {
			t.Errorf("shard %d is at %+v, want %d units and %d epochs", shard, o.at, total, takeovers+1)
		}
	}
}

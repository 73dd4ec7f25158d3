package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/migrate"
	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// moved moves what is on one disk to a new one, with another number of shards.
// A machine refuses the old one from then on.
func moved(from store.Opener, to *crashfs.Disk, shards int, found *crowd) error {
	ctx := context.Background()
	fatal := func(err error) { panic(err) }
	a, err := from.OpenStore(ctx)
	if err != nil {
		return err
	}
	if err := found.look(ctx, a); err != nil {
		return err
	}
	b, err := directory(to, shards, fatal).OpenStore(ctx)
	if err != nil {
		return errors.Join(err, a.Close())
	}
	_, err = migrate.Run(ctx, migrate.Side{Store: a, Name: "one"}, migrate.Side{Store: b, Name: "the other"}, migrate.Options{})
	return errors.Join(err, b.Close(), a.Close())
}

// crowd counts what was moved, so that the test says what it tested.
type crowd struct{ undelivered, parked, kept, effects, timers, dead, open atomic.Int64 }

func (c *crowd) look(ctx context.Context, st store.Store) error {
	for i := range st.Shards() {
		s, err := st.Open(ctx, message.Shard(i), "a look")
		if err != nil {
			return err
		}
		var at []message.Cursor
		for j := range st.Shards() {
			key := message.RowKey{Table: message.TableCursor, Key: []byte{'c', 0, byte(j)}}
			values, err := s.Get(ctx, []message.RowKey{key})
			if err != nil {
				return err
			}
			from := message.Cursor{Source: message.Shard(j)}
			if values[0] != nil {
				if from.Position, err = core.ReadPosition(key, values[0]); err != nil {
					return err
				}
			}
			at = append(at, from)
		}
		waiting, err := s.Inbox(ctx, at, 1000)
		if err != nil {
			return err
		}
		c.undelivered.Add(int64(len(waiting)))
		for t, n := range map[message.Table]*atomic.Int64{
			message.TableMailbox: &c.parked, message.TableControl: &c.kept, message.TableEffect: &c.effects,
			message.TableTimer: &c.timers, message.TableDead: &c.dead, message.TableOpen: &c.open,
		} {
			rows, err := s.Scan(ctx, store.Range{Table: t}, 1000)
			if err != nil {
				return err
			}
			n.Add(int64(len(rows)))
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// The power fails anywhere, and what is left is moved to a store with another
// number of shards, which goes on; and once more when it has gone on. Every key
// replays its outcome, and every step, message, timer and effect happened once.
func TestMoveAfterEveryCrash(t *testing.T) {
	t.Parallel()
	disk, h := crashfs.New(), newHistory()
	var session atomic.Int64
	every := sample(30)
	moments := make(chan *moment, runtime.GOMAXPROCS(0))
	var checkers sync.WaitGroup
	var checked atomic.Int64
	var found crowd
	for range runtime.GOMAXPROCS(0) {
		checkers.Go(func() {
			for m := range moments {
				if t.Failed() {
					continue
				}
				counts := [][]int{{3, 2}, {1, 4}, {2, 3}, {5, 5}, {4, 1}}[checked.Add(1)%5]
				at, shards := m.disk, 2
				err := m.finishOn(func(p *process) (store.Opener, error) {
					next := crashfs.New()
					old := directory(at, shards, p.fatal)
					err := moved(old, next, counts[0], &found)
					if errors.Is(err, migrate.ErrNothing) { // the crash was before the first unit
						return old, nil
					}
					if err != nil {
						return nil, fmt.Errorf("move from %d to %d shards: %w", shards, counts[0], err)
					}
					var gone *core.MovedError
					if err := newProcess(newHistory(), 0).startOn(old, sessionTime(m.k)); !errors.As(err, &gone) || gone.Mark.State != core.MoveGone {
						return nil, fmt.Errorf("a start on what was moved away: %v", err)
					}
					at, shards, counts = next, counts[0], counts[1:]
					return directory(at, shards, p.fatal), nil
				})
				if err != nil {
					t.Errorf("a crash before operation %s: %v\nrerun: SEMEL_SOAK=1 go test ./internal/engine -run '^TestMoveAfterEveryCrash$'", m.what, err)
				}
			}
		})
	}
	fsys := disk.Before(func(n int64, _ errorfs.Op) {
		for i, unsynced := range []int{0, 100} {
			if (n+int64(i)*every/2)%every == 0 {
				moments <- freeze(disk, h, int(session.Load()), unsynced, n, fmt.Sprintf("%d of session %d", n, session.Load()))
			}
		}
	})
	err := workload(fsys, h, &session)
	close(moments)
	checkers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]*atomic.Int64{
		"undelivered messages": &found.undelivered, "parked messages": &found.parked, "agents that something kept": &found.kept,
		"effects": &found.effects, "timers": &found.timers, "dead letters": &found.dead, "open outcomes": &found.open,
	} {
		t.Logf("%d %s were moved", n.Load(), what)
		if n.Load() == 0 {
			t.Errorf("no %s were moved: the test does not show what it should", what)
		}
	}
	t.Logf("%d crashes", checked.Load())
}

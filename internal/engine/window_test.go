package engine

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// oneLog is a disk that says that its shards share a log.
type oneLog struct{ *mem.Disk }

type oneLogStore struct{ store.Store }

func (o oneLog) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := o.Disk.OpenStore(ctx)
	return oneLogStore{st}, err
}

func (s oneLogStore) Profile() store.Profile {
	p := s.Store.Profile()
	p.SharedLog = true
	return p
}

// settled returns when no shard has a unit left of its start.
func settled(t *testing.T, e *Engine, disk *mem.Disk, commits <-chan message.Shard) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			disk.SyncAll()
			runtime.Gosched()
		}
	}()
	for n := range e.shards {
		if a := e.Submit(t.Context(), keyed(t, on(message.Shard(n), len(e.shards)), "add", "first", 1), false); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		<-commits
	}
	stop()
	<-ended
}

// Whoever asked waits for what was in flight then, and for nothing else: a
// shard that always has a large unit in flight keeps nobody waiting for ever.
func TestWindowIsFair(t *testing.T) {
	t.Parallel()
	w := syncWindow{shared: true}
	shard := func() *shard { return &shard{queue: queue{wake: make(chan struct{}, 1)}} }
	bulk, small := shard(), shard()
	for range 1000 {
		first := w.submit(bulk)
		for range 2 { // to ask again changes nothing
			if w.open(small) {
				t.Fatal("it did not wait for what was in flight")
			}
		}
		if w.open(bulk) || len(w.waiting) != 2 {
			t.Fatalf("%d wait", len(w.waiting))
		}
		second := w.submit(bulk)
		w.land(first)
		select {
		case <-small.queue.wake:
		default:
			t.Fatal("it was not woken")
		}
		if !w.open(small) {
			t.Fatal("it waits for what came after it")
		}
		w.submit(small)
		w.land(second + 1)
		<-bulk.queue.wake
		if len(w.waiting) != 0 {
			t.Fatalf("%d wait for nothing", len(w.waiting))
		}
	}
}

// While one shard's unit is in flight the others' small units wait, and go
// together when it has landed; where shards have no log in common none waits.
func TestWindow(t *testing.T) {
	t.Parallel()
	const shards = 3
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			t.Parallel()
			disk := mem.New(mem.ManualSync(), mem.Shards(shards))
			commits := make(chan message.Shard, 100)
			disk.Faults(func(n message.Shard, u *message.Unit) mem.Fault {
				if slices.ContainsFunc(u.Writes, func(w message.Write) bool { return w.Table == message.TableState }) {
					commits <- n
				}
				return mem.Fault{}
			})
			var o store.Opener = disk
			if shared {
				o = oneLog{disk}
			}
			e := start(t, o, Config{}, nil)
			settled(t, e, disk, commits)
			answer := make(chan core.Answer, 1)
			go func() { answer <- e.Submit(t.Context(), keyed(t, on(0, shards), "add", "k", 1), false) }()
			if n := <-commits; n != 0 {
				t.Fatalf("shard %d committed", n)
			}
			for n := message.Shard(1); n < shards; n++ {
				// The second is answered in a turn after the one that opened the unit.
				for i := range 2 {
					if a := e.Submit(t.Context(), keyed(t, on(n, shards), "lose", fmt.Sprint(i), 1), false); a.Fault != nil {
						t.Fatal(a.Fault)
					}
				}
			}
			if shared {
				if len(commits) != 0 {
					t.Fatalf("shard %d did not wait for the unit in flight", <-commits)
				}
				for len(commits) == 0 { // the commit that was told of may not be there yet
					disk.SyncAll()
					runtime.Gosched()
				}
			}
			// Neither waits for the other's sync.
			if a, b := <-commits, <-commits; a+b != 1+2 {
				t.Fatalf("shards %d and %d committed", a, b)
			}
			keepSyncing(e, disk)
			if a := <-answer; a.Fault != nil {
				t.Error(a.Fault)
			}
		})
	}
}

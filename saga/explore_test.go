package saga_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/semeltest"
	"github.com/semel-dev/semel/store/mem"
)

// explorer crashes the program at its n-th point: before a commit, before a call
// reaches a service, and after it took effect there. It is for what package
// semeltest cannot compare, because a crash may rightly change how it ends: a
// saga that is cancelled or withdrawn in time or not, answers in any order.
type explorer struct {
	mu    sync.Mutex
	disk  *mem.Disk
	n, at int // at which point to crash, and at which we are
	again int // crash a second time, so many points behind the first
	dead  bool
	die   func() // ends the calls of the program that crashed
}

func (x *explorer) point() (alive bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead {
		return false
	}
	if x.at++; x.at == x.n || x.again > 0 && x.at == x.n+x.again {
		x.dead = true
		x.disk.Crash(0)
		x.die()
	}
	return !x.dead
}

var errCrashed = errors.New("the program has crashed")

// explore runs a script, which repeats its calls with the same keys when the
// program comes back, with a crash at each point, and checks what came of it.
func explore(t *testing.T, register func(*bed), wt weather, script func(*bed) error, check func(*bed) error) {
	t.Helper()
	points := 0
	for n := 1; ; n++ {
		more := false
		second := []int{0}
		if n%3 == 0 {
			second = append(second, 1+n%7)
		}
		if os.Getenv("SEMEL_SOAK") != "" {
			second = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		}
		for i, again := range second {
			if i > 0 && !more {
				break
			}
			synctest.Test(t, func(t *testing.T) {
				b := &bed{T: t, ctx: t.Context(), disk: mem.New(), w: semeltest.NewWorld(), weather: wt}
				x := &explorer{disk: b.disk, n: n, again: again}
				b.gates = make(map[string]chan struct{})
				b.weather.point = x.point
				b.disk.Faults(func(message.Shard, *message.Unit) mem.Fault { x.point(); return mem.Fault{} })
				test := b.ctx
				b.ctx, x.die = context.WithCancel(test)
				b.open(register)
				for {
					err := script(b)
					if err == nil {
						err = check(b)
					}
					x.mu.Lock()
					dead := x.dead
					if !dead && err == nil {
						x.n, x.again = -1, -1 // what comes is its orderly end
					}
					if dead {
						b.ctx, x.die = context.WithCancel(test)
					}
					x.mu.Unlock()
					if err == nil && !dead {
						break
					}
					if !dead {
						t.Fatalf("crash at point %d and %d behind it: %v", n, again, err)
					}
					more = true
					b.shut()
					x.mu.Lock()
					x.dead = false
					x.mu.Unlock()
					b.open(register)
				}
				defer x.die()
				b.close()
			})
			if t.Failed() {
				return
			}
		}
		if !more {
			t.Logf("%d points", points)
			return
		}
		points++
	}
}

// trip is the script of one trip. Doubts are settled by the World's books, but
// for the hotel's, which are withdrawn.
func trip(trips **saga.Definition[Trip], in Trip, meanwhile func(*bed, string) error) func(*bed) error {
	return func(b *bed) error {
		id, err := (*trips).Start(b.ctx, "k", in)
		if err == nil && meanwhile != nil {
			err = meanwhile(b, id)
		}
		ctx, cancel := context.WithTimeout(b.ctx, time.Hour)
		defer cancel()
		for err == nil {
			var v saga.View
			v, err = b.g.Get(ctx, id)
			switch {
			case err != nil || v.Phase.Ended():
				return err
			case v.Phase == saga.Parked && (v.Parked.Code == saga.CodePivotUnknown || v.Parked.Code == saga.CodeUnknown):
				fact := saga.DidNotHappen
				if b.w.Service(v.Parked.Step).Count() > 0 {
					fact = saga.Happened
				}
				_, err = b.g.Settle(ctx, id, saga.Settlement{Step: v.Parked.Step, Fact: fact, Who: "ann"})
				continue
			case v.Phase == saga.Parked:
				return nil
			}
			time.Sleep(time.Second)
			err = b.settleDoubts(ctx)
		}
		return err
	}
}

func (b *bed) settleDoubts(ctx context.Context) error {
	for e, err := range b.app.Doubts(ctx) {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Effect, "book-")
		if name == "hotel" {
			continue
		}
		r := semel.ResolveNotDone().About(e)
		if b.w.Service(name).Happened(e.ID.String()) > 0 {
			r = semel.ResolveDone("receipt of " + name)
		}
		if _, err := b.app.Resolve(ctx, e.ID, r, "ann"); err != nil && !errors.Is(err, semel.ErrTooEarly) && !errors.Is(err, semel.ErrUnknownDoubt) {
			return err
		}
	}
	return nil
}

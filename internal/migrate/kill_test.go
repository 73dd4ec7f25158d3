package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

var errBlown = errors.New("the process was killed")

// fuse ends a process at its n-th operation on either store: before it, or
// after it but before its answer.
type fuse struct {
	left  int
	after bool
	blown bool
}

// before says whether the operation is not made, and after whether it was and
// nobody hears of it.
func (f *fuse) burn() (not, unheard bool) {
	if f.blown {
		return true, false
	}
	f.left--
	if f.left == 0 {
		f.blown = true
		return !f.after, f.after
	}
	return false, false
}

type fusedStore struct {
	store.Store
	f *fuse
}

func (s fusedStore) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	not, unheard := s.f.burn()
	if not {
		return nil, errBlown
	}
	ss, err := s.Store.Open(ctx, shard, owner)
	if err != nil || unheard {
		return nil, cmpErr(err)
	}
	return fusedSession{ss, s.f}, nil
}

func (s fusedStore) Close() error {
	if not, unheard := s.f.burn(); not || unheard {
		return errBlown
	}
	return s.Store.Close()
}

func cmpErr(err error) error {
	if err != nil {
		return err
	}
	return errBlown
}

type fusedSession struct {
	store.Session
	f *fuse
}

func (s fusedSession) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	if not, unheard := s.f.burn(); not || unheard {
		return nil, errBlown
	}
	return s.Session.Get(ctx, keys)
}

func (s fusedSession) Scan(ctx context.Context, r store.Range, limit int) ([]message.Row, error) {
	if not, unheard := s.f.burn(); not || unheard {
		return nil, errBlown
	}
	return s.Session.Scan(ctx, r, limit)
}

func (s fusedSession) Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	if not, unheard := s.f.burn(); not || unheard {
		return nil, errBlown
	}
	return s.Session.Inbox(ctx, from, max)
}

func (s fusedSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	not, unheard := s.f.burn()
	if not {
		return fusedPending{}
	}
	p := s.Session.Commit(ctx, u)
	if unheard {
		_ = p.Wait() // it is durable
		return fusedPending{}
	}
	return fusedPending{p, s.f}
}

type fusedPending struct {
	store.Pending
	f *fuse
}

func (p fusedPending) Wait() error {
	if p.Pending == nil {
		return errBlown
	}
	not, unheard := p.f.burn()
	if not {
		return errBlown
	}
	if err := p.Pending.Wait(); err != nil || unheard {
		return cmpErr(err)
	}
	return nil
}

// attempt is a process that works on both disks and is killed with the fuse. It
// reports whether it was.
func attempt(t *testing.T, a, b *mem.Disk, f *fuse, work func(from, to Side) error) (killed bool) {
	t.Helper()
	from, to := opened(t, a, "A"), opened(t, b, "B")
	from.Store, to.Store = fusedStore{from.Store, f}, fusedStore{to.Store, f}
	err := work(from, to)
	if err != nil && !f.blown {
		t.Fatalf("%v", err)
	}
	if f.blown && err == nil {
		t.Fatal("a process that was killed reported success")
	}
	a.Crash(0)
	b.Crash(0)
	return f.blown
}

// marks are the states of a disk's shards, zero for no mark.
func marks(t *testing.T, d *mem.Disk) (states []core.MoveState) {
	t.Helper()
	look := opened(t, d, "")
	s := &side{Side: look}
	if err := s.open(t.Context(), "a look"); err != nil {
		t.Fatal(err)
	}
	for _, sh := range s.shards {
		if sh.mark == nil {
			states = append(states, 0)
		} else {
			states = append(states, sh.mark.State)
		}
	}
	d.Crash(0)
	return states
}

func allAre(states []core.MoveState, want ...core.MoveState) bool {
	return !slices.ContainsFunc(states, func(s core.MoveState) bool { return !slices.Contains(want, s) })
}

// neverBoth checks that not both can be served: that some shard of one of them
// is refused, where a target without marks has nothing to serve.
func neverBoth(t *testing.T, n int, a, b *mem.Disk) {
	t.Helper()
	source, target := marks(t, a), marks(t, b)
	if allAre(source, 0, core.MoveArrived) && slices.Contains(target, core.MoveArrived) {
		t.Fatalf("killed at operation %d: the source's shards are %v, the target's %v: both may be served", n, source, target)
	}
	if slices.Contains(target, core.MoveArrived) && !allAre(source, core.MoveAway, core.MoveGone) {
		t.Fatalf("killed at operation %d: the source's shards are %v, the target's %v: a part of the source may be served", n, source, target)
	}
	if slices.Contains(target, core.MoveInto) && !allAre(source, core.MoveAway, core.MoveGone) {
		// The only way back is that the target was given up, in shard 0 first.
		if target[0] != core.MoveGivenUp {
			t.Fatalf("killed at operation %d: the source's shards are %v, the target's %v", n, source, target)
		}
	}
}

func differing(a, b map[string]string) (keys []string) {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			keys = append(keys, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), 10)]
}

// The mover is killed at every operation that it makes on either store, before
// it and after it, and then run again, or undone, which is killed too. The
// target is in the end what it is without that, or the source is what it was;
// and at no point can both be served.
func TestKilledAtEveryOperation(t *testing.T) {
	t.Parallel()
	base := populated(t, 3)
	before := contents(t, base)
	for _, shards := range []int{3, 2, 5} {
		t.Run(fmt.Sprintf("to %d shards", shards), func(t *testing.T) {
			t.Parallel()
			pair := func() (a, b *mem.Disk) {
				return base.Backup(), mem.New(mem.Shards(shards), mem.Seed(99))
			}
			run := func(from, to Side) error { _, err := Run(t.Context(), from, to, Options{noteEvery: 2000}); return err }
			undo := func(from, to Side) error { return Undo(t.Context(), from, to, Options{}) }
			a, b := pair()
			attempt(t, a, b, &fuse{}, run)
			if !allAre(marks(t, a), core.MoveGone) || !allAre(marks(t, b), core.MoveArrived) {
				t.Fatalf("after a move the source's shards are %v, the target's %v", marks(t, a), marks(t, b))
			}
			want := contents(t, b)
			if len(want) < len(before)/2 {
				t.Fatalf("%d rows were moved to %d", len(before), len(want))
			}
			every := 7 // of the operations, with each number of shards but one
			if shards == 2 {
				every = 1
			}
			points, undone := 0, 0
			for n := 1; ; n += every {
				a, b := pair()
				if !attempt(t, a, b, &fuse{left: n, after: n%2 == 0}, run) {
					break
				}
				points++
				neverBoth(t, n, a, b)
				if n%3 == 0 && !allAre(marks(t, b), 0) {
					undone++
					for k := 1 + n%7; ; k += 5 {
						killed := attempt(t, a, b, &fuse{left: k, after: k%2 == 0}, undo)
						neverBoth(t, n, a, b)
						if !killed {
							break
						}
					}
					if got := contents(t, a); !maps.Equal(got, before) || !allAre(marks(t, a), 0, core.MoveArrived) || !allAre(marks(t, b), core.MoveGivenUp) {
						t.Fatalf("killed at operation %d and undone, the source differs in %q; its marks are %v, the target's %v", n, differing(before, got), marks(t, a), marks(t, b))
					}
					continue
				}
				if n%5 == 0 { // and once more on the way
					attempt(t, a, b, &fuse{left: 2 * n, after: n%4 == 0}, run)
					neverBoth(t, n, a, b)
				}
				attempt(t, a, b, &fuse{}, run)
				if got := contents(t, b); !maps.Equal(got, want) || !allAre(marks(t, a), core.MoveGone) || !allAre(marks(t, b), core.MoveArrived) {
					t.Fatalf("killed at operation %d and run again, the target differs in %q; the marks are %v and %v", n, differing(want, got), marks(t, a), marks(t, b))
				}
			}
			t.Logf("killed at %d operations, undone after %d", points, undone)
			if points < 100/every || undone < 20/every {
				t.Error("that is too few")
			}
		})
	}
}

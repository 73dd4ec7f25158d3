package migrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

// intruded is a store whose shard 1 a server takes, and commits to, right after
// the mover's first commit to shard 0.
type intruded struct {
	store.Store
	t    *testing.T
	done bool
}

type intrudedSession struct {
	store.Session
	s *intruded
}

func (s *intruded) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	ss, err := s.Store.Open(ctx, shard, owner)
	if err != nil || shard != 0 {
		return ss, err
	}
	return intrudedSession{ss, s}, nil
}

func (i intrudedSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	p := i.Session.Commit(ctx, u)
	if i.s.done {
		return p
	}
	i.s.done = true
	ss, err := i.s.Store.Open(ctx, 1, "a server")
	if err != nil {
		i.s.t.Fatal(err)
	}
	v := ss.Version()
	v.Seq++
	w := message.Write{RowKey: intrusion, Op: message.Put, Value: []byte("y")}
	if err := ss.Commit(ctx, &message.Unit{Version: v, Writes: []message.Write{w}}).Wait(); err != nil {
		i.s.t.Fatal(err)
	}
	return p
}

var intrusion = message.RowKey{Table: message.TableState, Key: []byte("x")}

// pair opens both disks, as a process does after one that was killed.
func pair(t *testing.T, a, b *mem.Disk) (from, to Side) {
	t.Helper()
	a.Crash(0)
	b.Crash(0)
	return opened(t, a, "A"), opened(t, b, "B")
}

// A server may come to the target between two marks of an undoing. Then there is
// no way back, but the one forward is open.
func TestUndoThatAServerOvertook(t *testing.T) {
	t.Parallel()
	a, b := populated(t, 3), mem.New(mem.Shards(2), mem.Seed(5))
	from, to := pair(t, a, b)
	if _, err := Run(t.Context(), from, to, Options{}); err != nil {
		t.Fatal(err)
	}
	from, to = pair(t, a, b)
	to.Store = &intruded{Store: to.Store, t: t}
	if err := Undo(t.Context(), from, to, Options{}); !errors.Is(err, store.ErrFenced) {
		t.Fatalf("the undoing that a server stopped says %v", err)
	}
	if got := marks(t, b); got[0] != core.MoveGivenUp || got[1] != core.MoveArrived {
		t.Fatalf("the target's shards are %v: the test tests nothing", got)
	}
	from, to = pair(t, a, b)
	if err := Undo(t.Context(), from, to, Options{}); !errors.Is(err, ErrServed) {
		t.Errorf("undoing what was served says %v", err)
	}
	from, to = pair(t, a, b)
	if r, err := Run(t.Context(), from, to, Options{}); err != nil || !r.Already {
		t.Errorf("the same move again reports %+v, %v", r, err)
	}
	a.Crash(0) // the target was served, and its end is not hidden
	b.Crash(0)
	if from, to := marks(t, a), marks(t, b); !allAre(from, core.MoveGone) || !allAre(to, core.MoveArrived) {
		t.Errorf("the source's shards are %v, the target's %v", from, to)
	}
	if got := contents(t, b)[fmt.Sprintf("shard 1 table %d/0 %q", intrusion.Table, intrusion.Key)]; got != "y" {
		t.Errorf("the server's row is %q", got)
	}
}

// An undoing that was killed can be completed; and until it has come to the
// source, the move can be.
func TestKilledUndoIsTakenBack(t *testing.T) {
	t.Parallel()
	base := populated(t, 3)
	before := contents(t, base.Backup())
	forward, back := 0, 0
	for n := 1; ; n++ {
		a, b := base.Backup(), mem.New(mem.Shards(2), mem.Seed(99))
		attempt(t, a, b, &fuse{}, func(from, to Side) error { _, err := Run(t.Context(), from, to, Options{}); return err })
		want := contents(t, b)
		undo := func(from, to Side) error { return Undo(t.Context(), from, to, Options{}) }
		if !attempt(t, a, b, &fuse{left: n, after: n%2 == 0}, undo) {
			break
		}
		neverBoth(t, n, a, b)
		left := allAre(marks(t, a), core.MoveGone)
		from, to := pair(t, a, b)
		_, err := Run(t.Context(), from, to, Options{})
		if left != (err == nil) || err != nil && !errors.Is(err, ErrOther) {
			t.Fatalf("killed at operation %d, the move again says %v; it is to be completed: %v", n, err, left)
		}
		neverBoth(t, n, a, b)
		if err == nil {
			forward++
			if got := contents(t, b); !maps.Equal(got, want) || !allAre(marks(t, a), core.MoveGone) || !allAre(marks(t, b), core.MoveArrived) {
				t.Fatalf("killed at operation %d, and moved again: the marks are %v and %v, and %q differ", n, marks(t, a), marks(t, b), differing(want, got))
			}
			continue
		}
		back++
		attempt(t, a, b, &fuse{}, undo)
		if got := contents(t, a); !maps.Equal(got, before) || !allAre(marks(t, a), 0, core.MoveArrived) {
			t.Fatalf("killed at operation %d, and undone: the marks are %v, and %q differ", n, marks(t, a), differing(before, got))
		}
	}
	if forward < 5 || back < 5 {
		t.Errorf("completed after %d operations, undone after %d: that is too few", forward, back)
	}
}

// A mark of an earlier move, to what is not moved now, makes no move that can be
// undone.
func TestUndoOfWhatNeverMoved(t *testing.T) {
	t.Parallel()
	a, b, other := populated(t, 3), mem.New(mem.Shards(2), mem.Seed(5)), mem.New(mem.Shards(2), mem.Seed(7))
	from, to := pair(t, a, b)
	if _, err := Run(t.Context(), from, to, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*mem.Disk{a, b} { // moved away; moved to here
		one, two := pair(t, from, other)
		if err := Undo(t.Context(), one, two, Options{}); !errors.Is(err, ErrOther) {
			t.Errorf("undoing a move that never was says %v", err)
		}
	}
	if from, to, none := marks(t, a), marks(t, b), marks(t, other); !allAre(from, core.MoveGone) || !allAre(to, core.MoveArrived) || !allAre(none, 0) {
		t.Errorf("the marks are %v, %v and %v", from, to, none)
	}
}

// A move that was undone is not completed with a backup of the source from when
// it was away: the source itself is served again.
func TestUndoneMoveIsNotCompletedWithABackup(t *testing.T) {
	t.Parallel()
	a, b := populated(t, 3), mem.New(mem.Shards(2), mem.Seed(5))
	from, to := pair(t, a, b)
	if _, err := Run(t.Context(), from, to, Options{}); err != nil {
		t.Fatal(err)
	}
	copied := a.Backup()
	from, to = pair(t, a, b)
	if err := Undo(t.Context(), from, to, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, source := range []*mem.Disk{copied, a} {
		from, to = pair(t, source, b)
		if _, err := Run(t.Context(), from, to, Options{}); !errors.Is(err, ErrOther) {
			t.Errorf("the move again says %v", err)
		}
	}
	b.Crash(0)
	if got := marks(t, b); !allAre(got, core.MoveGivenUp) {
		t.Errorf("the target's shards are %v", got)
	}
}

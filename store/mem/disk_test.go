package mem_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/mem"
)

var background = context.Background()

type owner struct {
	store.Session
	at message.Version
}

func open(t *testing.T, d *mem.Disk) (store.Store, *owner) {
	t.Helper()
	st, err := d.OpenStore(background)
	if err != nil {
		t.Fatal(err)
	}
	return st, own(t, st, 0)
}

func own(t *testing.T, st store.Store, shard message.Shard) *owner {
	t.Helper()
	s, err := st.Open(background, shard, "test")
	if err != nil {
		t.Fatal(err)
	}
	return &owner{Session: s, at: s.Version()}
}

func key(k string) message.RowKey { return message.RowKey{Table: message.TableState, Key: []byte(k)} }

// submit puts the unit's number under "n" and deletes the row of the unit
// before it, so that a crash has overwritten and deleted rows to bring back.
func (o *owner) submit() *mem.Pending {
	o.at.Seq++
	n := func(seq message.Seq) message.RowKey { return key(fmt.Sprint("unit ", seq)) }
	return o.Commit(background, &message.Unit{Version: o.at, Writes: []message.Write{
		{RowKey: key("n"), Value: fmt.Append(nil, o.at.Seq)},
		{RowKey: n(o.at.Seq), Value: []byte("here")},
		{RowKey: n(o.at.Seq - 1), Op: message.DeletePrefix},
	}}).(*mem.Pending)
}

// is checks that the rows are those after so many units.
func (o *owner) is(t *testing.T, seq message.Seq) {
	t.Helper()
	rows, err := o.Scan(background, store.Range{Table: message.TableState}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if o.at.Seq != seq || seq == 0 && len(rows) != 0 {
		t.Fatalf("the shard is at %+v with %d rows, want unit %d", o.at, len(rows), seq)
	}
	if seq > 0 && (len(rows) != 2 || string(rows[0].Value) != fmt.Sprint(seq) || string(rows[1].Key) != fmt.Sprint("unit ", seq)) {
		t.Errorf("after %d units the rows are %q", seq, rows)
	}
}

// Of the commits that are not durable a crash keeps a prefix, whichever one is
// asked for, and takes the others back to the last byte.
func TestCrashKeepsAPrefix(t *testing.T) {
	t.Parallel()
	for keep := -1; keep <= 6; keep++ {
		d := mem.New(mem.ManualSync())
		_, o := open(t, d)
		for range 3 {
			o.submit()
		}
		d.SyncTo(d.Applied() - 1) // two units are durable
		for range 2 {
			o.submit()
		}
		kept := message.Seq(2 + min(max(keep, 0), 3))
		if lost := d.Crash(keep); lost != int(5-kept) {
			t.Errorf("keeping %d it lost %d", keep, lost)
		}
		st, o := open(t, d)
		if st.CleanStart() {
			t.Error("the start after a crash is clean")
		}
		o.is(t, kept)
		if d.Applied() != d.Durable() {
			t.Errorf("after Open %d are applied and %d are durable", d.Applied(), d.Durable())
		}
	}
}

// By default Wait makes its commit durable, and those before it; those after
// it are lost in a crash.
func TestWaitSyncs(t *testing.T) {
	t.Parallel()
	d := mem.New()
	_, o := open(t, d)
	o.submit()
	if err := o.submit().Wait(); err != nil {
		t.Fatal(err)
	}
	last := o.submit()
	d.Crash(0)
	if err := last.Wait(); !errors.Is(err, mem.ErrCrashed) || definite(err) {
		t.Errorf("Wait after the crash: %v, want ErrCrashed, and no definite answer", err)
	}
	if err := o.submit().Wait(); !errors.Is(err, mem.ErrCrashed) || definite(err) {
		t.Errorf("Commit after the crash: %v, want ErrCrashed, and no definite answer", err)
	}
	_, o = open(t, d)
	o.is(t, 2)
}

func definite(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrClosed)
}

// With ManualSync a Wait lasts until the watermark passes, or the disk crashes,
// or the store is closed.
func TestManualSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := mem.New(mem.ManualSync())
		_, o := open(t, d)
		answers := map[int]error{}
		wait := func(i int, p *mem.Pending) { go func() { answers[i] = p.Wait() }() }
		first, second := o.submit(), o.submit()
		wait(1, first)
		wait(2, second)
		synctest.Wait()
		if len(answers) != 0 || first.Ready() {
			t.Fatalf("before any sync: %v", answers)
		}
		d.SyncTo(d.Applied() - 1)
		synctest.Wait()
		if err, ok := answers[1]; !ok || err != nil || len(answers) != 1 || !first.Ready() || second.Ready() {
			t.Fatalf("after syncing the first: %v", answers)
		}
		d.Crash(0)
		synctest.Wait()
		if err := answers[2]; !errors.Is(err, mem.ErrCrashed) {
			t.Fatalf("after the crash: %v", answers)
		}
		st, o := open(t, d)
		o.is(t, 1)
		wait(3, o.submit())
		synctest.Wait()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err, ok := answers[3]; !ok || err != nil {
			t.Fatalf("after Close: %v", answers)
		}
	})
}

// FAULTS 24: a lost answer says nothing about the unit; Open's version does.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lost := errors.New("the answer was lost")
	for _, applied := range []bool{false, true} {
		d := mem.New()
		st, o := open(t, d)
		d.Faults(func(_ message.Shard, u *message.Unit) mem.Fault {
			if u.Version.Seq == 2 {
				return mem.Fault{Err: lost, Applied: applied}
			}
			return mem.Fault{}
		})
		if err := o.submit().Wait(); err != nil {
			t.Fatal(err)
		}
		if err := o.submit().Wait(); !errors.Is(err, lost) {
			t.Fatalf("Wait: %v", err)
		}
		d.Faults(nil)
		want := message.Seq(1)
		if applied {
			want = 2
		}
		own(t, st, 0).is(t, want)
		// What follows a unit that was not applied does not follow its version.
		if err := o.submit().Wait(); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the next commit of the session: %v, want ErrFenced", err)
		}
	}
}

// The same calls give the same incarnations, and a seed gives others.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	inc := func(d *mem.Disk) message.Incarnation {
		st, _ := open(t, d)
		return st.Incarnation()
	}
	one, like := mem.New(), mem.New()
	if inc(one) != inc(like) || inc(one.Backup()) != inc(like.Backup()) {
		t.Error("two disks that are made alike differ")
	}
	d := mem.New()
	seen := map[message.Incarnation]bool{}
	for _, other := range []*mem.Disk{d, d.Backup(), d.Backup(), d.Backup().Backup(), mem.New(mem.Seed(1))} {
		i := inc(other)
		if seen[i] {
			t.Errorf("incarnation %x comes twice", i)
		}
		seen[i] = true
	}
}

package split_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
	"github.com/semel-dev/semel/store/split"
)

// FAULTS 38: a part goes back in time, to before messages that a shard of the other
// part has taken. No process remembers them; the shard's cursor does. Nobody is
// given other messages under their numbers before a person has said so.
func TestPartGoesBack(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	primary.Exec(t, "CREATE DATABASE semel")
	standby := primary.Standby(t)
	opt := postgres.Options{Shards: 2}
	o := split.Of(halves(2, postgres.At(pgtest.Shared(t).Database(t), opt), postgres.At(pgtest.Either("semel", primary, standby), opt))...)

	st := open(t, o)
	reader := own(t, st, 0)
	taken := message.Cursor{Source: 1}
	pull := func(want int) {
		t.Helper()
		got, err := reader.Inbox(background, []message.Cursor{taken}, 100)
		if err != nil || len(got) != want {
			t.Fatalf("beyond %d there are %d messages, %v; want %d", taken.Position, len(got), err, want)
		}
		taken.Position += uint64(len(got))
	}
	var sent uint64
	deliver := func(n int) {
		t.Helper()
		var writes []message.Write
		for range n {
			sent++
			writes = append(writes, send(0, sent, fmt.Sprint("message ", sent)))
		}
		commit(t, st, 1, writes...)
	}
	deliver(3)
	pull(3)
	primary.CaughtUp(t, standby)
	standby.Kill(t)
	deliver(3) // which the standby does not have
	pull(3)
	primary.Kill(t)
	standby.Restart(t)
	standby.Promote(t)
	_ = st.Close() // its primary is gone

	st = open(t, o)
	reader = own(t, st, 0)
	for range 2 {
		if got, err := reader.Inbox(background, []message.Cursor{taken}, 100); !errors.Is(err, store.ErrAway) || !errors.Is(err, store.ErrLost) {
			t.Fatalf("%d messages, %v; want that the source was set back", len(got), err)
		}
	}
	if _, err := st.Open(background, 1, ""); !errors.Is(err, store.ErrLost) {
		t.Fatalf("the source is opened: %v", err)
	}
	if err := st.(store.LossAccepter).AcceptLoss(background, 1); err != nil {
		t.Fatal(err)
	}
	sent = 3
	deliver(4) // three of whose numbers the reader has had: they are lost, and it was said
	pull(1)
	deliver(2)
	pull(2)
}

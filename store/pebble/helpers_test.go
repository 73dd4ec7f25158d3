package pebble

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var background = context.Background()

// testOptions are options in which a failure of the device fails the test.
func testOptions(t testing.TB, fsys vfs.FS) Options {
	return Options{
		FS:            fsys,
		CacheBytes:    1 << 20,
		MemTableBytes: 256 << 10,
		MaxUnitBytes:  1 << 20,
		Logger:        slog.New(slog.DiscardHandler),
		Fatal:         func(err error) { t.Errorf("the device failed: %v", err) },
		markEvery:     time.Millisecond,
	}
}

// machine opens one directory on a file system that may be changed for another.
type machine struct{ opt Options }

func (m *machine) OpenStore(ctx context.Context) (store.Store, error) {
	return At("data", m.opt).OpenStore(ctx)
}

func backupAndRestore(t testing.TB, st store.Store, opt Options, backup, data string) store.Opener {
	t.Helper()
	if err := st.(store.Backuper).Backup(background, backup); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	if err := Restore(background, backup, data, opt); err != nil {
		t.Fatalf("Restore: %v", err)
	}
	return At(data, opt)
}

func mustOpen(t testing.TB, o store.Opener) *Store {
	t.Helper()
	st, err := o.OpenStore(background)
	if err != nil {
		t.Fatalf("OpenStore: %v", err)
	}
	return st.(*Store)
}

func mustClose(t testing.TB, st *Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// owner commits units of a known shape, which verify checks: unit n adds a row
// "unit/n" and a dedup row n, and overwrites the row "last" with n.
type owner struct {
	store.Session
	at message.Version
}

func own(t testing.TB, st store.Store, shard message.Shard) *owner {
	t.Helper()
	s, err := st.Open(background, shard, "test")
	if err != nil {
		t.Fatalf("Open shard %d: %v", shard, err)
	}
	return &owner{Session: s, at: s.Version()}
}

func (o *owner) submit(size int) store.Pending {
	o.at.Seq++
	n := fmt.Sprintf("%08d", o.at.Seq)
	return o.Commit(background, &message.Unit{Version: o.at, Writes: []message.Write{
		{RowKey: stateKey("unit/" + n), Value: make([]byte, size)},
		{RowKey: stateKey("last"), Value: []byte(n)},
		{RowKey: message.RowKey{Table: message.TableDedup, Gen: generationOf(o.at.Seq), Key: []byte(n)}, Value: []byte(n)},
	}})
}

// generationUnits is how many units of an owner have their dedup rows in one
// generation.
const generationUnits = 12

func generationOf(unit message.Seq) message.Generation {
	return 1 + message.Generation((max(unit, 1)-1)/generationUnits)
}

func stateKey(key string) message.RowKey {
	return message.RowKey{Table: message.TableState, Key: []byte(key)}
}

// verify checks that a shard is exactly its first units: whole, in order and
// without gaps, at least as many as were acknowledged.
func verify(s store.Session, acked message.Seq) error {
	return verifyFrom(s, acked, 1)
}

// verifyFrom is verify of a shard that was told to drop the generations below
// one: each of those is gone, or all there.
func verifyFrom(s store.Session, acked message.Seq, below message.Generation) error {
	at := s.Version()
	if at.Seq < acked {
		return fmt.Errorf("unit %d was acknowledged, and the shard is at %+v", acked, at)
	}
	units, err := s.Scan(background, store.Range{Table: message.TableState, From: []byte("unit/")}, 1<<20)
	if err != nil {
		return err
	}
	if len(units) != int(at.Seq) {
		return fmt.Errorf("at %+v the shard has %d units", at, len(units))
	}
	for i := range units {
		if n := fmt.Sprintf("unit/%08d", i+1); string(units[i].Key) != n {
			return fmt.Errorf("%s is missing: found %q", n, units[i].Key)
		}
	}
	for gen := message.Generation(1); gen <= generationOf(at.Seq); gen++ {
		rows, err := s.Scan(background, store.Range{Table: message.TableDedup, Gen: gen}, 1<<20)
		if err != nil {
			return err
		}
		if gen < below && len(rows) == 0 {
			continue
		}
		first := int(gen-1) * generationUnits
		if want := min(int(at.Seq)-first, generationUnits); len(rows) != want {
			return fmt.Errorf("at %+v, told to drop what is below %d, generation %d has %d rows of %d", at, below, gen, len(rows), want)
		}
		for i, row := range rows {
			if n := fmt.Sprintf("%08d", first+i+1); string(row.Key) != n {
				return fmt.Errorf("generation %d has row %q where %q was written", gen, row.Key, n)
			}
		}
	}
	last, err := s.Get(background, []message.RowKey{stateKey("last")})
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%08d", at.Seq); at.Seq > 0 && string(last[0]) != want {
		return fmt.Errorf("the last unit is %q, and the shard is at %+v", last[0], at)
	}
	return nil
}

package storetest

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

var background = context.Background()

// open opens a store that the test need not close.
func open(t testing.TB, o store.Opener) store.Store {
	t.Helper()
	st, err := o.OpenStore(background)
	if err != nil {
		t.Fatalf("OpenStore: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() }) // a test that killed the store gets an error here, and that is right
	return st
}

// fresh opens a store in a new place.
func fresh(t testing.TB, h Harness, shards int) (Place, store.Store) {
	t.Helper()
	p := h.Make(t, shards)
	return p, open(t, p)
}

func closeStore(t testing.TB, st store.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// owner commits units to one shard, each with the version that follows.
type owner struct {
	store.Session
	t  testing.TB
	at message.Version
}

// own opens a session.
func own(t testing.TB, st store.Store, shard message.Shard) *owner {
	t.Helper()
	s, err := st.Open(background, shard, "storetest")
	if err != nil {
		t.Fatalf("Open shard %d: %v", shard, err)
	}
	return &owner{Session: s, t: t, at: s.Version()}
}

// submit commits without waiting.
func (o *owner) submit(writes ...message.Write) store.Pending {
	o.at.Seq++
	return o.Commit(background, &message.Unit{Version: o.at, Writes: writes})
}

// commit commits and waits.
func (o *owner) commit(writes ...message.Write) {
	o.t.Helper()
	if err := o.submit(writes...).Wait(); err != nil {
		o.t.Fatalf("commit unit %d: %v", o.at.Seq, err)
	}
}

// value reads one row as a string; ok says whether it is there.
func value(t testing.TB, s store.Session, key message.RowKey) (string, bool) {
	t.Helper()
	values, err := s.Get(background, []message.RowKey{key})
	if err != nil || len(values) != 1 {
		t.Fatalf("Get: %d values, %v", len(values), err)
	}
	return string(values[0]), values[0] != nil
}

// expect checks one row's value.
func expect(t testing.TB, s store.Session, key message.RowKey, want string) {
	t.Helper()
	if got, ok := value(t, s, key); !ok || got != want {
		t.Errorf("row %q of table %d is %q (there: %v), want %q", key.Key, key.Table, got, ok, want)
	}
}

// expectNone checks that a row is not there.
func expectNone(t testing.TB, s store.Session, key message.RowKey) {
	t.Helper()
	if got, ok := value(t, s, key); ok {
		t.Errorf("row %q of table %d is %q, want none", key.Key, key.Table, got)
	}
}

// pairs scans a table and flattens its rows: key, value, key, value.
func pairs(t testing.TB, s store.Session, r store.Range) []string {
	t.Helper()
	rows, err := s.Scan(background, r, 1<<20)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	flat := []string{}
	for _, row := range rows {
		flat = append(flat, string(row.Key), string(row.Value))
	}
	return flat
}

func diff(t testing.TB, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func state(key string) message.RowKey {
	return message.RowKey{Table: message.TableState, Key: []byte(key)}
}

func dedup(gen message.Generation, key string) message.RowKey {
	return message.RowKey{Table: message.TableDedup, Gen: gen, Key: []byte(key)}
}

func put(key message.RowKey, value string) message.Write {
	return message.Write{RowKey: key, Value: []byte(value)}
}

func del(key message.RowKey) message.Write {
	return message.Write{RowKey: key, Op: message.Delete}
}

func delPrefix(key message.RowKey) message.Write {
	return message.Write{RowKey: key, Op: message.DeletePrefix}
}

// send is a message to another shard, as the owner of the source writes it.
func send(to message.Shard, position uint64, data string) message.Write {
	key := binary.BigEndian.AppendUint16(nil, uint16(to))
	key = binary.BigEndian.AppendUint64(key, position)
	return put(message.RowKey{Table: message.TableOutbox, Key: key}, data)
}

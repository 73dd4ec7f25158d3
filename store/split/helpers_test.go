package split_test

import (
	"encoding/binary"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

func open(t testing.TB, o store.Opener) store.Store {
	t.Helper()
	st, err := o.OpenStore(background)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func shut(t testing.TB, st store.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func own(t testing.TB, st store.Store, shard message.Shard) store.Session {
	t.Helper()
	s, err := st.Open(background, shard, t.Name())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// commit opens a shard and commits one unit.
func commit(t testing.TB, st store.Store, shard message.Shard, writes ...message.Write) store.Session {
	t.Helper()
	s := own(t, st, shard)
	v := s.Version()
	v.Seq++
	if err := s.Commit(background, &message.Unit{Version: v, Writes: writes}).Wait(); err != nil {
		t.Fatal(err)
	}
	return s
}

// send is a message to another shard.
func send(to message.Shard, position uint64, data string) message.Write {
	key := binary.BigEndian.AppendUint16(nil, uint16(to))
	key = binary.BigEndian.AppendUint64(key, position)
	return message.Write{RowKey: message.RowKey{Table: message.TableOutbox, Key: key}, Value: []byte(data)}
}

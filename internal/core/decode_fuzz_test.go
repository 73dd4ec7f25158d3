package core

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/semel-dev/semel/message"
)

// FAULTS 59: a row of the change feed is what was written, or an error that
// names it, whatever its key and its fields are.
func FuzzFeedRow(f *testing.F) {
	f.Add(ChangeKey(3, 9), putBytes(putBytes(nil, 1, "\x00t\x00x\x00"), 1, "\x00t\x00y\x00"))
	f.Add([]byte("short"), []byte{})
	f.Add(ChangeKey(0, 0), []byte{0xff})
	f.Fuzz(func(t *testing.T, key, fields []byte) {
		row := message.Row{Key: key, Value: seal(append(begin(nil), fields...), 0, key)}
		c, err := ReadChanges(row)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), rowName(message.RowKey{Table: message.TableChange, Key: key})) {
				t.Errorf("%v", err)
			}
			return
		}
		if !bytes.Equal(ChangeKey(c.Gen, c.Seq), key) {
			t.Errorf("the key %x is read as %d, %d", key, c.Gen, c.Seq)
		}
		size := 0
		for _, a := range c.Agents {
			size += len(a)
		}
		if size > len(fields) {
			t.Errorf("%d bytes are read as agents of %d bytes", len(fields), size)
		}
		row.Value[len(row.Value)-1] ^= 1
		if _, err := ReadChanges(row); err == nil {
			t.Error("a damaged row is believed")
		}
	})
}

// FAULTS 59: a message from another shard's outbox is believed at its own place
// only, and the error names the place.
func FuzzOutboxMessage(f *testing.F) {
	b := appendMessage(nil, nil, fullMessage())
	f.Add(uint16(1), uint64(7), b[1:len(b)-4])
	f.Add(uint16(0), uint64(0), []byte{8, 1})
	f.Fuzz(func(t *testing.T, dst uint16, position uint64, fields []byte) {
		key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, dst), position)
		d := message.Delivery{Source: 3, Position: position, Data: seal(append(begin(nil), fields...), 0, key)}
		m, err := ReadOutbox(message.Shard(dst), d)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "outbox of shard 3") {
				t.Errorf("%v", err)
			}
			return
		}
		if m == nil {
			t.Fatal("neither a message nor an error")
		}
		d.Position++
		if _, err := ReadOutbox(message.Shard(dst), d); err == nil {
			t.Error("a message is believed at another's place")
		}
	})
}

// Keys of rows say what they said when they were made.
func FuzzRowKeys(f *testing.F) {
	f.Add(dueKey(simStart, []byte("row")))
	f.Add([]byte("k\x00key"))
	f.Add([]byte("kprincipal\x00key\x00"))
	f.Fuzz(func(t *testing.T, key []byte) {
		d, err := readDue(key)
		switch {
		case err != nil:
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || len(key) > 8 {
				t.Errorf("%v", err)
			}
		case !bytes.Equal(dueKey(d.due, d.row), key):
			t.Errorf("%x is read as %d, %x", key, d.due, d.row)
		}
		if len(key) == 0 || key[0] != 'k' || bytes.IndexByte(key, 0) < 0 {
			return // what AppendKeyIdentity writes is asked for by its first byte
		}
		principal, k := SplitKeyIdentity(key)
		again := message.AppendKeyIdentity(nil, principal, k)
		if string(again) != string(key) && !strings.HasPrefix(string(key), "k"+message.Anonymous+"\x00") {
			t.Errorf("%q is read as %q, %q", key, principal, k)
		}
	})
}

// FAULTS 59: what an agent promised is read as it was written, or refused.
func FuzzPromise(f *testing.F) {
	f.Add(appendPromise(nil, fullPromise()))
	f.Add(appendPromise(nil, &promise{tx: "tx", hold: holdChange{release: true}}))
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPromise(b)
		if err != nil {
			return
		}
		if p.tx == "" {
			t.Error("a promise to no transaction")
		}
		again, err := readPromise(appendPromise(nil, p))
		if err != nil || !bytes.Equal(appendPromise(nil, again), appendPromise(nil, p)) {
			t.Errorf("%+v is read as %+v: %v", p, again, err)
		}
	})
}

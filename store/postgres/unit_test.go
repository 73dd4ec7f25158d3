package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/semel-dev/semel/message"
)

// Whatever a unit's writes are, what is left of them does the same, with every
// row once and ranges that do not meet.
func TestCollapse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{'a', 'b', 0xff}), 0, 3)
		u := &message.Unit{}
		for range rapid.IntRange(0, 12).Draw(rt, "writes") {
			u.Writes = append(u.Writes, message.Write{
				RowKey: message.RowKey{Table: message.Table(rapid.IntRange(1, 2).Draw(rt, "table")), Key: key.Draw(rt, "key")},
				Op:     message.Op(rapid.IntRange(0, 2).Draw(rt, "op")),
				Value:  fmt.Append(nil, len(u.Writes)),
			})
		}
		ch := collapse(u)
		for table := int16(1); table <= 2; table++ {
			for _, k := range allKeys() {
				want, touched := naive(u, message.Table(table), k)
				got, times := effect(ch, table, k)
				if times > 1 {
					rt.Fatalf("row %q is changed %d times", k, times)
				}
				if (times == 1) != touched || !bytes.Equal(got, want) {
					rt.Fatalf("row %q: changed %v to %q, want %v, %q", k, times == 1, got, touched, want)
				}
			}
		}
	})
}

func allKeys() (keys [][]byte) {
	keys = append(keys, []byte{})
	for i := 0; i < len(keys); i++ {
		if len(keys[i]) < 4 {
			for _, b := range []byte{'a', 'b', 0xff} {
				keys = append(keys, append(bytes.Clone(keys[i]), b))
			}
		}
	}
	return keys
}

// naive is what a unit makes of a row that was there: its value, nil if it is
// gone, and whether the unit has anything to do with it.
func naive(u *message.Unit, table message.Table, key []byte) (value []byte, touched bool) {
	for i := range u.Writes {
		w := &u.Writes[i]
		switch {
		case w.Table != table:
		case w.Op == message.DeletePrefix && bytes.HasPrefix(key, w.Key):
			value, touched = nil, true
		case !bytes.Equal(w.Key, key):
		case w.Op == message.Put:
			value, touched = w.Value, true
		case w.Op == message.Delete:
			value, touched = nil, true
		}
	}
	return value, touched
}

// effect is what the statement makes of a row that was there, and how often.
func effect(ch *changes, table int16, key []byte) (value []byte, times int) {
	for i, k := range ch.keys {
		if ch.tables[i] == table && bytes.Equal(k, key) {
			return ch.values[i], times + 1 // spares it in the ranges
		}
	}
	for _, s := range append(append([]span{}, ch.bounded...), ch.endless...) {
		if s.table == table && bytes.Compare(key, s.from) >= 0 && (s.to == nil || bytes.Compare(key, s.to) < 0) {
			times++
		}
	}
	return nil, times
}

// The statement does not refer to the unit's bytes.
func TestCollapseCopies(t *testing.T) {
	t.Parallel()
	key, value := []byte("key"), []byte("value")
	ch := collapse(&message.Unit{Writes: []message.Write{{RowKey: message.RowKey{Table: 1, Key: key}, Value: value}, {RowKey: message.RowKey{Table: 2}}}})
	copy(key, "xxx")
	copy(value, "xxxxx")
	if d := cmp.Diff([][]byte{[]byte("key"), {}}, ch.keys); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([][]byte{[]byte("value"), {}}, ch.values); d != "" {
		t.Error(d)
	}
}

// What proves that a statement was rolled back, and what does not.
func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		severity, code string
		want           bool
	}{
		{"ERROR", "40001", true}, {"ERROR", "40P01", true}, {"ERROR", "53100", true}, {"ERROR", "42P01", true}, {"ERROR", "57014", true}, {"ERROR", "25006", true},
		{"FATAL", "40001", false}, {"PANIC", "53100", false}, {"FATAL", "57P01", false}, {"WARNING", "40001", false}, {"", "40001", false},
		{"ERROR", "40003", false}, {"ERROR", "57P01", false}, {"ERROR", "57P02", false}, {"ERROR", "57P03", false}, {"ERROR", "08006", false}, {"ERROR", "08P01", false},
		{"ERROR", "58000", false}, {"ERROR", "XX000", false}, {"ERROR", "", false},
	} {
		err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Severity: "localized", SeverityUnlocalized: c.severity, Code: c.code})
		if c.severity == "" {
			err = errors.New("of the network")
		}
		if got := refusal(err) != nil; got != c.want {
			t.Errorf("%s %s proves that it was rolled back: %v", c.severity, c.code, got)
		}
	}
}

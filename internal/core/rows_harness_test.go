package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/semel-dev/semel/message"
)

// rows is one shard's rows in the model of the store: what is visible, or what
// is durable. A row of the dedup log has its generation before its key.
type rows struct {
	tables [message.Tables]map[string][]byte
	seq    message.Seq
	epoch  message.Epoch
}

func newRows() *rows {
	r := new(rows)
	for i := range r.tables {
		r.tables[i] = make(map[string][]byte)
	}
	return r
}

func (r *rows) clone() *rows {
	c := &rows{seq: r.seq, epoch: r.epoch}
	for i := range r.tables {
		c.tables[i] = maps.Clone(r.tables[i]) // values are never changed in place
	}
	return c
}

func storeKey(k message.RowKey) string {
	if k.Table == message.TableDedup {
		return string(binary.BigEndian.AppendUint32(nil, uint32(k.Gen))) + string(k.Key)
	}
	return string(k.Key)
}

func (r *rows) get(k message.RowKey) []byte {
	return bytes.Clone(r.tables[k.Table][storeKey(k)])
}

func (r *rows) keys(t message.Table, prefix string) []string {
	var out []string
	for k := range r.tables[t] {
		if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (r *rows) scan(t message.Table, prefix string) []message.Row {
	var out []message.Row
	for _, k := range r.keys(t, prefix) {
		out = append(out, message.Row{Key: []byte(k), Value: bytes.Clone(r.tables[t][k])})
	}
	return out
}

// apply performs a unit. It copies what it keeps.
func (r *rows) apply(u *loggedUnit) {
	for _, w := range u.writes {
		t := r.tables[w.Table]
		switch k := storeKey(w.RowKey); w.Op {
		case message.Put:
			t[k] = w.Value
		case message.Delete:
			delete(t, k)
		case message.DeletePrefix:
			for _, k := range r.keys(w.Table, k) {
				delete(t, k)
			}
		}
	}
	r.seq = u.version.Seq
}

// loggedUnit is a unit in the store's one log.
type loggedUnit struct {
	shard   message.Shard
	version message.Version
	writes  []message.Write
}

func copyUnit(shard message.Shard, u *message.Unit) *loggedUnit {
	l := &loggedUnit{shard: shard, version: u.Version}
	for _, w := range u.Writes {
		w.Key = bytes.Clone(w.Key)
		w.Value = append([]byte{}, w.Value...)
		l.writes = append(l.writes, w)
	}
	return l
}

// modelStore is a store with one log of units for all shards. A crash keeps a
// prefix of the log that contains at least what was made durable.
type modelStore struct {
	visible, durable []*rows
	log              []*loggedUnit // visible, not durable
}

func newModelStore(shards int) *modelStore {
	m := new(modelStore)
	for range shards {
		m.visible = append(m.visible, newRows())
		m.durable = append(m.durable, newRows())
	}
	return m
}

func (m *modelStore) commit(u *loggedUnit) error {
	r := m.visible[u.shard]
	if want := (message.Version{Epoch: r.epoch, Seq: r.seq + 1}); u.version != want {
		return fmt.Errorf("unit %v committed, %v expected", u.version, want)
	}
	r.apply(u)
	m.log = append(m.log, u)
	return nil
}

// sync makes the first n units of the log durable.
func (m *modelStore) sync(n int) {
	for _, u := range m.log[:n] {
		m.durable[u.shard].apply(u)
	}
	m.log = m.log[n:]
}

func (m *modelStore) crash() {
	m.log = nil
	for i := range m.visible {
		m.visible[i] = m.durable[i].clone()
	}
}

// retire drops what retention lets go, for good.
func (m *modelStore) retire(shard message.Shard, r Retire) {
	for _, state := range [][]*rows{m.visible, m.durable} {
		for k := range state[shard].tables[message.TableDedup] {
			if message.Generation(binary.BigEndian.Uint32([]byte(k))) < r.Below {
				delete(state[shard].tables[message.TableDedup], k)
			}
		}
		for _, c := range r.Consumed {
			out := state[c.Source].tables[message.TableOutbox]
			for k := range out {
				if binary.BigEndian.Uint16([]byte(k)) == uint16(shard) && binary.BigEndian.Uint64([]byte(k)[2:]) <= c.Position {
					delete(out, k)
				}
			}
		}
	}
}

// inbox reads what a source's outbox holds for a shard beyond a position.
func (m *modelStore) inbox(dst message.Shard, c message.Cursor, limit int) []message.Delivery {
	var out []message.Delivery
	t := m.visible[c.Source].tables[message.TableOutbox]
	for p := c.Position + 1; len(out) < limit; p++ {
		k := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, uint16(dst)), p)
		v, ok := t[string(k)]
		if !ok {
			break
		}
		out = append(out, message.Delivery{Source: c.Source, Position: p, Data: bytes.Clone(v)})
	}
	return out
}

// due reads timers as Load.Due asks for them.
func (m *modelStore) due(shard message.Shard, l *Load) (found []message.Row, following *message.Row) {
	for _, r := range m.visible[shard].scan(message.TableDue, "") {
		if len(found) < l.Limit && bytes.Compare(r.Key, l.Due) < 0 {
			found = append(found, r)
			continue
		}
		return found, &r
	}
	return found, nil
}

func (m *modelStore) recovered(shard message.Shard) Recovered {
	r := m.visible[shard]
	rec := Recovered{
		Version: message.Version{Epoch: r.epoch, Seq: r.seq},
		Meta:    r.scan(message.TableMeta, ""), Controls: r.scan(message.TableControl, ""),
		Effects: r.scan(message.TableEffect, ""), Cursors: r.scan(message.TableCursor, "c"), New: r.seq == 0,
		Dead: len(r.tables[message.TableDead]),
	}
	if due := r.scan(message.TableDue, ""); len(due) > 0 {
		rec.NextDue = due[:1]
	}
	return rec
}

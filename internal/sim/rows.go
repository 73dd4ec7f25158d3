package sim

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/semel-dev/semel/message"
)

// rows are one shard's rows in the model of the store: as they are visible, or
// as they are durable. Rows of the dedup log lie in their generations. Values
// are never changed in place.
type rows struct {
	tables [message.Tables]map[string][]byte // but TableDedup
	dedup  map[message.Generation]map[string][]byte
	latest map[string]message.Generation // of each identity in the dedup log
	seq    message.Seq
	epoch  message.Epoch
	clock  message.Time // the latest that a machine had when it sealed a unit of these
}

func newRows() *rows {
	r := &rows{dedup: make(map[message.Generation]map[string][]byte), latest: make(map[string]message.Generation)}
	for i := range r.tables {
		r.tables[i] = make(map[string][]byte)
	}
	return r
}

func (r *rows) get(k message.RowKey) []byte {
	if k.Table == message.TableDedup {
		return r.dedup[k.Gen][string(k.Key)]
	}
	return r.tables[k.Table][string(k.Key)]
}

// recorded is what the dedup log says of an identity, whatever its generation.
func (r *rows) recorded(key string) []byte {
	g, ok := r.latest[key]
	if !ok {
		return nil
	}
	return r.dedup[g][key]
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

// scan returns the rows of a table with a prefix, in the order of their keys.
func (r *rows) scan(t message.Table, prefix string) []message.Row {
	keys := r.keys(t, prefix)
	if len(keys) == 0 {
		return nil
	}
	out := make([]message.Row, 0, len(keys))
	for _, k := range keys {
		out = append(out, message.Row{Key: []byte(k), Value: bytes.Clone(r.tables[t][k])})
	}
	return out
}

func (r *rows) set(k message.RowKey, value []byte) {
	if k.Table != message.TableDedup {
		r.tables[k.Table][string(k.Key)] = value
		return
	}
	g := r.dedup[k.Gen]
	if g == nil {
		g = make(map[string][]byte)
		r.dedup[k.Gen] = g
	}
	key := string(k.Key)
	g[key] = value
	r.latest[key] = max(r.latest[key], k.Gen)
}

func (r *rows) remove(k message.RowKey) {
	if k.Table != message.TableDedup {
		delete(r.tables[k.Table], string(k.Key))
		return
	}
	key := string(k.Key)
	delete(r.dedup[k.Gen], key)
	if r.latest[key] != k.Gen {
		return
	}
	delete(r.latest, key)
	for g, rows := range r.dedup {
		if rows[key] != nil {
			r.latest[key] = max(r.latest[key], g)
		}
	}
}

// apply does what an entry of the log says.
func (r *rows) apply(e *entry) {
	switch {
	case e.retire != nil:
		r.forget(e.retire.Below)
	case e.opened != 0:
		r.epoch = e.opened
	default:
		for i := range e.writes {
			w := &e.writes[i]
			switch w.Op {
			case message.Put:
				r.set(w.RowKey, w.Value)
			case message.Delete:
				r.remove(w.RowKey)
			case message.DeletePrefix:
				for k := range r.tables[w.Table] {
					if len(k) >= len(w.Key) && k[:len(w.Key)] == string(w.Key) {
						delete(r.tables[w.Table], k)
					}
				}
			}
		}
		r.seq, r.clock = e.version.Seq, max(r.clock, e.clock)
	}
}

// forget drops the generations below one.
func (r *rows) forget(below message.Generation) {
	for g, rows := range r.dedup {
		if g >= below {
			continue
		}
		for key := range rows {
			if r.latest[key] == g {
				delete(r.latest, key)
			}
		}
		delete(r.dedup, g)
	}
}

// consumed drops what a shard has taken out of the outbox.
func (r *rows) consumed(dst message.Shard, upTo uint64) {
	for k := range r.tables[message.TableOutbox] {
		if binary.BigEndian.Uint16([]byte(k)) == uint16(dst) && binary.BigEndian.Uint64([]byte(k)[2:]) <= upTo {
			delete(r.tables[message.TableOutbox], k)
		}
	}
}

// revert brings the rows of an entry back to what they are in base, which has
// neither that entry nor any that came after it.
func (r *rows) revert(e *entry, base *rows) {
	for i := range e.writes {
		w := &e.writes[i]
		if w.Op == message.DeletePrefix {
			for k, v := range base.tables[w.Table] {
				if len(k) >= len(w.Key) && k[:len(w.Key)] == string(w.Key) {
					r.tables[w.Table][k] = v
				}
			}
			continue
		}
		if v := base.get(w.RowKey); v != nil {
			r.set(w.RowKey, v)
		} else {
			r.remove(w.RowKey)
		}
	}
	if e.retire != nil {
		for g, rows := range base.dedup {
			for key, v := range rows {
				r.set(message.RowKey{Table: message.TableDedup, Gen: g, Key: []byte(key)}, v)
			}
		}
	}
	r.seq, r.epoch, r.clock = base.seq, base.epoch, base.clock
}

// inbox reads what the rows' outbox holds for a shard beyond a position.
func (r *rows) inbox(dst message.Shard, c message.Cursor, limit int) []message.Delivery {
	var out []message.Delivery
	var k [10]byte
	binary.BigEndian.PutUint16(k[:], uint16(dst))
	for p := c.Position + 1; len(out) < limit; p++ {
		binary.BigEndian.PutUint64(k[2:], p)
		v, ok := r.tables[message.TableOutbox][string(k[:])]
		if !ok {
			break
		}
		out = append(out, message.Delivery{Source: c.Source, Position: p, Data: bytes.Clone(v)})
	}
	return out
}

// due reads timers as Load.Due asks for them.
func (r *rows) due(below []byte, limit int) (found []message.Row, following *message.Row) {
	for _, row := range r.scan(message.TableDue, "") {
		if len(found) < limit && bytes.Compare(row.Key, below) < 0 {
			found = append(found, row)
			continue
		}
		return found, &row
	}
	return found, nil
}

package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// changes is a unit as a statement takes it: every key once, because a
// statement changes a row once, and in the order of the keys, so that two
// statements that meet lock rows in the same order.
type changes struct {
	tables   []int16 // of the rows
	keys     [][]byte
	values   [][]byte // nil: the row is gone
	bounded  []span   // of which every row is gone that is not among keys
	endless  []span   // the same, without an end
	dedup    map[message.Generation]*dedupChanges
	dedupOrd []message.Generation
}

type span struct {
	table    int16
	from, to []byte
}

type dedupChanges struct{ keys, values [][]byte }

// change is a write that no later one undoes.
type change struct {
	table message.Table
	gen   message.Generation
	key   []byte
	value []byte
}

// collapse copies what is left of a unit's writes when later ones have won over
// earlier ones. It goes through them backwards: what comes first is what stays.
func collapse(u *message.Unit) *changes {
	arena := make([]byte, 0, u.Bytes())
	copied := func(b []byte) []byte {
		arena = append(arena, b...)
		return arena[len(arena)-len(b) : len(arena) : len(arena)] // never nil
	}
	type place struct {
		table message.Table
		gen   message.Generation
		key   string
	}
	seen := make(map[place]struct{}, len(u.Writes))
	var deleted prefixes
	left := make([]change, 0, len(u.Writes))
	for i := len(u.Writes) - 1; i >= 0; i-- {
		w := &u.Writes[i]
		checkTable(w.Table, w.Gen)
		if deleted.cover(w.Table, w.Key) {
			continue
		}
		if w.Op == message.DeletePrefix {
			deleted.add(w.Table, copied(w.Key))
			continue
		}
		at := place{w.Table, w.Gen, string(w.Key)}
		if _, later := seen[at]; later {
			continue
		}
		seen[at] = struct{}{}
		c := change{table: w.Table, gen: w.Gen, key: copied(w.Key)}
		if w.Op == message.Put {
			c.value = copied(w.Value)
		} else if w.Op != message.Delete {
			panic(fmt.Sprintf("postgres: there is no operation %d", w.Op))
		}
		left = append(left, c)
	}
	slices.SortFunc(left, func(a, b change) int {
		if a.table != b.table {
			return int(a.table) - int(b.table)
		}
		if a.gen != b.gen {
			return int(int64(a.gen) - int64(b.gen))
		}
		return bytes.Compare(a.key, b.key)
	})
	ch := &changes{}
	for i := range left {
		ch.put(&left[i])
	}
	ch.bounded, ch.endless = deleted.spans()
	return ch
}

func (ch *changes) put(c *change) {
	if c.table != message.TableDedup {
		ch.tables, ch.keys, ch.values = append(ch.tables, int16(c.table)), append(ch.keys, c.key), append(ch.values, c.value)
		return
	}
	d := ch.dedup[c.gen]
	if d == nil {
		if ch.dedup == nil {
			ch.dedup = make(map[message.Generation]*dedupChanges)
		}
		d = &dedupChanges{}
		ch.dedup[c.gen], ch.dedupOrd = d, append(ch.dedupOrd, c.gen)
	}
	d.keys, d.values = append(d.keys, c.key), append(d.values, c.value)
}

func checkTable(table message.Table, gen message.Generation) {
	if table == 0 || table >= message.Tables {
		panic(fmt.Sprintf("postgres: there is no table %d", table))
	}
	if gen != 0 && table != message.TableDedup {
		panic(fmt.Sprintf("postgres: table %d has no generations", table))
	}
}

// prefixes are the prefixes that a unit deletes. A unit may have many, of few
// lengths; so a key is looked up once for each length.
type prefixes [message.Tables]struct {
	lengths []int
	set     map[string][]byte
}

func (p *prefixes) add(table message.Table, prefix []byte) {
	if table == message.TableDedup {
		panic("postgres: DeletePrefix in the dedup table")
	}
	of := &p[table]
	if of.set == nil {
		of.set = make(map[string][]byte)
	}
	of.set[string(prefix)] = prefix
	if !slices.Contains(of.lengths, len(prefix)) {
		of.lengths = append(of.lengths, len(prefix))
	}
}

// cover says whether a key, or a prefix, begins with a prefix that is there.
func (p *prefixes) cover(table message.Table, key []byte) bool {
	for _, n := range p[table].lengths {
		if n <= len(key) {
			if _, ok := p[table].set[string(key[:n])]; ok {
				return true
			}
		}
	}
	return false
}

// spans are the prefixes as ranges that do not overlap.
func (p *prefixes) spans() (bounded, endless []span) {
	for table := range p {
		all := make([]string, 0, len(p[table].set))
		for prefix := range p[table].set {
			all = append(all, prefix)
		}
		slices.Sort(all) // a prefix comes before what begins with it
		last, any := "", false
		for _, prefix := range all {
			if any && strings.HasPrefix(prefix, last) {
				continue
			}
			last, any = prefix, true
			s := span{table: int16(table), from: p[table].set[prefix]}
			if s.to = store.PrefixEnd(s.from); s.to == nil {
				endless = append(endless, s)
			} else {
				bounded = append(bounded, s)
			}
		}
	}
	return bounded, endless
}

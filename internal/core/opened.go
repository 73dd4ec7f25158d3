package core

import "github.com/semel-dev/semel/message"

// opened knows rows of TableOpen that this session wrote: what the overlay forgets
// when it is durable, and an answer needs, a moment later, to settle. On a store
// behind a network that read would cost as much as the commit.
//
// A row that is in it is as it was last written, because every write comes here
// too. A row that is not in it may exist: it is read.
type opened struct {
	rows  map[string][]byte
	bytes int
	limit int // of bytes, keys and values. What does not fit is read
}

// openedLimit bounds what a machine keeps of open rows, by what it may cache.
func openedLimit(cacheBytes int) int { return min(cacheBytes/8, 4<<20) }

// note takes a write of a row; the value is nil if it is deleted.
func (o *opened) note(key, value []byte) {
	if was, ok := o.rows[string(key)]; ok {
		o.bytes -= len(key) + len(was)
		delete(o.rows, string(key))
	}
	if value == nil || o.bytes+len(key)+len(value) > o.limit {
		return
	}
	if o.rows == nil {
		o.rows = make(map[string][]byte)
	}
	o.rows[string(key)] = clone(value)
	o.bytes += len(key) + len(value)
}

// knows fills in the rows that an envelope depends on, if all of them are known.
func (o *opened) knows(env *envelope) bool {
	for i := range env.rows {
		n := &env.rows[i]
		if n.key.Table != message.TableOpen {
			return false
		}
		value, ok := o.rows[string(n.key.Key)]
		if !ok {
			return false
		}
		n.value = value
	}
	return true
}

package core

import (
	"github.com/semel-dev/semel/message"
)

// overlay holds the rows written by units that a read may not have seen yet.
// It is the one place that makes lookups correct while commits are in flight
// and reads are on their way: a row is looked for here first, and what the
// store returned is believed only if nothing was trimmed since (see fresh).
type overlay struct {
	rows map[rowID]overlayRow
}

// rowID addresses a row without its generation: an identity has one outcome,
// whichever generation holds it.
type rowID struct {
	table message.Table
	key   string
}

type overlayRow struct {
	value []byte // nil: deleted
	seq   message.Seq
}

func (o *overlay) get(t message.Table, key []byte) (value []byte, known bool) {
	r, ok := o.rows[rowID{t, string(key)}]
	return r.value, ok
}

// trim forgets the rows that a unit wrote, unless a later unit wrote them too.
func (o *overlay) trim(keys []rowID, seq message.Seq) {
	for _, k := range keys {
		if r, ok := o.rows[k]; ok && r.seq == seq {
			delete(o.rows, k)
		}
	}
}

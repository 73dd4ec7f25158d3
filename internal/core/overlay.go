package core

import (
	"bytes"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/message"
)

// overlay holds the rows written by units that a read may not have seen yet.
// It is the one place that makes lookups correct while commits are in flight
// and reads are on their way: a row is looked for here first, and what the
// store returned is believed only if nothing was trimmed since (see fresh).
//
// Rows are found by a hash of table and key, and told apart by the key itself,
// which stays in its unit's arena: the path of every message makes no garbage.
type overlay struct {
	rows    map[uint64]*overlayRow
	cleared []*overlayRow // their keys are prefixes: what had one before is deleted
}

// overlayRow is the latest write of a row. A row is addressed without its
// generation: an identity has one outcome, whichever generation holds it.
type overlayRow struct {
	table message.Table
	key   []byte
	value []byte // nil: deleted
	seq   message.Seq
	next  *overlayRow // another row with the same hash
}

func (r *overlayRow) is(t message.Table, key []byte) bool {
	return r.table == t && string(r.key) == string(key)
}

func overlayHash(t message.Table, key []byte) uint64 { return xxh3.HashSeed(key, uint64(t)) }

// get returns the row's latest write, nil if it is not known.
func (o *overlay) get(t message.Table, key []byte) *overlayRow {
	r := o.rows[overlayHash(t, key)]
	for r != nil && !r.is(t, key) {
		r = r.next
	}
	for _, c := range o.cleared {
		if c.table == t && bytes.HasPrefix(key, c.key) && (r == nil || r.seq < c.seq) {
			r = c
		}
	}
	return r
}

// clear notes that all rows with a prefix were deleted. What the same unit
// wrote of them before must be deleted one by one.
func (o *overlay) clear(row *overlayRow) { o.cleared = append(o.cleared, row) }

// put notes a write. The row, with its key and value, belongs to the overlay
// until its unit is trimmed.
func (o *overlay) put(row *overlayRow) {
	h := overlayHash(row.table, row.key)
	row.next = o.rows[h]
	if row.next != nil {
		row.next = remove(row.next, row)
	}
	o.rows[h] = row
}

// trim forgets a unit's writes, where no later unit wrote the row too.
func (o *overlay) trim(rows []overlayRow) {
	for i := range rows {
		row := &rows[i]
		if len(o.cleared) > 0 && o.cleared[0] == row {
			o.cleared = o.cleared[1:]
			continue
		}
		h := overlayHash(row.table, row.key)
		head := o.rows[h]
		for r := head; r != nil; r = r.next {
			if r != row {
				continue
			}
			if rest := remove(head, row); rest == nil {
				delete(o.rows, h)
			} else {
				o.rows[h] = rest
			}
			break
		}
	}
}

// remove returns the chain without the row's present entry.
func remove(chain, row *overlayRow) *overlayRow {
	if chain == nil {
		return nil
	}
	if chain.is(row.table, row.key) {
		return chain.next
	}
	chain.next = remove(chain.next, row)
	return chain
}

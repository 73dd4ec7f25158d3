package pebble

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Scan returns rows of a table in order, all as of one moment. In the front
// tables it looks through all that is in memory, each time: it is for listings.
func (s *session) Scan(ctx context.Context, r store.Range, limit int) (rows []message.Row, err error) {
	checkTable(r.Table, r.Gen)
	if err := s.enterRead(ctx); err != nil {
		return nil, err
	}
	defer s.store.leave()
	if limit <= 0 {
		return nil, nil
	}
	var it *pebble.Iterator
	open := func() (err error) { it, err = s.iterate(ctx, r); return err }
	var changes []change
	if front(r.Table) {
		changes, err = s.shard.memory.list(r, limit, open)
	} else {
		err = open()
	}
	if err != nil {
		return nil, s.readError(fmt.Sprintf("table %d", r.Table), err)
	}
	defer func() {
		if cerr := it.Close(); cerr != nil && err == nil {
			rows, err = nil, s.readError(fmt.Sprintf("table %d", r.Table), cerr)
		}
	}()
	prefix := prefixLen(r.Table)
	for ok := it.First(); len(rows) < limit; {
		if !ok && len(changes) == 0 {
			break
		}
		order := -1 // of the next change and the next row
		if len(changes) == 0 {
			order = 1
		} else if ok {
			order = bytes.Compare(changes[0].key, it.Key()[prefix:])
		}
		if order <= 0 {
			if c := changes[0]; !c.deleted {
				rows = append(rows, message.Row{Key: c.key, Value: c.value})
			}
			changes = changes[1:]
			if order == 0 {
				ok = it.Next()
			}
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError(fmt.Sprintf("row %x of table %d", it.Key()[prefix:], r.Table), err)
		}
		key := it.Key()[prefix:]
		// Key and value of a row share one allocation.
		b := make([]byte, 0, len(key)+len(value))
		b = append(append(b, key...), value...)
		rows = append(rows, message.Row{Key: b[:len(key):len(key)], Value: b[len(key):]})
		ok = it.Next()
	}
	return rows, nil // an error that ended the loop is returned by Close too
}

// iterate opens an iterator of what the LSM has in a range.
func (s *session) iterate(ctx context.Context, r store.Range) (*pebble.Iterator, error) {
	lower := appendKey(nil, s.number, r.Table, r.Gen, r.From)
	upper := store.PrefixEnd(lower[:prefixLen(r.Table)])
	if r.To != nil {
		upper = appendKey(nil, s.number, r.Table, r.Gen, r.To)
	}
	return s.store.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

package pebble

import (
	"bytes"
	"context"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// expandPage is how many rows are looked up at a time.
const expandPage = 1024

// expand replaces every DeletePrefix of a front table by the Deletes of what
// is there: a unit row has none, so that what is in memory need not be
// compared with ranges. The engine never asks for it; an engine that does pays
// for each row. What it finds is right if the unit is committed at all: its
// version then says that nothing was committed since.
func (s *session) expand(writes []message.Write) ([]message.Write, error) {
	var out []message.Write
	for i := range writes {
		w := &writes[i]
		checkTable(w.Table, w.Gen)
		if w.Op != message.DeletePrefix || !front(w.Table) {
			out = append(out, *w)
			continue
		}
		if w.Table == message.TableDedup {
			panic("pebble: DeletePrefix in the dedup table")
		}
		for _, earlier := range out {
			if earlier.Table == w.Table && earlier.Op == message.Put && bytes.HasPrefix(earlier.Key, w.Key) {
				out = append(out, message.Write{RowKey: earlier.RowKey, Op: message.Delete})
			}
		}
		r := store.Range{Table: w.Table, From: w.Key, To: store.PrefixEnd(w.Key)}
		for {
			rows, err := s.Scan(context.Background(), r, expandPage)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				out = append(out, message.Write{RowKey: message.RowKey{Table: w.Table, Key: row.Key}, Op: message.Delete})
			}
			if len(rows) < expandPage {
				break
			}
			r.From = append(rows[len(rows)-1].Key, 0)
		}
	}
	return out, nil
}

// expands says whether there is anything to expand.
func expands(writes []message.Write) bool {
	for i := range writes {
		if writes[i].Op == message.DeletePrefix && front(writes[i].Table) {
			return true
		}
	}
	return false
}

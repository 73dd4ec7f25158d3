package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// sum is of rows in any order: their number, and their hashes added up.
type sum struct {
	rows, a, b uint64
}

func (s *sum) add(k message.RowKey, value []byte) (row sum) {
	h := sha256.New()
	var head [16]byte
	binary.BigEndian.PutUint64(head[:], uint64(k.Gen))
	binary.BigEndian.PutUint64(head[8:], uint64(len(k.Key)))
	h.Write(head[:])
	h.Write(k.Key)
	h.Write(value)
	var digest [sha256.Size]byte
	h.Sum(digest[:0])
	row = sum{1, binary.BigEndian.Uint64(digest[:]), binary.BigEndian.Uint64(digest[8:])}
	s.rows, s.a, s.b = s.rows+1, s.a+row.a, s.b+row.b
	return row
}

func (s *sum) remove(row sum) { s.rows, s.a, s.b = s.rows-1, s.a-row.a, s.b-row.b }

// sums are of one shard of the target, by table.
type sums [message.Tables]sum

// compare reads both stores once more: each table of each shard of the target
// has what the source says, no more and no less.
func (m *move) compare(ctx context.Context) error {
	m.progress, m.told = Progress{Phase: "comparing"}, 0
	want := make([]sums, len(m.to.shards))
	// Of two resolutions of a doubt that were in different generations and are
	// in one now, the later one stays.
	type place struct {
		shard message.Shard
		gen   message.Generation
		key   string
	}
	later := make(map[place]sum)
	put := func(to message.Shard, k message.RowKey, value []byte) error {
		m.tell(k, value)
		s := &want[to][k.Table]
		row := s.add(k, value)
		if k.Table == message.TableDedup && k.Key[0] == core.ResolutionKey(message.ID{})[0] {
			at := place{to, k.Gen, string(k.Key)}
			if was, ok := later[at]; ok {
				s.remove(was)
			}
			later[at] = row
		}
		return nil
	}
	for _, st := range m.steps {
		if err := m.read(ctx, st, nil, put, func([]byte) error { return nil }); err != nil {
			return err
		}
	}
	var differ []error
	for _, sh := range m.to.shards {
		is, err := m.sumsOf(ctx, sh)
		if err != nil {
			return fmt.Errorf("%s: shard %d: %w", m.to.Name, sh.id, err)
		}
		for t := range is {
			if w := want[sh.id][t]; is[t] != w {
				differ = append(differ, fmt.Errorf("shard %d, table %d: %d rows, and %d are expected", sh.id, t, is[t].rows, w.rows))
			}
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %w; undo the move with --undo, and move into another one", ErrDiffers, errors.Join(differ...))
	}
	m.report.Rows, m.report.Bytes = m.progress.Rows, m.progress.Bytes
	return nil
}

// sumsOf reads all rows of a shard of the target.
func (m *move) sumsOf(ctx context.Context, sh *shard) (is sums, err error) {
	var ranges []store.Range
	for t := message.Table(1); t < message.Tables; t++ {
		if t != message.TableDedup {
			ranges = append(ranges, store.Range{Table: t})
		}
	}
	for _, g := range m.rows.GenerationsOf(sh.id) {
		ranges = append(ranges, store.Range{Table: message.TableDedup, Gen: g})
	}
	for _, r := range ranges {
		err := sh.scan(ctx, r, func(row message.Row) error {
			k := message.RowKey{Table: r.Table, Gen: r.Gen, Key: row.Key}
			if r.Table != message.TableMeta || string(row.Key) != string(core.MoveKey().Key) {
				is[r.Table].add(k, row.Value)
			}
			return nil
		})
		if err != nil {
			return is, err
		}
	}
	return is, nil
}

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// side is one of the two stores, with a session of each shard.
type side struct {
	Side
	tenure *tenure
	shards []*shard
}

// shard is the right to change one shard, and what is on its way to it.
type shard struct {
	id       message.Shard
	session  store.Session
	mark     *core.MoveMark  // nil if there is none
	bare     bool            // it has rows, and no mark says how their last server ended
	version  message.Version // of the last unit that was submitted
	unit     message.Unit
	bytes    int
	most     int // bytes that a unit may have
	inFlight int // units
	pending  []store.Pending
}

// unitBytes and unitRows are when a unit is worth a commit.
const (
	unitBytes = 1 << 20
	unitRows  = 2048
)

// open takes all shards.
func (s *side) open(ctx context.Context, owner string) error {
	p := s.Store.Profile()
	for i := range s.Store.Shards() {
		sh := &shard{id: message.Shard(i), most: min(p.MaxUnitBytes/2, unitBytes), inFlight: p.UnitsInFlight}
		var err error
		if sh.session, err = s.Store.Open(ctx, sh.id, owner); err == nil {
			sh.version = sh.session.Version()
			sh.bare = sh.version.Seq != 0
			s.shards = append(s.shards, sh)
			err = sh.readMark(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: shard %d: %w", s.Name, i, err)
		}
	}
	return nil
}

func (sh *shard) readMark(ctx context.Context) error {
	values, err := sh.session.Get(ctx, []message.RowKey{core.MoveKey()})
	if err != nil || values[0] == nil {
		return err
	}
	if sh.mark, err = core.ReadMoveMark(values[0]); err == nil {
		sh.bare = sh.mark.State == core.MoveArrived && sh.mark.Unit != sh.version.Seq
	}
	return err
}

// unclean says whether the store's last process did not end in order.
func (s *side) unclean() bool { return !s.Store.CleanStart() || s.tenure.unclean() }

// close gives the store up, with nothing under way: in order, unless that would
// hide from the next server how the last one ended.
func (s *side) close(ctx context.Context) error {
	for _, sh := range s.shards {
		for _, p := range sh.pending { // of a move that failed
			_ = p.Wait()
		}
	}
	bare := func(sh *shard) bool { return sh.bare }
	settled := func(n message.Shard) bool { return int(n) < len(s.shards) && !s.shards[n].bare }
	whole := len(s.shards) == s.Store.Shards() && !slices.ContainsFunc(s.shards, bare)
	if !whole && !s.Store.CleanStart() {
		return s.tenure.end(ctx, settled)
	}
	errs := make(chan error, len(s.shards))
	for _, sh := range s.shards { // at once: each may take as long as the store's patience
		go func() { errs <- sh.session.Close() }()
	}
	var err error
	for range s.shards {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, s.tenure.end(ctx, settled), s.Store.Close())
}

// markAll sets a mark in each shard whose own state, zero for none, is one that
// it follows, in their order.
func (s *side) markAll(ctx context.Context, mark core.MoveMark, follows func(was core.MoveState) bool) error {
	for _, sh := range s.shards {
		var was core.MoveState
		if sh.mark != nil {
			was = sh.mark.State
		}
		if !follows(was) {
			continue
		}
		if err := sh.setMark(ctx, mark, false); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// setMark replaces the shard's mark, or takes it away, and waits until that is
// durable.
func (sh *shard) setMark(ctx context.Context, mark core.MoveMark, remove bool) error {
	if err := sh.settle(ctx); err != nil {
		return err
	}
	mark.Unit = sh.version.Seq + 1
	w := message.Write{RowKey: core.MoveKey(), Op: message.Put, Value: mark.Append(nil)}
	sh.mark = &mark
	if remove {
		w.Op, w.Value, sh.mark = message.Delete, nil, nil
	}
	sh.unit.Writes = append(sh.unit.Writes, w)
	if err := sh.settle(ctx); err != nil {
		return err
	}
	sh.bare = false
	return nil
}

// put adds a row to the open unit, and submits that when it is full.
func (sh *shard) put(ctx context.Context, k message.RowKey, value []byte) error {
	n := len(k.Key) + len(value)
	if len(sh.unit.Writes) > 0 && sh.bytes+n > sh.most {
		if err := sh.submit(ctx); err != nil {
			return err
		}
	}
	sh.unit.Writes = append(sh.unit.Writes, message.Write{RowKey: k, Op: message.Put, Value: value})
	if sh.bytes += n; len(sh.unit.Writes) >= unitRows {
		return sh.submit(ctx)
	}
	return nil
}

// submit commits the open unit, and waits until so few are under way as the
// store likes.
func (sh *shard) submit(ctx context.Context) error {
	if len(sh.unit.Writes) == 0 {
		return nil
	}
	sh.version.Seq++
	sh.unit.Version = sh.version
	sh.pending = append(sh.pending, sh.session.Commit(ctx, &sh.unit))
	clear(sh.unit.Writes)
	sh.unit.Writes, sh.bytes = sh.unit.Writes[:0], 0
	return sh.await(sh.inFlight)
}

// settle makes all durable that was put.
func (sh *shard) settle(ctx context.Context) error {
	if err := sh.submit(ctx); err != nil {
		return err
	}
	return sh.await(0)
}

func (sh *shard) await(left int) error {
	for len(sh.pending) > left {
		p := sh.pending[0]
		sh.pending = slices.Delete(sh.pending, 0, 1)
		if err := p.Wait(); err != nil {
			return fmt.Errorf("shard %d: %w", sh.id, err)
		}
	}
	return nil
}

// settle makes all durable that was put into any shard.
func (s *side) settle(ctx context.Context) error {
	for _, sh := range s.shards {
		if err := sh.submit(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	for _, sh := range s.shards {
		if err := sh.await(0); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// pageBytes is about what is read at once.
const pageBytes = 4 << 20

// scan calls each for the rows of a range in their order. It asks for as many
// at once as, by those before, make a page.
func (sh *shard) scan(ctx context.Context, r store.Range, each func(message.Row) error) error {
	for limit := 64; ; {
		rows, err := sh.session.Scan(ctx, r, limit)
		if err != nil {
			return err
		}
		bytes := 0
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
			bytes += len(row.Key) + len(row.Value)
		}
		if len(rows) < limit {
			return nil
		}
		r.From = append(slices.Clone(rows[len(rows)-1].Key), 0)
		limit = min(max(pageBytes/max(bytes/len(rows), 1), 16), 4096)
	}
}

// all are the rows of a range.
func (sh *shard) all(ctx context.Context, r store.Range) (rows []message.Row, err error) {
	err = sh.scan(ctx, r, func(row message.Row) error { rows = append(rows, row); return nil })
	return rows, err
}

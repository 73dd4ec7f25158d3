package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// read answers the machine's loads and pulls: on the loop where the store's
// reads are local, else beside it, as events.
func (sh *shard) read(loads []*core.Load, pulls []message.Cursor) error {
	if sh.engine.profile.LocalReads {
		feed, err := sh.readNow(loads, pulls)
		if err != nil {
			return err
		}
		return feed(sh.machine)
	}
	// Apart, because a pull may wait for a part of the store that the shard is not
	// in. The work's slices are the machine's: they change with the next Take.
	if len(loads) > 0 {
		sh.readBeside(append([]*core.Load(nil), loads...), nil)
	}
	var here, abroad []message.Cursor // each on its own, for the same reason
	for _, c := range pulls {
		if sh.engine.shards[c.Source].tenancy == sh.tenancy {
			here = append(here, c)
		} else {
			abroad = append(abroad, c)
		}
	}
	for _, some := range [][]message.Cursor{here, abroad} {
		if len(some) > 0 {
			sh.readBeside(nil, some)
		}
	}
	return nil
}

// readBeside reads beside the loop.
func (sh *shard) readBeside(loads []*core.Load, pulls []message.Cursor) {
	life := sh.life
	sh.engine.running.Add(1)
	go func() {
		defer sh.engine.running.Done()
		feed, err := sh.readNow(loads, pulls)
		sh.queue.push(event{run: func(m *core.Shard) {
			if life != sh.life {
				return // another machine runs by now; it asks for itself
			}
			if err == nil {
				err = feed(m)
			}
			if err != nil {
				sh.readFailed(err)
			}
		}})
	}()
}

// readNow reads, and returns how the machine is to be told.
func (sh *shard) readNow(loads []*core.Load, pulls []message.Cursor) (func(*core.Shard) error, error) {
	ctx, s := sh.engine.ctx, sh.session()
	var keys []message.RowKey
	for _, l := range loads {
		keys = append(keys, l.Keys...)
	}
	var values [][]byte
	if len(keys) > 0 {
		var err error
		if values, err = s.Get(ctx, keys); err != nil {
			return nil, fmt.Errorf("read %d rows: %w", len(keys), err)
		}
	}
	due := make(map[*core.Load][]message.Row)
	for _, l := range loads {
		if l.Due == nil {
			continue
		}
		// One row more than is due, so that the machine knows when to come again.
		rows, err := s.Scan(ctx, store.Range{Table: message.TableDue}, l.Limit+1)
		if err != nil {
			return nil, fmt.Errorf("read timers: %w", err)
		}
		due[l] = rows
	}
	inbox, err := sh.pull(ctx, s, pulls)
	if err != nil {
		return nil, err
	}
	return func(m *core.Shard) error {
		now := sh.now()
		for _, l := range loads {
			if l.Due != nil {
				rows, following := splitDue(l, due[l])
				if err := m.DueLoaded(now, l, rows, following); err != nil {
					return err
				}
				continue
			}
			n := len(l.Keys)
			if err := m.Loaded(now, l, values[:n:n]); err != nil {
				return err
			}
			values = values[n:]
		}
		for _, c := range pulls {
			if err := m.Delivered(now, c.Source, inbox.of[c.Source]); err != nil {
				return err
			}
			if inbox.full {
				m.Hint(c.Source)
			}
		}
		if inbox.why != nil && !sh.cutOff {
			sh.engine.cfg.Logger.Warn("messages of other shards cannot be read; it is tried again every second", "shard", sh.id, "error", inbox.why)
		}
		if len(pulls) > 0 && sh.engine.shards[pulls[0].Source].tenancy != sh.tenancy {
			sh.cutOff = inbox.why != nil
		}
		for _, source := range inbox.away {
			if sh.missed == nil {
				sh.missed = make(map[message.Shard]bool)
			}
			sh.missed[source] = true
		}
		return nil
	}, nil
}

// inbox is what pulls found, by source. If it is full, any of them may have more.
type inbox struct {
	of   map[message.Shard][]message.Delivery
	full bool
	away []message.Shard // could not be asked: their messages come later, see pullOthers
	why  error           // ... of the last of them
}

// pull reads other shards' outboxes: all in one round trip where that costs more
// than the rows do.
func (sh *shard) pull(ctx context.Context, s store.Session, pulls []message.Cursor) (found inbox, err error) {
	if len(pulls) == 0 {
		return found, nil
	}
	found.of = make(map[message.Shard][]message.Delivery, len(pulls))
	at := len(pulls)
	if sh.engine.profile.LocalReads {
		at = 1
	}
	for some := range slices.Chunk(pulls, max(at, 1)) {
		all, err := s.Inbox(ctx, some, inboxBatch)
		var away *store.AwayError
		if errors.As(err, &away) {
			found.away, found.why = append(found.away, away.Sources...), err
		} else if err != nil {
			return found, fmt.Errorf("read the outboxes of %d shards, that of %d first: %w", len(some), some[0].Source, err)
		}
		for _, d := range all {
			found.of[d.Source] = append(found.of[d.Source], d)
		}
		found.full = found.full || len(some) > 1 && len(all) >= inboxBatch
	}
	return found, nil
}

// splitDue parts the rows that are due from the first that is not, or that did
// not fit.
func splitDue(l *core.Load, rows []message.Row) (due []message.Row, following *message.Row) {
	for i := range rows {
		if i == l.Limit || string(rows[i].Key) >= string(l.Due) {
			return rows[:i], &rows[i]
		}
	}
	return rows, nil
}

// readFailed makes the loop open the shard again.
func (sh *shard) readFailed(err error) {
	sh.ackMu.Lock()
	defer sh.ackMu.Unlock()
	if sh.broke == nil {
		sh.broke = err
	}
}

// hint tells shards that another's outbox grew, on whatever node they are.
func (e *Engine) hint(from message.Shard, to []message.Shard) {
	e.hintHere(from, to)
	if e.cluster != nil {
		e.cluster.hint(from, to)
	}
}

// hintHere tells shards of this node; the others' loops forget it.
func (e *Engine) hintHere(from message.Shard, to []message.Shard) {
	for _, dst := range to {
		if int(dst) >= len(e.shards) || !e.shards[dst].mine() {
			continue
		}
		sh := e.shards[dst]
		if sh.hinted[from].Swap(true) {
			continue // one is in its queue already
		}
		sh.queue.push(event{run: func(m *core.Shard) {
			sh.hinted[from].Store(false)
			m.Hint(from)
		}})
	}
}

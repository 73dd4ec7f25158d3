package migrate

import (
	"context"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// step is a part of the source that is read in one go.
type step struct {
	shard message.Shard
	table message.Table
	gen   message.Generation
	park  bool // messages for the shard, and what keeps its agents
	own   bool // the rows of a shard of the target itself
}

// learn reads what the places of rows depend on, and plans the steps.
func (m *move) learn(ctx context.Context) error {
	m.rows = core.NewMoving(len(m.from.shards), len(m.to.shards), m.to.Store.Profile().MaxUnitBytes)
	for _, sh := range m.from.shards {
		meta, err := sh.all(ctx, store.Range{Table: message.TableMeta})
		if err != nil {
			return err
		}
		effects, err := sh.all(ctx, store.Range{Table: message.TableEffect})
		if err != nil {
			return err
		}
		cursors, err := sh.all(ctx, store.Range{Table: message.TableCursor, From: []byte("c"), To: []byte("d")})
		if err != nil {
			return err
		}
		if err := m.rows.Learn(sh.id, meta, effects, cursors); err != nil {
			return fmt.Errorf("%s: shard %d: %w", m.from.Name, sh.id, err)
		}
	}
	tables := []message.Table{
		message.TableState, message.TableOpen, message.TableMailbox, message.TableEffect,
		message.TableTimer, message.TableDead, message.TableCursor,
	}
	if m.rows.Same() {
		tables = append(tables, message.TableControl, message.TableOutbox)
	}
	for _, sh := range m.from.shards {
		for _, t := range tables {
			m.steps = append(m.steps, step{shard: sh.id, table: t})
		}
		for _, g := range m.rows.Generations(sh.id) {
			m.steps = append(m.steps, step{shard: sh.id, table: message.TableDedup, gen: g})
		}
		if !m.rows.Same() {
			m.steps = append(m.steps, step{shard: sh.id, park: true})
		}
	}
	for _, sh := range m.to.shards {
		m.steps = append(m.steps, step{shard: sh.id, own: true})
	}
	return nil
}

// read gives every row of a step its place, behind a key. read is told after
// which key of the source a step could go on.
func (m *move) read(ctx context.Context, st step, after []byte, put core.Placed, read func(key []byte) error) error {
	if st.own {
		return m.rows.Meta(st.shard, m.unclean, put)
	}
	sh := m.from.shards[st.shard]
	if st.park {
		return m.park(ctx, sh, put)
	}
	r := store.Range{Table: st.table, Gen: st.gen}
	if after != nil {
		r.From = append(slices.Clone(after), 0)
	}
	return sh.scan(ctx, r, func(row message.Row) error {
		k := message.RowKey{Table: st.table, Gen: st.gen, Key: row.Key}
		if err := m.rows.Place(sh.id, k, row.Value, put); err != nil {
			return err
		}
		return read(row.Key)
	})
}

// inboxPage is how many messages are asked for at once.
const inboxPage = 256

// park delivers to a shard what it has not consumed.
func (m *move) park(ctx context.Context, sh *shard, put core.Placed) error {
	controls, err := sh.all(ctx, store.Range{Table: message.TableControl})
	if err != nil {
		return err
	}
	p, err := m.rows.Park(sh.id, controls)
	if err != nil {
		return err
	}
	for _, at := range m.rows.Taken(sh.id) {
		for {
			page, err := sh.session.Inbox(ctx, []message.Cursor{at}, inboxPage)
			if err != nil {
				return err
			}
			for _, d := range page {
				if d.Position != at.Position+1 {
					return fmt.Errorf("%w: the outbox of shard %d for shard %d goes from message %d to %d", store.ErrCorrupt, at.Source, sh.id, at.Position, d.Position)
				}
				if err := p.Add(d, put); err != nil {
					return err
				}
				at.Position++
			}
			if len(page) == 0 {
				break
			}
		}
	}
	return p.End(put)
}

// noteBytes is the default of Options.noteEvery.
const noteBytes = 64 << 20

// copy writes the rows to the target, from where another run came to.
func (m *move) copy(ctx context.Context) error {
	m.progress = Progress{Phase: "copying"}
	at := *m.to.shards[0].mark
	if at.Step > uint64(len(m.steps)) {
		return fmt.Errorf("%w: the target is at step %d of %d", ErrOther, at.Step, len(m.steps))
	}
	put := func(to message.Shard, k message.RowKey, value []byte) error {
		m.tell(k, value)
		return m.to.shards[to].put(ctx, k, value)
	}
	var noted uint64
	note := func(step int, after []byte) error {
		if err := m.to.settle(ctx); err != nil {
			return err
		}
		noted = m.progress.Bytes
		mark := at
		mark.Step, mark.After = uint64(step), slices.Clone(after)
		return m.to.shards[0].setMark(ctx, mark, false)
	}
	after := at.After
	for i := int(at.Step); i < len(m.steps); i++ {
		err := m.read(ctx, m.steps[i], after, put, func(key []byte) error {
			if m.progress.Bytes-noted < m.opt.noteEvery {
				return nil
			}
			return note(i, key)
		})
		if err != nil {
			return err
		}
		after = nil
		if m.progress.Bytes-noted >= m.opt.noteEvery {
			if err := note(i+1, nil); err != nil {
				return err
			}
		}
	}
	return note(len(m.steps), nil)
}

// tell counts a row, and says so now and then.
func (m *move) tell(k message.RowKey, value []byte) {
	m.progress.Rows++
	m.progress.Bytes += uint64(len(k.Key) + len(value))
	if m.opt.Progress != nil && (m.progress.Rows == 1 || m.progress.Bytes-m.told >= unitBytes) {
		m.told = m.progress.Bytes
		m.opt.Progress(m.progress)
	}
}

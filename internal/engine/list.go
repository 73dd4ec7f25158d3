package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Listings read the store page by page beside the loops. A page is handed out
// only when everything in it is durable. What changes while a listing is under
// way may be seen or not; what does not is seen once.

// Outcome looks up what is recorded of a keyed message; nil if nothing is.
func (e *Engine) Outcome(ctx context.Context, a message.Agent, principal, key string) (*message.Outcome, error) {
	ans := e.askFor(ctx, a, &question{Op: opLookup, Principal: principal, Key: key})
	switch {
	case ans.Fault == nil:
		return ans.Outcome, nil
	case ans.Fault.Code == message.CodeUnknownKey:
		return nil, nil
	}
	return nil, ans.Fault
}

// OutcomeEntry is one recorded outcome of an agent.
type OutcomeEntry struct {
	Principal, Key string
	Outcome        *message.Outcome
	Place          Place
}

// Outcomes lists what is recorded of an agent's keyed messages: first those
// that are not settled, then by generation, newest first, and by key.
func (e *Engine) Outcomes(ctx context.Context, a message.Agent, after Place) iter.Seq2[OutcomeEntry, error] {
	return func(yield func(OutcomeEntry, error) bool) {
		prefix := append(a.AppendKey(nil), 'k')
		ranges := []store.Range{{Table: message.TableOpen, From: prefix, To: store.PrefixEnd(prefix)}}
		ans := e.askFor(ctx, a, &question{Op: opGenerations})
		if ans.Fault != nil {
			yield(OutcomeEntry{}, ans.Fault)
			return
		}
		for _, g := range ans.Generations {
			ranges = append(ranges, store.Range{Table: message.TableDedup, Gen: g, From: prefix, To: store.PrefixEnd(prefix)})
		}
		sh := e.shardOf(a)
		ranges, err := goOn(ranges, after)
		if err != nil {
			yield(OutcomeEntry{}, err)
			return
		}
		for _, r := range ranges {
			for row, err := range e.scan(ctx, sh, r, new(absent)) {
				var entry OutcomeEntry
				if err == nil {
					entry.Place = placeOf(uint32(r.Gen), row.Key)
					k := message.RowKey{Table: r.Table, Gen: r.Gen, Key: row.Key}
					entry.Principal, entry.Key = core.SplitKeyIdentity(row.Key[len(prefix)-1:])
					entry.Outcome, err = core.ReadOutcome(k, row.Value)
				}
				if !yield(entry, err) || err != nil {
					return
				}
			}
		}
	}
}

// AgentEntry is one agent that exists.
type AgentEntry struct {
	Agent   message.Agent
	Version uint64
	Place   Place
}

// Agents lists the agents of a tenant and type, shard by shard and by id
// within a shard.
func (e *Engine) Agents(ctx context.Context, tenant, typ string, after Place) iter.Seq2[AgentEntry, error] {
	prefix := message.Agent{Tenant: tenant, Type: typ}.AppendKey(nil)
	prefix = prefix[:len(prefix)-1] // without the end of the empty id
	all := rows(e, ctx, store.Range{Table: message.TableState, From: prefix, To: store.PrefixEnd(prefix)}, after,
		nil, func(row message.Row, at Place) (entry AgentEntry, err error) {
			entry.Place = at
			if entry.Agent, _, err = message.ParseAgentKey(row.Key); err != nil {
				return entry, err
			}
			entry.Version, err = core.ReadStateVersion(message.RowKey{Table: message.TableState, Key: row.Key}, row.Value)
			return entry, err
		})
	return func(yield func(AgentEntry, error) bool) {
		for entry, err := range all {
			if err == nil && entry.Version == 0 {
				continue // it has promised its first step, and taken none
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// EffectEntry is an effect that is not settled.
type EffectEntry struct {
	core.EffectView
	Seen  core.Look // when it was read, or a moment before
	Place Place
}

// Effects lists the effects that are not settled.
func (e *Engine) Effects(ctx context.Context, after Place) iter.Seq2[EffectEntry, error] {
	return e.effects(ctx, store.Range{Table: message.TableEffect}, after)
}

func (e *Engine) effects(ctx context.Context, r store.Range, after Place) iter.Seq2[EffectEntry, error] {
	var seen core.Look
	look := func(sh *shard, away *absent) error {
		ans := away.ask(e, ctx, sh, &question{Op: opLook, Shard: sh.id})
		seen = ans.Seen
		if ans.Fault != nil {
			return ans.Fault
		}
		return nil
	}
	return rows(e, ctx, r, after, look, func(row message.Row, at Place) (EffectEntry, error) {
		v, err := core.ReadEffect(message.RowKey{Table: message.TableEffect, Key: row.Key}, row.Value)
		return EffectEntry{v, seen, at}, err
	})
}

// Effect looks up an effect that is not settled, and says whether there is one.
func (e *Engine) Effect(ctx context.Context, id message.ID) (EffectEntry, bool, error) {
	return firstOf(e.effects(ctx, oneRow(message.TableEffect, id), ""))
}

// DeadEntry is a message that was accepted and failed for good.
type DeadEntry struct {
	*core.DeadLetter
	Place Place
}

// DeadLetters lists the messages that were accepted and failed for good.
func (e *Engine) DeadLetters(ctx context.Context, after Place) iter.Seq2[DeadEntry, error] {
	return e.dead(ctx, store.Range{Table: message.TableDead}, after)
}

// DeadLetter looks up one of them, and says whether it is there.
func (e *Engine) DeadLetter(ctx context.Context, id message.ID) (DeadEntry, bool, error) {
	return firstOf(e.dead(ctx, oneRow(message.TableDead, id), ""))
}

func (e *Engine) dead(ctx context.Context, r store.Range, after Place) iter.Seq2[DeadEntry, error] {
	return rows(e, ctx, r, after, nil, func(row message.Row, at Place) (DeadEntry, error) {
		d, err := core.ReadDead(message.RowKey{Table: message.TableDead, Key: row.Key}, row.Value)
		return DeadEntry{d, at}, err
	})
}

// oneRow is the range of the row that has an identity for its key. The identity
// does not say which shard has it.
func oneRow(t message.Table, id message.ID) store.Range {
	return store.Range{Table: t, From: id[:], To: append(id[:], 0)}
}

// firstOf is the first of a listing, if there is one.
func firstOf[T any](list iter.Seq2[T, error]) (item T, found bool, err error) {
	for item, err := range list {
		return item, err == nil, err
	}
	return item, false, nil
}

// rows lists a range of every shard, after a place. Before it reads a shard it
// calls begin, if there is one. That no node has some of them is said in the end.
func rows[T any](e *Engine, ctx context.Context, whole store.Range, after Place, begin func(*shard, *absent) error, read func(message.Row, Place) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if f := e.notRunning(); f != nil {
			yield(none, f)
			return
		}
		from, key, ok := after.parse()
		if !ok || from >= uint32(len(e.shards)) {
			yield(none, errPlace)
			return
		}
		var away absent
		isAway := func(err error) bool {
			var f *message.Fault
			return errors.As(err, &f) && away.is(ctx, f)
		}
		for _, sh := range e.shards[from:] {
			r := whole
			if key != nil && uint32(sh.id) == from {
				if r.From, ok = behind(whole, key); !ok {
					yield(none, errPlace)
					return
				}
			}
			if begin != nil {
				if err := begin(sh, &away); isAway(err) {
					continue
				} else if err != nil {
					yield(none, err)
					return
				}
			}
			for row, err := range e.scan(ctx, sh, r, &away) {
				if isAway(err) {
					break
				}
				var item T
				if err == nil {
					item, err = read(row, placeOf(uint32(sh.id), row.Key))
				}
				if !yield(item, err) || err != nil {
					return
				}
			}
		}
		if away.fault != nil {
			yield(none, away.fault)
		}
	}
}

// scan reads a range of one shard, a page at a time, wherever the shard is.
func (e *Engine) scan(ctx context.Context, sh *shard, r store.Range, away *absent) iter.Seq2[message.Row, error] {
	return func(yield func(message.Row, error) bool) {
		for {
			page := away.ask(e, ctx, sh, &question{Op: opScan, Shard: sh.id, Range: &r, Limit: scanPage})
			if page.err != nil {
				yield(message.Row{}, page.err)
				return
			}
			if page.Fault != nil {
				yield(message.Row{}, page.Fault)
				return
			}
			for _, row := range page.Rows {
				if !yield(row, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			r.From = append(append([]byte(nil), page.Rows[len(page.Rows)-1].Key...), 0)
		}
	}
}

// page reads rows of a shard of this node, all of which are durable.
func (e *Engine) page(ctx context.Context, sh *shard, r store.Range, limit int) ([]message.Row, error) {
	for {
		reads, up := sh.reads()
		var page []message.Row
		var err error
		if up {
			page, err = reads.session.Scan(ctx, r, limit)
		}
		if err != nil && reads.lasts() {
			return nil, fmt.Errorf("list shard %d: %w", sh.id, err)
		}
		// The page may show units that are not durable yet. If it is of a session
		// that was lost, this waits for the next, or says that the shard is down.
		ans := e.onLoop(ctx, sh, func(m *core.Shard, _ message.Time, c *core.Caller) {
			sh.answerAt(m.Sealed(), callOf(c), core.Answer{})
		})
		switch {
		case ans.Fault != nil:
			return nil, ans.Fault
		case up && err == nil && reads.lasts():
			return page, nil
		}
	}
}

// Backup copies the store, while it is in use, into a directory that does not
// exist yet. The copy has everything that was acknowledged before.
func (e *Engine) Backup(ctx context.Context, dir string) error {
	b, ok := e.store.(store.Backuper)
	if !ok {
		return errors.New("this store cannot copy itself while it is in use; use its own tools")
	}
	return b.Backup(ctx, dir)
}

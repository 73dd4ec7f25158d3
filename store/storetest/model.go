package storetest

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

const modelShards = 3

// model is a store as naive as can be, beside the store that is tested.
type model struct {
	t     testing.TB
	place Place
	late  bool // units reach the store after Commit returned
	st    store.Store
	own   [modelShards]*owner
	old   [modelShards]*owner // a session that own fenced
	wait  []store.Pending
	rows  [modelShards]map[row]string
	last  [modelShards][modelShards]uint64 // positions sent, by source and destination
	used  [modelShards][modelShards]uint64 // positions purged
	given [modelShards][modelShards]uint64 // positions that a reader was given
	floor [modelShards]message.Generation  // generations below are dropped, and written no more
}

// row names a row of a shard.
type row struct {
	table message.Table
	gen   message.Generation
	key   string
}

// testModel runs random histories against the model. A failure prints its seed
// and how to run it again.
func testModel(t *testing.T, h Harness) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: t, place: h.Make(t, modelShards), late: h.Differs.Remote != ""}
		for i := range m.rows {
			m.rows[i] = map[row]string{}
		}
		m.reopen(rt)
		actions := map[string]func(*rapid.T){
			"commit":   m.commit,
			"send":     m.send,
			"pull":     m.pull,
			"takeover": m.takeover,
			"zombie":   m.zombie,
			"replay":   m.replay,
			"drop":     m.drop,
			"scan":     m.scan,
			"get":      m.get,
			"wait":     m.settle,
			"close":    func(rt *rapid.T) { m.settle(rt); m.close(rt); m.reopen(rt) },
		}
		if m.place.Kill != nil {
			actions["kill"] = func(rt *rapid.T) { m.settle(rt); m.place.Kill(t); m.reopen(rt) }
		}
		rt.Repeat(actions)
		m.settle(rt)
		m.compare(rt)
		m.close(rt)
	})
}

func (m *model) close(rt *rapid.T) {
	if err := m.st.Close(); err != nil {
		rt.Fatalf("Close: %v", err)
	}
}

func (m *model) reopen(rt *rapid.T) {
	st, err := m.place.OpenStore(background)
	if err != nil {
		rt.Fatalf("OpenStore: %v", err)
	}
	m.st, m.old = st, [modelShards]*owner{}
	for i := range m.own {
		m.open(rt, message.Shard(i))
	}
	// Maintain is not durable when it returns: a kill may have undone it.
	for shard := range message.Shard(modelShards) {
		r := store.Retention{Shard: shard, Below: m.floor[shard]}
		for source := range message.Shard(modelShards) {
			r.Consumed = append(r.Consumed, message.Cursor{Source: source, Position: m.used[source][shard]})
		}
		m.maintain(rt, r)
	}
	m.compare(rt)
}

func (m *model) maintain(rt *rapid.T, r store.Retention) {
	if err := m.st.Maintain(background, r); err != nil {
		rt.Fatalf("Maintain: %v", err)
	}
}

// open takes a shard over; its version must be the one the model knows.
func (m *model) open(rt *rapid.T, shard message.Shard) {
	s, err := m.st.Open(background, shard, "model")
	if err != nil {
		rt.Fatalf("Open shard %d: %v", shard, err)
	}
	next := &owner{Session: s, t: m.t, at: s.Version()}
	if before := m.own[shard]; before != nil && (next.at.Seq != before.at.Seq || next.at.Epoch <= before.at.Epoch) {
		rt.Fatalf("shard %d opened at %+v after %+v", shard, next.at, before.at)
	}
	m.own[shard] = next
}

func drawShard(rt *rapid.T, label string) message.Shard {
	return message.Shard(rapid.IntRange(0, modelShards-1).Draw(rt, label))
}

// drawKey draws short keys of few bytes, so that they meet, and so that one is
// often a prefix of another.
func drawKey(rt *rapid.T) string {
	return string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xfe, 0xff}), 0, 3).Draw(rt, "key"))
}

func drawRow(rt *rapid.T) row {
	r := row{table: rapid.SampledFrom([]message.Table{message.TableMeta, message.TableState, message.TableDedup, message.TableCursor}).Draw(rt, "table"), key: drawKey(rt)}
	if r.table == message.TableDedup {
		r.gen = message.Generation(rapid.IntRange(0, 5).Draw(rt, "generation"))
	}
	return r
}

func (r row) rowKey() message.RowKey {
	return message.RowKey{Table: r.table, Gen: r.gen, Key: []byte(r.key)}
}

func (m *model) commit(rt *rapid.T) {
	shard := drawShard(rt, "shard")
	rows := m.rows[shard]
	var writes []message.Write
	for range rapid.IntRange(0, 6).Draw(rt, "writes") {
		r := drawRow(rt)
		if r.table == message.TableDedup {
			r.gen += m.floor[shard]
		}
		switch op := rapid.IntRange(0, 9).Draw(rt, "op"); {
		case op == 0 && r.table != message.TableDedup:
			writes = append(writes, delPrefix(r.rowKey()))
			maps.DeleteFunc(rows, func(k row, _ string) bool { return k.table == r.table && strings.HasPrefix(k.key, r.key) })
		case op < 3:
			writes = append(writes, del(r.rowKey()))
			delete(rows, r)
		default:
			value := rapid.StringN(0, 8, 16).Draw(rt, "value")
			writes = append(writes, put(r.rowKey(), value))
			rows[r] = value
		}
	}
	m.wait = append(m.wait, m.own[shard].submit(writes...))
}

func (m *model) send(rt *rapid.T) {
	from, to := drawShard(rt, "from"), drawShard(rt, "to")
	var writes []message.Write
	for range rapid.IntRange(1, 3).Draw(rt, "messages") {
		m.last[from][to]++
		w := send(to, m.last[from][to], rapid.StringN(0, 4, 8).Draw(rt, "data"))
		writes = append(writes, w)
		m.rows[from][row{table: message.TableOutbox, key: string(w.Key)}] = string(w.Value)
	}
	m.wait = append(m.wait, m.own[from].submit(writes...))
}

// pull reads an inbox from random cursors and sometimes purges what was read. No
// cursor is beyond what its reader was given before: a store may take one for a
// sign that it was set back.
func (m *model) pull(rt *rapid.T) {
	if m.late {
		m.settle(rt)
	}
	to := drawShard(rt, "to")
	limit := rapid.IntRange(1, 10).Draw(rt, "max")
	var from []message.Cursor
	at := map[message.Shard]uint64{}
	there := 0
	for source := range message.Shard(modelShards) {
		position := rapid.Uint64Range(m.used[source][to], m.given[source][to]).Draw(rt, "position")
		from = append(from, message.Cursor{Source: source, Position: position})
		at[source] = position
		there += int(m.last[source][to] - position)
	}
	got, err := m.own[to].Inbox(background, from, limit)
	if err != nil || len(got) != min(limit, there) {
		rt.Fatalf("Inbox of %d with %d messages there and at most %d: %d, %v", to, there, limit, len(got), err)
	}
	for _, d := range got {
		at[d.Source]++
		w := send(to, d.Position, "")
		want := m.rows[d.Source][row{table: message.TableOutbox, key: string(w.Key)}]
		if d.Position != at[d.Source] || string(d.Data) != want {
			rt.Fatalf("message %d of %d is %q, want %q at %d", d.Position, d.Source, d.Data, want, at[d.Source])
		}
		m.given[d.Source][to] = max(m.given[d.Source][to], d.Position)
	}
	if rapid.Bool().Draw(rt, "purge") {
		m.maintain(rt, store.Retention{Shard: to, Consumed: from})
		for _, c := range from {
			m.used[c.Source][to] = c.Position
			maps.DeleteFunc(m.rows[c.Source], func(k row, _ string) bool {
				return k.table == message.TableOutbox && binary.BigEndian.Uint16([]byte(k.key)) == uint16(to) && binary.BigEndian.Uint64([]byte(k.key[2:])) <= c.Position
			})
		}
	}
}

func (m *model) takeover(rt *rapid.T) {
	if m.late {
		m.settle(rt)
	}
	shard := drawShard(rt, "shard")
	m.old[shard] = m.own[shard]
	m.open(rt, shard)
}

// zombie commits from a session that was taken over.
func (m *model) zombie(rt *rapid.T) {
	o := m.old[drawShard(rt, "shard")]
	if o == nil {
		rt.Skip("nobody was taken over")
	}
	at := o.at
	if err := o.submit(put(state("zombie"), "")).Wait(); !errors.Is(err, store.ErrFenced) {
		rt.Fatalf("a zombie's commit: %v", err)
	}
	o.at = at
}

// replay commits a sequence that does not follow.
func (m *model) replay(rt *rapid.T) {
	o := m.own[drawShard(rt, "shard")]
	seq := rapid.Uint64Range(0, uint64(o.at.Seq)+3).Draw(rt, "sequence")
	if message.Seq(seq) == o.at.Seq+1 {
		rt.Skip("that one follows")
	}
	u := &message.Unit{Version: message.Version{Epoch: o.at.Epoch, Seq: message.Seq(seq)}, Writes: []message.Write{put(state("replay"), "")}}
	if err := o.Commit(background, u).Wait(); !errors.Is(err, store.ErrFenced) {
		rt.Fatalf("unit %d after %d: %v", seq, o.at.Seq, err)
	}
}

func (m *model) drop(rt *rapid.T) {
	shard := drawShard(rt, "shard")
	m.floor[shard] += message.Generation(rapid.IntRange(0, 2).Draw(rt, "generations"))
	below := m.floor[shard]
	m.maintain(rt, store.Retention{Shard: shard, Below: below})
	maps.DeleteFunc(m.rows[shard], func(k row, _ string) bool { return k.table == message.TableDedup && k.gen < below })
}

func (m *model) scan(rt *rapid.T) {
	shard, r := drawShard(rt, "shard"), drawRow(rt)
	rng := store.Range{Table: r.table, Gen: r.gen, From: []byte(r.key)}
	to := drawKey(rt)
	if rapid.Bool().Draw(rt, "bounded") {
		rng.To = []byte(to)
	}
	limit := rapid.IntRange(0, 20).Draw(rt, "limit")
	got, err := m.own[shard].Scan(background, rng, limit)
	if err != nil {
		rt.Fatalf("Scan: %v", err)
	}
	want := m.sorted(shard, r.table, r.gen, func(k string) bool { return k >= r.key && (rng.To == nil || k < to) })
	want = want[:min(len(want), limit)]
	m.equal(rt, shard, want, got)
}

func (m *model) sorted(shard message.Shard, table message.Table, gen message.Generation, in func(string) bool) []row {
	var keys []row
	for k := range m.rows[shard] {
		if k.table == table && k.gen == gen && in(k.key) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b row) int { return strings.Compare(a.key, b.key) })
	return keys
}

func (m *model) equal(rt *rapid.T, shard message.Shard, want []row, got []message.Row) {
	if len(got) != len(want) {
		rt.Fatalf("shard %d: %d rows, want %d: %+v", shard, len(got), len(want), want)
	}
	for i, w := range want {
		if string(got[i].Key) != w.key || string(got[i].Value) != m.rows[shard][w] {
			rt.Fatalf("shard %d: row %q is %q, want %q: %q", shard, got[i].Key, got[i].Value, w.key, m.rows[shard][w])
		}
	}
}

func (m *model) get(rt *rapid.T) {
	shard := drawShard(rt, "shard")
	var keys []message.RowKey
	var rows []row
	for range rapid.IntRange(0, 5).Draw(rt, "keys") {
		r := drawRow(rt)
		rows, keys = append(rows, r), append(keys, r.rowKey())
	}
	got, err := m.own[shard].Get(background, keys)
	if err != nil || len(got) != len(keys) {
		rt.Fatalf("Get: %d values, %v", len(got), err)
	}
	for i, r := range rows {
		want, there := m.rows[shard][r]
		if (got[i] != nil) != there || string(got[i]) != want {
			rt.Fatalf("row %+v is %q (there: %v), want %q (%v)", r, got[i], got[i] != nil, want, there)
		}
	}
}

func (m *model) settle(rt *rapid.T) {
	for _, p := range m.wait {
		if err := p.Wait(); err != nil {
			rt.Fatalf("Wait: %v", err)
		}
	}
	m.wait = nil
}

// compare reads everything.
func (m *model) compare(rt *rapid.T) {
	for shard := range message.Shard(modelShards) {
		for table := message.Table(1); table < message.Tables; table++ {
			gens := message.Generation(1)
			if table == message.TableDedup {
				gens = m.floor[shard] + 8
			}
			for gen := range gens {
				got, err := m.own[shard].Scan(background, store.Range{Table: table, Gen: gen}, 1<<20)
				if err != nil {
					rt.Fatalf("Scan: %v", err)
				}
				m.equal(rt, shard, m.sorted(shard, table, gen, func(string) bool { return true }), got)
			}
		}
	}
}

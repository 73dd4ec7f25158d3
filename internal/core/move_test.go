package core

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semel-dev/semel/message"
)

// randomGenerations are those of a shard that turned at times of its own, and
// may have forgotten the first.
func randomGenerations(r *rand.Rand) (g []generation) {
	at := message.Time(1000 + r.IntN(100))
	number := message.Generation(1)
	if r.IntN(2) == 0 {
		number += message.Generation(1 + r.IntN(5))
		at += message.Time(r.IntN(100))
	}
	for range 1 + r.IntN(8) {
		g = append(g, generation{number: number, start: at})
		number, at = number+1, at+message.Time(r.IntN(30))
	}
	return g
}

// Whatever the generations of the shards are, and however many shards there are
// before and after: an outcome that was recorded at a time is in a generation
// that is asked for by every key that can have been seen by then, and is kept as
// long; and of a key that its shard may have forgotten the horizon says so.
func TestMovedOutcomesAreFound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := NewMoving(1+r.IntN(6), 1+r.IntN(6), 1<<20)
		for i := range m.shards {
			m.shards[i].generations = randomGenerations(r)
		}
		for to := range m.to {
			target := retention{generations: m.shards[m.model(message.Shard(to))].generations}
			for _, s := range m.sources(message.Shard(to)) {
				was := retention{generations: m.shards[s].generations}
				if target.horizon(0) < was.horizon(0) {
					t.Fatalf("seed %d: shard %d forgot up to %d, and shard %d of the other store knows only of %d", seed, s, was.horizon(0), to, target.horizon(0))
				}
				for i, g := range was.generations {
					end := was.generations[len(was.generations)-1].start + 50
					if i+1 < len(was.generations) {
						end = was.generations[i+1].start
					}
					place := m.generationOf(s, message.Shard(to), g.number)
					j := slices.IndexFunc(target.generations, func(g generation) bool { return g.number == place })
					if j < 0 {
						t.Fatalf("seed %d: an outcome of generation %d of shard %d goes into %d, which shard %d does not have", seed, g.number, s, place, to)
					}
					if j+1 < len(target.generations) && target.generations[j+1].start < end {
						t.Fatalf("seed %d: what was recorded up to %d is forgotten as if up to %d", seed, end, target.generations[j+1].start)
					}
					for at := g.start - 3; at <= end; at++ {
						if !slices.Contains(target.since(at), place) {
							t.Fatalf("seed %d: an outcome of a key seen at %d is in generation %d, and %v are asked", seed, at, place, target.since(at))
						}
					}
				}
			}
		}
	}
}

// Of each shard, the sources are those that have an agent for it.
func TestSourcesOfShards(t *testing.T) {
	t.Parallel()
	for from := 1; from <= 7; from++ {
		for to := 1; to <= 7; to++ {
			m := NewMoving(from, to, 1<<20)
			for h := range 7 * 7 * 8 {
				if s, d := message.Shard(h%from), message.Shard(h%to); !slices.Contains(m.sources(d), s) {
					t.Errorf("from %d to %d shards: agents of shard %d go to shard %d, whose sources are %v", from, to, s, d, m.sources(d))
				}
			}
		}
	}
}

// What a shard may have forgotten, and how far ahead of their time its keys were,
// counts in the one that gets its agents with those of another.
func TestMetaOfManyShards(t *testing.T) {
	t.Parallel()
	m := NewMoving(2, 1, 1<<20)
	for shard, of := range []struct {
		lead   uint64
		oldest generation
	}{{64, generation{number: 1, start: 900}}, {0, generation{number: 3, start: 500}}} {
		meta := []message.Row{
			{Key: []byte(leadKey), Value: sealedNumber([]byte(leadKey), of.lead)},
			{Key: []byte(generationsKey), Value: appendGenerations(nil, []byte(generationsKey), []generation{of.oldest})},
		}
		if err := m.Learn(message.Shard(shard), meta, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	var rows []message.Row
	if err := m.Meta(0, false, func(_ message.Shard, k message.RowKey, value []byte) error {
		rows = append(rows, message.Row{Key: k.Key, Value: value})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d := newSingle(t, Behavior{}, nil)
	s, err := New(d.cfg, d.b, 1000, Recovered{Meta: rows})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.retention.horizon(s.lead); got != 500+64 {
		t.Errorf("the horizon is %d, and 564 is wanted", got)
	}
}

// Every table has its place in a move: one that is added has to be thought of.
func TestEveryTableIsMoved(t *testing.T) {
	t.Parallel()
	m := NewMoving(1, 1, 1<<20)
	if err := m.Learn(0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	for table := message.TableMeta + 1; table < message.Tables; table++ {
		k := message.RowKey{Table: table, Key: []byte{1, 2, 3}}
		err := m.Place(0, k, seal(begin(nil), 0, k.Key), func(message.Shard, message.RowKey, []byte) error { return nil })
		var unknown *CorruptError
		if errors.As(err, &unknown) && unknown.Reason == "its table is not known to this version" {
			t.Errorf("rows of table %d have no place in a move", table)
		}
	}
	k := message.RowKey{Table: message.Tables, Key: []byte{1}}
	if err := m.Place(0, k, seal(begin(nil), 0, k.Key), nil); err == nil {
		t.Error("a table that nobody knows was moved")
	}
}

// A machine does not begin on a store that was moved away, or is not whole. On
// one that arrived it begins as after the end of the store that was moved, once.
func TestMarksOfMoves(t *testing.T) {
	t.Parallel()
	for state := MoveReserved; state < moveStates; state++ {
		d := newSingle(t, Behavior{}, nil)
		for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
			r.tables[message.TableMeta][moveKey] = (&MoveMark{State: state, Peer: "there", Unclean: true, Unit: 7, Step: 3, After: []byte("x")}).Append(nil)
		}
		rec := d.store.recovered(0)
		m, err := New(d.cfg, d.b, d.now, rec)
		var moved *MovedError
		if state != MoveArrived {
			if !errors.As(err, &moved) || moved.Mark.State != state || moved.Mark.Step != 3 {
				t.Errorf("state %d: %v", state, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !m.trial.unclean {
			t.Error("the machine takes the end of the store that was moved for a clean one")
		}
		d.open(false)
		d.commit()
		d.sync()
		d.open(false)
		if d.m.trial.unclean {
			t.Error("the next machine does so too, after one that ended in order")
		}
	}
}

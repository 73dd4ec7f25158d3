package core

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/semel-dev/semel/message"
)

// A shard of the other store gets agents of some shards of the one that is
// moved, and its own rows must be right for all of them.
//
// Its generations are those of one shard: of those that ever forgot an outcome,
// the one whose oldest generation began last. So its horizon covers whatever
// any of them forgot: no key that carries its time runs again. What another one
// still remembers from before it goes into the oldest generation, and is
// replayed as it was; only a key that nobody ever used, with a time between the
// horizons, is refused as expired.
//
// An outcome goes into the oldest generation that does not end before its own
// one did. Then a lookup, which asks the generations back to one that began
// before the key can have been seen, asks for this one too; and it is forgotten
// no earlier than it was to be.

// sources are the shards of the one store whose agents a shard of the other gets.
func (m *Moving) sources(to message.Shard) []message.Shard {
	// Two numbers that leave the remainders s and t are the same modulo whatever
	// divides both divisors; and of those there are such numbers.
	step := gcd(m.from, m.to)
	var out []message.Shard
	for s := int(to) % step; s < m.from; s += step {
		out = append(out, message.Shard(s))
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// model is the shard whose generations are taken.
func (m *Moving) model(to message.Shard) message.Shard {
	if m.models == nil {
		m.models = make([]message.Shard, m.to)
		for i := range m.models {
			m.models[i] = m.findModel(message.Shard(i))
		}
	}
	return m.models[to]
}

func (m *Moving) findModel(to message.Shard) message.Shard {
	return slices.MaxFunc(m.sources(to), func(a, b message.Shard) int {
		ga, gb := m.shards[a].generations, m.shards[b].generations
		return cmp.Or(cmp.Compare(forgotten(ga), forgotten(gb)), cmp.Compare(len(ga), len(gb)), cmp.Compare(b, a))
	})
}

// forgotten is up to when outcomes may be forgotten, zero if none is.
func forgotten(generations []generation) message.Time {
	if len(generations) == 0 || generations[0].number == 1 {
		return 0
	}
	return max(generations[0].start, 1)
}

// generationOf is where an outcome of a shard's generation goes.
func (m *Moving) generationOf(shard, to message.Shard, gen message.Generation) message.Generation {
	model := m.model(to)
	if model == shard {
		return gen
	}
	was, is := m.shards[shard].generations, m.shards[model].generations
	i := slices.IndexFunc(was, func(g generation) bool { return g.number == gen })
	for j := range is {
		if j+1 == len(is) || i+1 < len(was) && is[j+1].start >= was[i+1].start {
			return is[j].number
		}
	}
	return gen // nothing was ever recorded
}

// Generations are those of a shard that are not forgotten, oldest first: of two
// rows of them that have the same place, the later one stays.
func (m *Moving) Generations(shard message.Shard) []message.Generation {
	var out []message.Generation
	for _, g := range m.shards[shard].generations {
		out = append(out, g.number)
	}
	return out
}

// GenerationsOf are those that a shard of the other store has.
func (m *Moving) GenerationsOf(to message.Shard) []message.Generation {
	return m.Generations(m.model(to))
}

// placeOutcome places a row of the dedup log.
func (m *Moving) placeOutcome(shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	there := func(to message.Shard, k message.RowKey, value []byte) error {
		k.Gen = m.generationOf(shard, to, k.Gen)
		return put(to, k, value)
	}
	if len(k.Key) == 0 || k.Key[0] != ResolutionKey(message.ID{})[0] {
		return m.placeOf(k.Key, shard, k, value, there)
	}
	id, err := idOf(k.Key[1:])
	if err != nil {
		return &CorruptError{rowName(k), err.Error()}
	}
	if a, ok := m.shards[shard].effects[id]; ok {
		return m.place(a, shard, k, value, there)
	}
	// Every shard is asked for it, so it may be anywhere.
	return there(message.Shard(int(shard)%m.to), k, value)
}

// Meta places a shard's own rows. unclean says that the last process which ran
// the store that is moved did not end in order.
func (m *Moving) Meta(to message.Shard, unclean bool, put Placed) error {
	var clock clockRow
	var lead message.Time
	trials := make(map[message.ID]int)
	for _, s := range m.sources(to) {
		sh := &m.shards[s]
		clock.trusted, clock.seen = max(clock.trusted, sh.clock.trusted), max(clock.seen, sh.clock.seen)
		lead = max(lead, sh.lead)
		for id, t := range sh.trials {
			trials[id] = max(trials[id], t.begun)
		}
	}
	row := func(key, value []byte) error {
		return put(to, message.RowKey{Table: message.TableMeta, Key: key}, value)
	}
	var err error
	if clock != (clockRow{}) {
		err = row([]byte(clockKey), appendClock(nil, []byte(clockKey), clock))
	}
	if lead != 0 {
		err = cmp.Or(err, row([]byte(leadKey), sealedNumber([]byte(leadKey), uint64(lead))))
	}
	if generations := slices.Clone(m.shards[m.model(to)].generations); len(generations) > 0 {
		for i := range generations {
			generations[i].after = 0 // the feed begins anew
		}
		err = cmp.Or(err, row([]byte(generationsKey), appendGenerations(nil, []byte(generationsKey), generations)))
	}
	if unclean { // else a machine forgets them when it begins
		// Whose they are is not known: one that has them and not the message
		// keeps them until it begins after a clean end.
		for _, id := range slices.SortedFunc(maps.Keys(trials), func(a, b message.ID) int { return slices.Compare(a[:], b[:]) }) {
			key := trialRowKey(id)
			err = cmp.Or(err, row(key, appendTrial(nil, key, trialRow{begun: trials[id]})))
		}
	}
	if m.Same() {
		for _, end := range m.shards[to].ends {
			key := binary.BigEndian.AppendUint16([]byte("o"), uint16(end[0]))
			err = cmp.Or(err, row(key, sealedNumber(key, end[1])))
		}
	}
	return err
}

// sealedNumber is the value of a row that holds one number.
func sealedNumber(key []byte, n uint64) []byte { return seal(putUint(begin(nil), 1, n), 0, key) }

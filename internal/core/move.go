package core

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/semel-dev/semel/message"
)

// Moving gives every row of a store that no machine runs its place in another
// store, which may have another number of shards. An agent is then of another
// shard, and all that is the agent's goes with it, as it is:
//
//	State, Open, Mailbox, Control   to the agent's shard
//	Cursor "s", Timer, Effect, Dead to the shard of the agent that they are of or for
//	Dedup                           likewise, into a generation that is not older; see move_meta.go
//	Dedup, a doubt's resolution     to the effect's agent, while there is the effect
//	Due                             not at all: it is made again of Timer
//	Change                          not at all: positions of a feed are a store's own
//	Meta                            merged; see move_meta.go
//	Outbox, Cursor "c"              see below
//
// Cursors between shards say nothing in another layout. So a message that was
// not consumed yet is taken to be delivered: it is consumed as its agent's
// shard would if something kept the agent, into the mailbox (Parking). There it
// is in front of all that the same sender sends later, from wherever that is,
// and outboxes begin anew and empty. When the number stays the same, what is
// not consumed stays in its outbox, and cursors as they are.
//
// Epochs begin anew in another store. An effect's is taken away, which makes
// its call that of a former owner.
//
// All of it depends on the rows alone, so that whoever is interrupted does the
// same again.
type Moving struct {
	from, to int
	limit    int // bytes of one row that a unit of the other store takes besides others
	shards   []movingShard
	models   []message.Shard // by shard of the other store, once all is learned
}

// movingShard is what is known of a shard of the store that is moved.
type movingShard struct {
	clock       clockRow
	lead        message.Time
	generations []generation
	trials      map[message.ID]trialRow
	ends        [][2]uint64 // of outboxes that are not empty: the shard, the position
	taken       []uint64    // by source shard
	effects     map[message.ID]message.Agent
}

// Placed takes a row of the other store.
type Placed func(shard message.Shard, k message.RowKey, value []byte) error

// NewMoving begins. maxUnitBytes is the other store's.
func NewMoving(from, to, maxUnitBytes int) *Moving {
	m := &Moving{from: from, to: to, limit: maxUnitBytes/8 + smallRows, shards: make([]movingShard, from)}
	for i := range m.shards {
		m.shards[i].taken = make([]uint64, from)
	}
	return m
}

// Same says whether the number of shards stays the same.
func (m *Moving) Same() bool { return m.from == m.to }

// Learn is called for every shard, with all of its rows of TableMeta,
// TableEffect, and of TableCursor that begin with "c", before anything else.
func (m *Moving) Learn(shard message.Shard, meta, effects, cursors []message.Row) error {
	sh := &m.shards[shard]
	sh.effects, sh.trials = make(map[message.ID]message.Agent), make(map[message.ID]trialRow)
	for _, r := range effects {
		e, err := readEffect(message.RowKey{Table: message.TableEffect, Key: r.Key}, r.Value)
		if err != nil {
			return err
		}
		sh.effects[e.id] = e.agent
	}
	for _, r := range cursors {
		k := message.RowKey{Table: message.TableCursor, Key: r.Key}
		n, err := readNumber(k, r.Value)
		if err != nil {
			return err
		}
		if len(r.Key) != 3 || int(binary.BigEndian.Uint16(r.Key[1:])) >= m.from {
			return &CorruptError{rowName(k), "a cursor for a shard that does not exist"}
		}
		sh.taken[binary.BigEndian.Uint16(r.Key[1:])] = n
	}
	for _, r := range meta {
		if err := m.learnMeta(sh, r); err != nil {
			return err
		}
	}
	return nil
}

func (m *Moving) learnMeta(sh *movingShard, r message.Row) (err error) {
	k := message.RowKey{Table: message.TableMeta, Key: r.Key}
	var n uint64
	switch key := string(r.Key); {
	case key == moveKey, key == feedKey:
	case key == clockKey:
		sh.clock, err = readClock(k, r.Value)
	case key == leadKey:
		n, err = readNumber(k, r.Value)
		sh.lead = message.Time(n)
	case key == generationsKey:
		var was retention
		err = was.read(k, r.Value)
		sh.generations = was.generations
	case strings.HasPrefix(key, trialKey):
		id, err := idOf(r.Key[len(trialKey):])
		if err != nil {
			return &CorruptError{rowName(k), err.Error()}
		}
		sh.trials[id], err = readTrial(k, r.Value)
		return err
	case len(r.Key) == 3 && r.Key[0] == 'o':
		if n, err = readNumber(k, r.Value); err == nil {
			sh.ends = append(sh.ends, [2]uint64{uint64(binary.BigEndian.Uint16(r.Key[1:])), n})
		}
	default:
		err = &CorruptError{rowName(k), "not known to this version"}
	}
	return err
}

// Taken is what the shard has consumed of each shard's outbox.
func (m *Moving) Taken(shard message.Shard) []message.Cursor {
	var out []message.Cursor
	for i, n := range m.shards[shard].taken {
		out = append(out, message.Cursor{Source: message.Shard(i), Position: n})
	}
	return out
}

// Place gives one row its place. Rows of TableMeta have none by themselves, nor
// have those of TableControl and TableOutbox when the number of shards changes:
// Meta and Parking are for these.
func (m *Moving) Place(shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	if k.Table != message.TableDue {
		if _, err := unseal(k, value); err != nil {
			return err
		}
	}
	switch k.Table {
	case message.TableDue, message.TableChange:
		return nil
	case message.TableDedup:
		return m.placeOutcome(shard, k, value, put)
	case message.TableState:
		if err := m.keeps(k, value); err != nil {
			return err
		}
		return m.placeOf(k.Key, shard, k, value, put)
	case message.TableOpen, message.TableMailbox, message.TableControl:
		if err := m.fits(k, value); err != nil {
			return err
		}
		return m.placeOf(k.Key, shard, k, value, put)
	case message.TableCursor:
		if len(k.Key) > 0 && k.Key[0] == 's' {
			return m.placeOf(k.Key[1:], shard, k, value, put)
		}
		if m.Same() {
			return put(shard, k, value)
		}
		return nil
	case message.TableOutbox:
		return m.placeUndelivered(shard, k, value, put)
	}
	if err := m.fits(k, value); err != nil {
		return err
	}
	switch k.Table {
	case message.TableEffect:
		e, err := readEffect(k, value)
		if err != nil {
			return err
		}
		e.epoch = 0
		return m.place(e.agent, shard, k, appendEffect(nil, k.Key, e), put)
	case message.TableTimer:
		return m.placeTimer(shard, k, value, put)
	case message.TableDead:
		d, err := ReadDead(k, value)
		if err != nil {
			return err
		}
		return m.place(d.Message.To, shard, k, value, put)
	}
	return &CorruptError{rowName(k), "its table is not known to this version"}
}

// fits refuses what the other store's machine could not carry with the rest of
// a step: the unit would be too large for ever.
func (m *Moving) fits(k message.RowKey, value []byte) error {
	if n := len(k.Key) + len(value); n > m.limit {
		return fmt.Errorf("row %s has %d bytes and the other store takes %d at most: settle it here before the store is moved", rowName(k), n, m.limit)
	}
	return nil
}

// keeps refuses what an agent promised, if the other store's machine could not
// keep it: of a step the other state and the rest go into one unit.
func (m *Moving) keeps(k message.RowKey, value []byte) error {
	r, err := readState(k, value)
	if err != nil || r.prepared == nil {
		return err
	}
	p, err := readPromise(r.prepared)
	if err != nil {
		return &CorruptError{rowName(k), err.Error()}
	}
	if n := len(r.prepared) - len(p.state); n > m.limit {
		return fmt.Errorf("row %s has %d bytes of what its agent promised, and the other store takes %d at most: decide its transaction here before the store is moved", rowName(k), n, m.limit)
	}
	return nil
}

// placeOf places a row that is of the agent whose key the text begins with.
func (m *Moving) placeOf(text []byte, shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	a, _, err := message.ParseAgentKey(text)
	if err != nil {
		return &CorruptError{rowName(k), err.Error()}
	}
	return m.place(a, shard, k, value, put)
}

func (m *Moving) place(a message.Agent, shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	if is := message.ShardOf(a, m.from); is != shard {
		return &CorruptError{rowName(k), fmt.Sprintf("it is of %s in shard %d, which lives in shard %d", a, shard, is)}
	}
	return put(message.ShardOf(a, m.to), k, value)
}

// placeTimer places a timer and makes its row of TableDue. A delayed send is of
// no agent; it is sent by the shard that it goes to.
func (m *Moving) placeTimer(shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	t, err := readTimer(k, value)
	if err != nil {
		return err
	}
	if len(k.Key) == 0 {
		return &CorruptError{rowName(k), "a timer without a name"}
	}
	both := func(to message.Shard, k message.RowKey, value []byte) error {
		due := message.RowKey{Table: message.TableDue, Key: dueKey(t.due, k.Key)}
		return cmp.Or(put(to, k, value), put(to, due, nil))
	}
	switch {
	case k.Key[0] != delayedPrefix:
		return m.placeOf(k.Key, shard, k, value, both)
	case m.Same():
		return both(shard, k, value)
	}
	return both(message.ShardOf(t.msg.To, m.to), k, value)
}

// placeUndelivered leaves what is consumed behind.
func (m *Moving) placeUndelivered(shard message.Shard, k message.RowKey, value []byte, put Placed) error {
	if len(k.Key) != 10 || int(binary.BigEndian.Uint16(k.Key)) >= m.from {
		return &CorruptError{rowName(k), "its key is not that of a message for a shard"}
	}
	dst, position := binary.BigEndian.Uint16(k.Key), binary.BigEndian.Uint64(k.Key[2:])
	if !m.Same() || position <= m.shards[dst].taken[shard] {
		return nil
	}
	if err := m.fits(k, value); err != nil {
		return err
	}
	return put(shard, k, value)
}

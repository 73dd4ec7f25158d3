package core

import (
	"github.com/semel-dev/semel/message"
)

// source is the inbox from one shard's outbox.
type source struct {
	shard   message.Shard
	key     []byte // of its cursor row
	taken   uint64 // consumed, as the open unit will say
	fetched uint64 // read from the outbox
	purged  uint64 // given back to the store for removal
	settled uint64 // consumed durably
	moved   bool   // taken differs from the last sealed unit's
	marks   []cursorMark

	pulling bool
	again   bool // told of more while a pull was under way
	queue   []*envelope

	suspectUpTo uint64
}

// cursorMark remembers with which unit a cursor position becomes durable.
type cursorMark struct {
	seq message.Seq
	pos uint64
}

// Hint says that a shard's outbox may hold more for this one.
func (s *Shard) Hint(from message.Shard) { s.pull(s.sources[from]) }

func (s *Shard) pull(src *source) {
	if src.pulling || len(src.queue) > 0 {
		src.again = true
		return
	}
	src.pulling, src.again = true, false
	s.work.Pulls = append(s.work.Pulls, message.Cursor{Source: src.shard, Position: src.fetched})
}

// Delivered answers a pull: what the source's outbox holds beyond the cursor,
// in order and without gaps. An error names the record that cannot be read;
// the cursor stays in front of it.
func (s *Shard) Delivered(now message.Time, from message.Shard, batch []message.Delivery) error {
	s.advanceClock(now)
	src := s.sources[from]
	src.pulling = false
	if len(batch) >= s.cfg.InboxBatch {
		src.again = true
	}
	for _, d := range batch {
		m, err := ReadOutbox(s.cfg.Shard, d)
		if err != nil {
			return err
		}
		src.fetched = d.Position
		env := s.accepted(m, fromInbox)
		env.source, env.position, env.queued = src, d.Position, true
		env.suspect = d.Position <= src.suspectUpTo
		src.queue = append(src.queue, env)
	}
	// Ask for all that the batch depends on before the first is admitted.
	for _, env := range src.queue {
		if env.pending == 0 {
			s.load(env)
		}
	}
	s.drainSource(src)
	return nil
}

// accepted makes the envelope of a message that is durable already.
func (s *Shard) accepted(m *message.Message, from origin) *envelope {
	env := &envelope{msg: m, origin: from}
	typ := s.behavior.Types[m.To.Type]
	if typ == nil {
		typ = unknownType
	}
	env.cell = s.cellOf(m.To, typ)
	env.action = typ.Actions[m.Action]
	s.dependOnOpen(env)
	return env
}

// dependOnOpen makes a step that receives an answer depend on the open row
// that it may settle.
func (s *Shard) dependOnOpen(env *envelope) {
	if a := env.msg.Answer; a != nil && len(a.Link.Origin) > 0 {
		env.rows = []needed{{key: message.RowKey{Table: message.TableOpen, Key: identityKey(env.cell, a.Link.Origin)}}}
	}
}

// unknownType stands for agent types that this program does not define: their
// messages fail, are tried again and end among the dead letters, where they
// wait for a program that does.
var unknownType = &Type{Load: func(schema uint32, data []byte) (State, error) { return opaque{schema, clone(data)}, nil }}

// opaque is a state that nobody can decode. It never changes, but what stands
// beside it in its row may.
type opaque struct {
	schema uint32
	data   []byte
}

func (opaque) Mark()                               {}
func (opaque) Undo() error                         { return nil }
func (o opaque) Append(dst []byte) ([]byte, error) { return append(dst, o.data...), nil }
func (opaque) Flat() bool                          { return false }

// drainSource admits the messages of a source in its order, as far as what
// they depend on is known.
func (s *Shard) drainSource(src *source) {
	for len(src.queue) > 0 && !s.Full() {
		env := src.queue[0]
		if env.pending > 0 || s.load(env) {
			return
		}
		if s.trial.env != nil {
			return // endTrial drains again
		}
		src.queue[0], env.queued = nil, false
		src.queue = src.queue[1:]
		s.admit(env)
	}
	if len(src.queue) == 0 && src.again {
		s.pull(src)
	}
}

// consumeInbox moves the source's cursor over the message.
func (s *Shard) consumeInbox(env *envelope) {
	src := env.source
	s.consumed += env.position - src.taken
	src.taken = env.position
	if !src.moved {
		src.moved = true
		s.open.cursors = append(s.open.cursors, src)
		s.open.bytes += len(src.key) + numberBytes
	}
	if n := len(src.marks); n > 0 && src.marks[n-1].seq == s.openSeq() {
		src.marks[n-1].pos = src.taken
	} else {
		src.marks = append(src.marks, cursorMark{s.openSeq(), src.taken})
	}
}

// purgeEvery is how many consumed messages are left in an outbox before the
// store is told to drop them.
const purgeEvery = 4096

// retireConsumed tells the store which messages nobody will ask for again.
func (s *Shard) retireConsumed() {
	for _, src := range s.sources {
		var durable uint64
		for len(src.marks) > 0 && src.marks[0].seq <= s.durable {
			durable = src.marks[0].pos
			src.marks = src.marks[1:]
		}
		src.settled = max(src.settled, durable)
		if src.settled >= src.purged+purgeEvery {
			src.purged = src.settled
			r := s.retire()
			r.Consumed = append(r.Consumed, message.Cursor{Source: src.shard, Position: src.purged})
		}
	}
}

// resumeSources goes on with inboxes that stopped at a full unit.
func (s *Shard) resumeSources() {
	for _, src := range s.sources {
		if len(src.queue) > 0 {
			s.drainSource(src)
		}
	}
}

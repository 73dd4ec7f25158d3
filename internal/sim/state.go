package sim

import (
	"encoding/binary"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// name is what a number of an agent's state counts: a kind, a part of an op,
// and the op or whatever else tells it apart.
type name uint64

// The kinds of names.
const (
	nBalance name = iota + 1
	nDirt
	nSeen   // steps of an op
	nAnswer // answers that an op's step received
	nEffect // results of effects
	nOut    // notes sent to an agent
	nIn     // notes received from one
	nNotes
	nHeld // until when
	nToken
	nLife // of a clock: its first op since it was removed
	nWant // which op set a timer last
	nDue
	nFired

	// Of a transaction, at its coordinator …
	nSent  // prepares
	nVoted // votes that came
	nNo    // whether a branch voted no
	nSum   // of what the votes told
	nDecided
	nTold  // decisions sent
	nAcked // and acknowledged
	// … and at its banks.
	nPart     // steps that were promised, and kept
	nPromised // what these sent
)

func nameOf(kind name, part part, n uint32) name { return kind<<56 | name(part)<<48 | name(n) }

func (n name) kind() name { return n >> 56 }

const record = 16 // bytes: a name and its number

// ledger is the state of most agents: named numbers, in the order of their
// first use, kept as they are encoded so that a large one costs little.
type ledger struct {
	data    []byte
	undo    []overwritten
	kept    int // length at the mark
	changes []change
	done
}

type overwritten struct {
	at  int
	was uint64
}

// change is one thing that a step did to its agent's numbers, as the fold of
// the accepted steps does it again (check_fold.go).
type change struct {
	name  name
	value int64
	set   bool // else it is added
}

// doneStep is a step that stands, unless it is undone after all.
type doneStep struct {
	agent   message.Agent
	changes []change // of an account or a clock; a tally counts one
	fresh   bool     // the first on a new state, or on one after a removal
	undone  bool
	asides

	prepares string // the step is only promised to this transaction
}

// asides is what else a step did.
type asides struct {
	ends      bool // nothing of the agent stays
	withdraws []*outside
	told      *outside // that was withdrawn
	as        message.Status
}

// done remembers the last step of a state.
type done struct {
	fresh bool // no step has changed it yet
	last  *doneStep
}

// stands notes that the step under way ended well.
func (d *done) stands(a message.Agent, changes []change) *doneStep {
	d.last = &doneStep{agent: a, changes: changes, fresh: d.fresh}
	d.fresh = false
	return d.last
}

// undone takes that back: the machine found that it cannot be committed.
func (d *done) undone() {
	if d.last != nil {
		d.last.undone, d.fresh, d.last = true, d.last.fresh, nil
	}
}

func loadLedger(_ uint32, data []byte) (core.State, error) {
	return &ledger{data: append(make([]byte, 0, len(data)+8*record), data...), done: done{fresh: data == nil}}, nil
}

func find(data []byte, n name) int {
	for i := 0; i < len(data); i += record {
		if name(binary.LittleEndian.Uint64(data[i:])) == n {
			return i
		}
	}
	return -1
}

func (l *ledger) get(n name) int64 { return getNumber(l.data, n) }

func getNumber(data []byte, n name) int64 {
	if i := find(data, n); i >= 0 {
		return int64(binary.LittleEndian.Uint64(data[i+8:]))
	}
	return 0
}

func (l *ledger) put(n name, v int64) {
	i := find(l.data, n)
	if i < 0 {
		l.data = appendNumber(l.data, n, v)
		return
	}
	if i < l.kept {
		l.undo = append(l.undo, overwritten{i + 8, binary.LittleEndian.Uint64(l.data[i+8:])})
	}
	binary.LittleEndian.PutUint64(l.data[i+8:], uint64(v))
}

func appendNumber(data []byte, n name, v int64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(data, uint64(n)), uint64(v))
}

func (l *ledger) set(n name, v int64) {
	l.put(n, v)
	l.changes = append(l.changes, change{n, v, true})
}

func (l *ledger) add(n name, v int64) {
	l.put(n, l.get(n)+v)
	l.changes = append(l.changes, change{n, v, false})
}

// Mark implements core.State.
func (l *ledger) Mark() {
	l.undo, l.kept, l.changes, l.last = l.undo[:0], len(l.data), nil, nil
}

// Undo implements core.State.
func (l *ledger) Undo() error {
	for i := len(l.undo) - 1; i >= 0; i-- {
		binary.LittleEndian.PutUint64(l.data[l.undo[i].at:], l.undo[i].was)
	}
	l.undo, l.data = l.undo[:0], l.data[:l.kept]
	l.undone()
	return nil
}

// Append implements core.State.
func (l *ledger) Append(dst []byte) ([]byte, error) { return append(dst, l.data...), nil }

// Flat implements core.State.
func (l *ledger) Flat() bool { return false }

// apply does a change to encoded numbers, in the plainest way there is.
func (c change) apply(data []byte) []byte {
	i := find(data, c.name)
	if i < 0 {
		return appendNumber(data, c.name, c.value)
	}
	v := c.value
	if !c.set {
		v += int64(binary.LittleEndian.Uint64(data[i+8:]))
	}
	binary.LittleEndian.PutUint64(data[i+8:], uint64(v))
	return data
}

// tally is a flat state, which grows and shrinks.
type tally struct {
	n, was uint64
	done
}

func loadTally(_ uint32, data []byte) (core.State, error) {
	t := &tally{done: done{fresh: data == nil}}
	if len(data) >= 8 {
		t.n = binary.BigEndian.Uint64(data)
	}
	return t, nil
}

// Mark implements core.State.
func (t *tally) Mark() { t.was, t.last = t.n, nil }

// Undo implements core.State.
func (t *tally) Undo() error {
	t.n = t.was
	t.undone()
	return nil
}

// Append implements core.State.
func (t *tally) Append(dst []byte) ([]byte, error) { return appendTally(dst, t.n), nil }

func appendTally(dst []byte, n uint64) []byte {
	return append(binary.BigEndian.AppendUint64(dst, n), zeros[:500*(n%8)]...)
}

// Flat implements core.State.
func (t *tally) Flat() bool { return true }

var zeros [8192]byte

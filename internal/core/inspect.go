package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// What a simulation (internal/sim) looks at and no driver needs: what the
// machine holds back, and what its rows say.

// AtRest says what the machine still has on its hands, nil if nothing: no
// message, effect, timer, read or unit under way, and nothing left behind in
// memory by those that were.
func (s *Shard) AtRest() error {
	for _, left := range []struct {
		what string
		n    int
	}{
		{"active envelopes", len(s.active)},
		{"waits", len(s.waits)},
		{"overlay rows", len(s.overlay.rows)},
		{"cleared prefixes", len(s.overlay.cleared)},
		{"units in flight", len(s.inFlight) + int(s.sealed-s.durable)},
		{"outstanding reads", len(s.outstanding)},
		{"effects", len(s.effects)},
		{"running effects and probes", s.running},
		{"startable effects", len(s.startable)},
		{"doubts", len(s.doubts) + len(s.doubtful)},
		{"dead letters on their way back", len(s.reviving)},
		{"firing timers", len(s.firing)},
		{"envelopes behind a trial", len(s.trial.queue)},
		{"envelopes behind a full unit", len(s.full)},
		{"reads and results behind a full unit", len(s.postponed)},
	} {
		if left.n != 0 {
			return fmt.Errorf("%d %s", left.n, left.what)
		}
	}
	if !s.open.empty() || s.trial.env != nil {
		return fmt.Errorf("an open unit (%v) or a trial (%v)", !s.open.empty(), s.trial.env != nil)
	}
	for _, src := range s.sources {
		if len(src.queue) > 0 {
			return fmt.Errorf("%d messages of shard %d in its queue", len(src.queue), src.shard)
		}
	}
	return s.cellsAtRest()
}

func (s *Shard) cellsAtRest() error {
	cached := 0
	for _, c := range s.cells {
		if c.taking != nil || len(c.loaders) > 0 || len(c.volatile) > 0 || c.loading || c.control != nil || len(c.mail) > 0 {
			return fmt.Errorf("the cell of %s is not at rest", c.agent)
		}
		if c.loaded {
			cached += c.weight()
		}
	}
	if cached != s.cached {
		return fmt.Errorf("%d bytes of cells are counted, which have %d", s.cached, cached)
	}
	return nil
}

// Counted is what Seal makes of the open unit at most, in bytes (invariant 9).
func (s *Shard) Counted() int { return s.open.bytes }

// OldestGeneration is the first generation whose outcomes are still known.
func (s *Shard) OldestGeneration() message.Generation { return s.retention.generations[0].number }

// CurrentGeneration is the one that outcomes are recorded in.
func (s *Shard) CurrentGeneration() message.Generation { return s.retention.current() }

// Probing says whether a probe of an effect is under way.
func (s *Shard) Probing(id message.ID) bool {
	e := s.effects[id]
	return e != nil && e.mem.running && e.mem.probing
}

// Calling is the attempt of an effect's call that is under way, zero if none is.
func (s *Shard) Calling(id message.ID) int {
	if e := s.effects[id]; e != nil && e.mem.running && !e.mem.probing {
		return e.attempts
	}
	return 0
}

// ReadPromised reads, from a row of TableState, what the agent promised: the
// transaction, which is empty if nothing is promised, and the encoded state, nil if
// the step changed nothing.
func ReadPromised(k message.RowKey, value []byte) (tx string, data []byte, err error) {
	r, err := readState(k, value)
	if err != nil || r.prepared == nil {
		return "", nil, err
	}
	p, err := readPromise(r.prepared)
	if err != nil {
		return "", nil, err
	}
	return p.tx, p.state, nil
}

// Passing says whether the message on its way to a step of the agent was taken
// from its mailbox past a hold.
func (s *Shard) Passing(a message.Agent) bool {
	c := s.cells[string(a.AppendKey(nil))]
	return c != nil && c.taking != nil && c.control.until != 0
}

// ReadStateData reads an agent's version and encoded state from a row of
// TableState. The data aliases the value.
func ReadStateData(k message.RowKey, value []byte) (version uint64, data []byte, err error) {
	r, err := readState(k, value)
	return r.version, r.data, err
}

// ReadPosition reads a row of TableCursor, or an outbox end of TableMeta.
func ReadPosition(k message.RowKey, value []byte) (uint64, error) { return readNumber(k, value) }

// OldestKept reads, from the row of TableMeta that holds them, the oldest
// generation that is not forgotten.
func OldestKept(value []byte) (message.Generation, error) {
	var r retention
	err := r.read(GenerationsKey(), value)
	if err != nil {
		return 0, err
	}
	return r.generations[0].number, nil
}

// GenerationsKey is the row that OldestKept reads.
func GenerationsKey() message.RowKey {
	return message.RowKey{Table: message.TableMeta, Key: []byte(generationsKey)}
}

// CallRecorded says whether an effect's row lets a call go out under a policy
// (invariant 7): it says either that this attempt was started or, where the
// policy lets calls go unrecorded, that they may.
func CallRecorded(k message.RowKey, value []byte, p Policy, attempt int) error {
	e, err := readEffect(k, value)
	switch {
	case err != nil:
		return err
	case p.unrecorded() != nothingUnrecorded:
		if e.status == effectAsked && e.unrecorded < p.unrecorded() {
			return fmt.Errorf("it is called without a record that says so")
		}
	case e.status != effectStarted || e.attempts != attempt:
		return fmt.Errorf("attempt %d is called before its started record is durable: status %d, attempt %d", attempt, e.status, e.attempts)
	}
	return nil
}

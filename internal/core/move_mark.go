package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// A store that is moved into another one (internal/migrate) bears a mark in
// each of its shards, in TableMeta, and so does the other one. A machine reads
// it with the rest of the rows and refuses to run: whatever process comes, on
// whatever store, and however late. A mark is committed under the shard's
// fence, so no machine that does not know it can commit after it.

// MoveState says what a store is in a move.
type MoveState uint8

// The states of a shard of the store that is moved into, and of one that is
// moved away. Only MoveArrived is served.
const (
	MoveReserved MoveState = 1 + iota // it is to be moved into; nothing was
	MoveInto                          // some of its rows may be there
	MoveArrived                       // all of them are
	MoveGivenUp                       // some may be; they went back to being the other store's
	MoveAway                          // its rows are being moved into the other store
	MoveGone                          // they were: the other store is served
	moveStates
)

// MoveMark is a shard's mark.
type MoveMark struct {
	State MoveState
	Move  message.ID          // the same in all shards of both stores
	Peer  string              // what people call the other store
	Life  message.Incarnation // which store that is
	// Unclean: the last process that ran the store did not end in order. The
	// first machine of MoveArrived takes it for its own last process's end.
	Unclean bool
	// Unit is the one that has the mark. While it is the shard's last, nothing
	// was committed since.
	Unit message.Seq
	// Whole is of MoveGivenUp: all rows were there before, so that this may be
	// taken back as long as the other store is not served.
	Whole bool
	// Step and After are how far the rows of the move are, as who moves them
	// counts.
	Step  uint64
	After []byte
}

const moveKey = "move"

// MoveKey is the row of a mark.
func MoveKey() message.RowKey {
	return message.RowKey{Table: message.TableMeta, Key: []byte(moveKey)}
}

// Append encodes a mark as the value of its row.
func (m *MoveMark) Append(b []byte) []byte {
	start := len(b)
	b = putUint(begin(b), 1, uint64(m.State))
	b = putBytes(b, 2, m.Move[:])
	b = putBytes(b, 3, m.Peer)
	b = putBytes(b, 4, m.Life[:])
	if m.Unclean {
		b = putUint(b, 5, 1)
	}
	b = putUint(b, 6, uint64(m.Unit))
	b = putUint(b, 7, m.Step)
	b = putBytes(b, 8, m.After)
	if m.Whole {
		b = putUint(b, 9, 1)
	}
	return seal(b, start, []byte(moveKey))
}

// ReadMoveMark reads what Append wrote.
func ReadMoveMark(value []byte) (*MoveMark, error) {
	m := new(MoveMark)
	err := decode(MoveKey(), value, func(f field) (err error) {
		switch f.num {
		case 1:
			m.State = MoveState(f.val)
			if f.val == 0 || f.val >= uint64(moveStates) {
				err = fmt.Errorf("state %d of a move is not known to this version", f.val)
			}
		case 2:
			m.Move, err = idOf(f.bytes)
		case 3:
			m.Peer = string(f.bytes)
		case 4:
			var life message.ID
			life, err = idOf(f.bytes)
			m.Life = message.Incarnation(life)
		case 5:
			m.Unclean = f.val == 1
		case 6:
			m.Unit = message.Seq(f.val)
		case 7:
			m.Step = f.val
		case 8:
			m.After = clone(f.bytes)
		case 9:
			m.Whole = f.val == 1
		}
		return err
	})
	if err == nil && m.State == 0 {
		err = &CorruptError{rowName(MoveKey()), "a mark without a state"}
	}
	return m, err
}

// MovedError is why no machine runs on a store, or on a part of one, that was
// moved away or is not whole yet.
type MovedError struct{ Mark MoveMark }

func (e *MovedError) Error() string {
	m := &e.Mark
	switch m.State {
	case MoveGone:
		return fmt.Sprintf("this store was moved to %s, which goes on with what it had: serve that", m.Peer)
	case MoveAway:
		return fmt.Sprintf("this store is being moved to %s: run the same `semel migrate` again to complete it, or with --undo to come back", m.Peer)
	case MoveGivenUp:
		if m.Whole {
			return fmt.Sprintf("a move of %s into this store was undone: remove this one once `semel migrate --undo` says that the other is served again", m.Peer)
		}
		return fmt.Sprintf("a move of %s into this store was undone: it is good for nothing, so remove it", m.Peer)
	}
	return fmt.Sprintf("%s is being moved into this store, which is not whole yet: run the same `semel migrate` again to complete it, or with --undo to give it up", m.Peer)
}

// CheckMoved refuses a shard that no machine may run, by its row MoveKey, which
// is nil where there is none.
func CheckMoved(value []byte) (unclean bool, err error) {
	if value == nil {
		return false, nil
	}
	m, err := ReadMoveMark(value)
	if err != nil {
		return false, err
	}
	if m.State != MoveArrived {
		return false, &MovedError{*m}
	}
	return m.Unclean, nil
}

// recoverMove looks for a mark before anything else is done with the rows.
func (rec *Recovered) recoverMove() (marked bool, err error) {
	for _, r := range rec.Meta {
		if string(r.Key) != moveKey {
			continue
		}
		marked, err = CheckMoved(r.Value)
		rec.Unclean = rec.Unclean || marked
	}
	return marked, err
}

// settleMove forgets, in this machine's first unit, how the store ended that was
// moved here: from now on this one's own end counts.
func (s *Shard) settleMove(rows []message.Row) error {
	for _, r := range rows {
		if string(r.Key) != moveKey || s.cfg.Guest {
			continue
		}
		m, err := ReadMoveMark(r.Value)
		if err != nil {
			return err
		}
		m.Unclean = false
		key := s.key([]byte(moveKey))
		a := s.open.arena
		start := len(a)
		s.write(message.TableMeta, 0, message.Put, key, s.value(m.Append(a), start))
	}
	return nil
}

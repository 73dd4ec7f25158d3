package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semel-dev/semel/internal/core"
)

// Undo takes a move back: from is served again, and to is good for nothing any
// more. It is refused when to was served since. Like Run it is repeated when it
// was interrupted.
func Undo(ctx context.Context, from, to Side, opt Options) error {
	m, err := begin(ctx, from, to, opt)
	if err != nil {
		return err
	}
	return errors.Join(m.undo(ctx), m.close(ctx))
}

func (m *move) undo(ctx context.Context) error {
	for _, sh := range m.from.shards {
		switch mark := sh.mark; {
		case mark == nil || mark.State == core.MoveArrived:
		case mark.State != core.MoveAway && mark.State != core.MoveGone:
			return fmt.Errorf("%s: %w", m.from.Name, &core.MovedError{Mark: *mark})
		case mark.Life != m.to.Store.Incarnation():
			return fmt.Errorf("%w: %s: %w", ErrOther, m.from.Name, &core.MovedError{Mark: *mark})
		default:
			m.id = mark.Move
		}
	}
	marked := func(sh *shard) bool { return sh.mark != nil }
	if m.id.IsZero() && !slices.ContainsFunc(m.to.shards, marked) {
		return fmt.Errorf("%w: neither %s nor %s bears the mark of a move from the one to the other", ErrOther, m.from.Name, m.to.Name)
	}
	for _, sh := range m.to.shards {
		mark := sh.mark
		switch {
		case mark == nil && sh.version.Seq == 0:
		case mark == nil || mark.Life != m.from.Store.Incarnation() || !m.id.IsZero() && mark.Move != m.id:
			return fmt.Errorf("%w: %s is not what %s was moved into", ErrOther, m.to.Name, m.from.Name)
		case mark.State == core.MoveArrived && mark.Unit != sh.version.Seq:
			err := fmt.Errorf("%w: %s goes on with what %s had, and there is more by now in shard %d", ErrServed, m.to.Name, m.from.Name, sh.id)
			if slices.ContainsFunc(m.to.shards, func(sh *shard) bool { return sh.mark != nil && sh.mark.State == core.MoveGivenUp }) {
				err = fmt.Errorf("%w; a server came while it was being undone: run the same without --undo to have it served again", err)
			}
			return err
		case m.id.IsZero() && mark.State != core.MoveReserved && mark.State != core.MoveGivenUp:
			return fmt.Errorf("%w: %s bears no mark of a move, but %s has rows of it", ErrOther, m.from.Name, m.to.Name)
		}
	}
	given := core.MoveMark{State: core.MoveGivenUp, Move: m.id, Peer: m.from.Name, Life: m.from.Store.Incarnation()}
	if first := m.to.shards[0].mark; first != nil {
		given.Whole = whole(first)
	}
	if err := m.to.markAll(ctx, given, func(was core.MoveState) bool { return was != core.MoveGivenUp }); err != nil {
		return err
	}
	for _, sh := range m.from.shards {
		if sh.mark == nil || sh.mark.State == core.MoveArrived {
			continue
		}
		back := *sh.mark
		back.State, back.Life, back.Peer = core.MoveArrived, m.from.Store.Incarnation(), m.from.Name
		if err := sh.setMark(ctx, back, !back.Unclean); err != nil {
			return err
		}
	}
	return nil
}

package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Side is an open store that is moved, or moved into. Nobody else uses it. Run
// and Undo close it, whatever comes of them, as Close does.
type Side struct {
	Store store.Store
	Name  string // what people call it: what a mark in the other store says
}

// Close is for a store of which nothing was moved. One whose last process did not
// end in order stays open until this process ends: closed in order, it would
// hide that from its next server.
func (s Side) Close() error {
	if !s.Store.CleanStart() {
		return nil
	}
	return s.Store.Close()
}

// Options of a move. A zero field means its default.
type Options struct {
	Owner    string         // who moves, for the stores' records
	Progress func(Progress) // is told now and then

	noteEvery uint64 // bytes after which it is noted how far the move is
}

// Progress is how far a move is.
type Progress struct {
	Phase string // what is done now: copying, comparing
	Rows  uint64 // of the phase, by this run
	Bytes uint64
}

// Report says what a move did.
type Report struct {
	FromShards int
	ToShards   int
	Rows       uint64 // in the target
	Bytes      uint64 // of them, keys and values
	Unclean    bool   // the last process of the source did not end in order
	Resumed    bool   // another run had begun
	Already    bool   // ... and had moved all rows
}

// Errors of this package, matched with errors.Is. After any of them, and after
// every other one, the source is as it was or bears the move's mark; a move is
// never half served.
var (
	// ErrNotEmpty: the target has rows that are not of this move.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrNothing: there is nothing in the source.
	ErrNothing = errors.New("nothing is stored there")
	// ErrOther: one of the stores is part of another move.
	ErrOther = errors.New("another move is under way")
	// ErrInUse: servers have one of the stores.
	ErrInUse = errors.New("servers are running on it")
	// ErrServed: the target was served, so there is no way back.
	ErrServed = errors.New("the target was served since the move")
	// ErrDiffers: what was read back is not what was written.
	ErrDiffers = errors.New("the target is not what the source is")
)

// Run moves from into to. It can be interrupted anywhere and is then repeated,
// with the same two stores; when it returns nil, to is to be served and from is
// refused for good. After an error whose cause is gone it is repeated too, or
// undone.
func Run(ctx context.Context, from, to Side, opt Options) (*Report, error) {
	m, err := begin(ctx, from, to, opt)
	if err != nil {
		return nil, err
	}
	err = m.run(ctx)
	return &m.report, errors.Join(err, m.close(ctx))
}

// move is one run of a move.
type move struct {
	from, to *side
	opt      Options
	fenced   time.Time // when the source's former owners were
	id       message.ID
	unclean  bool
	rows     *core.Moving
	steps    []step
	report   Report
	progress Progress
	told     uint64
}

// begin opens all shards of both, which fences whoever had them. After an error
// both are closed.
func begin(ctx context.Context, from, to Side, opt Options) (*move, error) {
	m := &move{opt: opt, from: &side{Side: from}, to: &side{Side: to}}
	if err := m.begin(ctx); err != nil {
		return nil, errors.Join(err, m.close(ctx))
	}
	return m, nil
}

func (m *move) begin(ctx context.Context) (err error) {
	from, to, opt := m.from, m.to, &m.opt
	if from.Store.Incarnation() == to.Store.Incarnation() {
		return fmt.Errorf("%w: %s and %s are the same store", ErrOther, from.Name, to.Name)
	}
	if opt.Owner == "" {
		opt.Owner = "semel migrate"
	}
	if opt.noteEvery == 0 {
		opt.noteEvery = noteBytes
	}
	for _, s := range []*side{from, to} {
		if s.tenure, err = occupy(ctx, s.Side, opt.Owner); err != nil {
			return err
		}
	}
	if err := from.open(ctx, opt.Owner); err != nil {
		return err
	}
	m.fenced = time.Now()
	m.report = Report{FromShards: from.Store.Shards(), ToShards: to.Store.Shards()}
	return to.open(ctx, opt.Owner)
}

func (m *move) close(ctx context.Context) error {
	return errors.Join(m.to.close(ctx), m.from.close(ctx))
}

func (m *move) run(ctx context.Context) error {
	arrived, err := m.examine()
	if err != nil {
		return err
	}
	if arrived {
		m.report.Already = true
		return m.arrive(ctx)
	}
	if err := m.reserve(ctx); err != nil {
		return err
	}
	if err := m.learn(ctx); err != nil {
		return err
	}
	if err := m.copy(ctx); err != nil {
		return err
	}
	if err := m.compare(ctx); err != nil {
		return err
	}
	if err := m.waitForLease(ctx); err != nil {
		return err
	}
	return m.arrive(ctx)
}

// examine finds out where the move stands, and refuses what does not go
// together. It reports whether all rows are in the target.
func (m *move) examine() (arrived bool, err error) {
	m.unclean = m.from.unclean()
	away := false
	for _, sh := range m.from.shards {
		mark := sh.mark
		switch {
		case mark == nil:
		case mark.State == core.MoveArrived: // of an earlier move, to here
			m.unclean = m.unclean || mark.Unclean
		case mark.State != core.MoveAway && mark.State != core.MoveGone:
			return false, fmt.Errorf("%s: %w", m.from.Name, &core.MovedError{Mark: *mark})
		case mark.Life != m.to.Store.Incarnation():
			return false, fmt.Errorf("%w: %s: %w", ErrOther, m.from.Name, &core.MovedError{Mark: *mark})
		default:
			away, m.id = true, mark.Move
		}
	}
	if away {
		m.report.Resumed = true
		return m.resume()
	}
	if !slices.ContainsFunc(m.from.shards, func(sh *shard) bool { return sh.version.Seq != 0 }) {
		return false, fmt.Errorf("%w: %s", ErrNothing, m.from.Name)
	}
	for _, sh := range m.to.shards {
		mark := sh.mark
		switch {
		case mark == nil && sh.version.Seq == 0:
		case mark == nil || mark.State == core.MoveArrived:
			return false, fmt.Errorf("%w: %s has data of its own in shard %d; name a new directory, or another schema", ErrNotEmpty, m.to.Name, sh.id)
		case mark.State != core.MoveReserved || mark.Life != m.from.Store.Incarnation():
			return false, fmt.Errorf("%w: %s: %w", ErrOther, m.to.Name, &core.MovedError{Mark: *mark})
		default:
			m.report.Resumed, m.id = true, mark.Move
		}
	}
	if m.id.IsZero() {
		_, _ = rand.Read(m.id[:]) // it does not fail
	}
	return false, nil
}

// resume looks at the target of a move that has begun.
func (m *move) resume() (arrived bool, err error) {
	m.unclean = false
	left := true // by the whole source
	for _, sh := range m.from.shards {
		mark := sh.mark
		if mark == nil || mark.State == core.MoveArrived { // a server may have had it since the other run
			left = false
			m.unclean = m.unclean || m.from.unclean()
		}
		m.unclean = m.unclean || mark != nil && mark.Unclean
	}
	given := false
	for _, sh := range m.to.shards {
		mark := sh.mark
		if mark == nil || mark.Move != m.id {
			return false, fmt.Errorf("%w: %s is not what %s is being moved into: shard %d bears no mark of that move", ErrOther, m.to.Name, m.from.Name, sh.id)
		}
		given = given || mark.State == core.MoveGivenUp
	}
	first := m.to.shards[0].mark
	// An undoing that has not come to the source is taken back: a server that came
	// between has made it impossible, maybe. Of a backup of the source nobody can
	// say to what the undoing has come.
	if given && !(left && whole(first) && first.Life == m.from.Store.Incarnation()) {
		return false, fmt.Errorf("%w: the move was being undone: complete that with --undo", ErrOther)
	}
	return whole(first), nil
}

// whole says, by the mark of the target's shard 0, whether the target has all
// rows, also if it was given up since.
func whole(first *core.MoveMark) bool {
	return first.State == core.MoveArrived || first.State == core.MoveGivenUp && first.Whole
}

// reserve sets the marks that keep servers from both.
func (m *move) reserve(ctx context.Context) error {
	reserved := core.MoveMark{State: core.MoveReserved, Move: m.id, Peer: m.from.Name, Life: m.from.Store.Incarnation()}
	if err := m.to.markAll(ctx, reserved, func(was core.MoveState) bool { return was == 0 }); err != nil {
		return err
	}
	away := core.MoveMark{State: core.MoveAway, Move: m.id, Peer: m.to.Name, Life: m.to.Store.Incarnation(), Unclean: m.unclean}
	err := m.from.markAll(ctx, away, func(was core.MoveState) bool { return was == 0 || was == core.MoveArrived })
	if errors.Is(err, store.ErrFenced) {
		return fmt.Errorf("%w; stop all servers of %s, and run the same again", err, m.from.Name)
	}
	if err != nil {
		return err
	}
	into := reserved
	into.State = core.MoveInto
	return m.to.markAll(ctx, into, func(was core.MoveState) bool { return was == core.MoveReserved })
}

// waitForLease waits until no former owner can begin a call any more.
func (m *move) waitForLease(ctx context.Context) error {
	wait := time.NewTimer(time.Until(m.fenced.Add(m.from.Store.Profile().Lease)))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// arrive lets the target be served. In shard 0 it is decided. Shards that were
// given up are here only if resume has found that they may be.
func (m *move) arrive(ctx context.Context) error {
	arrived := core.MoveMark{State: core.MoveArrived, Move: m.id, Peer: m.from.Name, Life: m.from.Store.Incarnation(), Unclean: m.unclean}
	if err := m.to.markAll(ctx, arrived, func(was core.MoveState) bool { return was == core.MoveInto || was == core.MoveGivenUp }); err != nil {
		return err
	}
	gone := core.MoveMark{State: core.MoveGone, Move: m.id, Peer: m.to.Name, Life: m.to.Store.Incarnation(), Unclean: m.unclean}
	m.report.Unclean = m.unclean
	return m.from.markAll(ctx, gone, func(was core.MoveState) bool { return was == core.MoveAway })
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// pending is a unit that was submitted.
type pending struct {
	version message.Version
	changes *changes
	done    chan struct{} // closed when err is set
	err     error
}

// Wait waits for the answer.
func (p *pending) Wait() error {
	<-p.done
	return p.err
}

func answered(err error) *pending {
	p := &pending{done: make(chan struct{}), err: err}
	close(p.done)
	return p
}

// Commit queues a unit. What becomes of it does not depend on ctx: a unit that
// was given up on its way would be in question for nothing.
func (s *session) Commit(_ context.Context, u *message.Unit) store.Pending {
	if n, limit := u.Bytes(), s.store.opt.MaxUnitBytes; n > limit {
		return answered(s.commitError(u.Version, fmt.Errorf("%w: %d bytes, at most %d", store.ErrTooLarge, n, limit)))
	}
	if u.Version.Seq == 0 || u.Version.Seq > math.MaxInt64 || u.Version.Epoch > math.MaxInt64 {
		return answered(s.commitError(u.Version, fmt.Errorf("%w: no unit follows with that version", store.ErrFenced)))
	}
	p := &pending{version: u.Version, changes: collapse(u), done: make(chan struct{})}
	if err := s.store.enter(); err != nil {
		return answered(s.commitError(u.Version, err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.err(); err != nil {
		s.store.leave()
		return answered(s.commitError(u.Version, err))
	}
	s.queue, s.last = append(s.queue, p), p
	if len(s.queue) == 1 {
		go s.send()
	}
	return p
}

func (s *session) commitError(v message.Version, err error) error {
	return fmt.Errorf("commit unit %d of shard %d: %w", v.Seq, s.shard, err)
}

// send sends what is queued, one unit after the other, and ends when nothing is
// left. It is the only one to take from the queue.
func (s *session) send() {
	for {
		s.mu.Lock()
		p, dead := s.queue[0], s.dead
		s.mu.Unlock()
		switch seen := s.seen(); {
		case dead == nil && p.version.Seq > seen+1:
			// The unit before it was not made, and is not going to be.
			p.err = s.commitError(p.version, fmt.Errorf("%w: no unit %d went before", store.ErrFenced, p.version.Seq-1))
		case dead == nil:
			p.err = s.commit(p)
		default:
			// It was queued behind the unit in question, and is not sent: it could
			// follow that one, and nobody would know whether it does.
			p.err = s.commitError(p.version, fmt.Errorf("%w: it was not sent, because the fate of the unit before it is unknown: %w", store.ErrClosed, dead))
		}
		p.changes = nil // the session remembers p as the last one
		s.mu.Lock()
		s.queue[0] = nil
		s.queue = s.queue[1:]
		more := len(s.queue) > 0
		s.mu.Unlock()
		close(p.done)
		s.store.leave()
		if !more {
			return
		}
	}
}

// fence is what the statement of a unit says of the fence.
type fence struct {
	matched    int64
	epoch, seq int64
	era, lost  int64
	owner      string
	session    *bool // it is this one
	rows       int
}

// commit makes a unit, and sets what is known of the session by its fate.
func (s *session) commit(p *pending) error {
	f, at, err := s.deliver(p)
	switch {
	case f == done && at.rows != 1:
		err = s.commitError(p.version, fmt.Errorf("%w: table semel_shard has no row for the shard", store.ErrCorrupt))
		s.kill(err)
		return err
	case f == done && at.matched == 1:
		s.acknowledged(p)
		return nil
	case f == done:
		return s.commitError(p.version, s.fenced(at))
	case f == unsent:
		return s.commitError(p.version, fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	case f == refused:
		return s.commitError(p.version, notDone(err))
	}
	err = s.commitError(p.version, fmt.Errorf("whether it is made is unknown: %w", err))
	s.kill(err)
	return err
}

// deliver sends the statement of a unit, as often as that is safe. A generation
// whose table is not there is made, and the same unit sent again.
func (s *session) deliver(p *pending) (fate, *fence, error) {
	ctx := context.Background()
	for try := 1; ; try++ {
		if err := s.store.ensureGenerations(ctx, p.changes.dedupOrd); err != nil {
			if errors.Is(err, store.ErrUnavailable) {
				return unsent, nil, err
			}
			return refused, nil, err
		}
		s.mayHave(p.changes.dedupOrd)
		at := &fence{}
		q := query{
			begin: func() { *at = fence{} },
			row: func(r pgx.Rows) error {
				at.rows++
				return r.Scan(&at.matched, &at.epoch, &at.seq, &at.era, &at.lost, &at.owner, &at.session)
			},
		}
		q.sql, q.args = s.store.sql.unitStatement(s, p.version, p.changes)
		f, err := s.store.run(ctx, &q)
		var said *pgconn.PgError
		if f == refused && errors.As(err, &said) && said.Code == noTable && try < tries && len(p.changes.dedupOrd) > 0 {
			s.store.forgetGenerations(p.changes.dedupOrd)
			continue
		}
		return f, at, err
	}
}

// notDone is the error of a unit that the server has rolled back.
func notDone(err error) error {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return err
	}
	switch said.Code {
	case diskFull:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case readOnly:
		return fmt.Errorf("%w: %w: the server takes no writes; was another one promoted?", store.ErrUnavailable, err)
	case serializationFailure, deadlockDetected:
		return fmt.Errorf("%w: %w: rolled back %d times, for what others do at the same time", store.ErrUnavailable, err, tries)
	}
	return fmt.Errorf("the database rolled it back: %w", err)
}

// fenced is the error of a unit that met another fence than its own.
func (s *session) fenced(at *fence) error {
	switch {
	case at.lost > at.seq:
		return fmt.Errorf("%w: %w", store.ErrFenced, &store.LostError{Shard: s.shard, Had: message.Seq(at.lost), Has: message.Seq(at.seq)})
	case s.behind(at):
		return fmt.Errorf("%w: the database is at unit %d, and had acknowledged unit %d: it went back in time", store.ErrFenced, at.seq, s.store.remembered(s.shard).seq)
	}
	return fmt.Errorf("%w: it was at epoch %d, unit %d, of owner %q", store.ErrFenced, at.epoch, at.seq, at.owner)
}

// behind says whether the database is behind what was acknowledged. A statement
// that waited for the fence read it before it waited, so only a row of this very
// session can be believed: no other statement of it was under way.
func (s *session) behind(at *fence) bool {
	return at.session != nil && *at.session && at.era == s.era && at.seq < int64(s.seen())
}

func (s *session) acknowledged(p *pending) {
	s.mu.Lock()
	s.applied = p.version.Seq
	s.mu.Unlock()
	s.mayHave(p.changes.dedupOrd)
	s.marked(p.changes)
	s.store.remember(s.shard, remembered{era: s.era, epoch: p.version.Epoch, seq: p.version.Seq})
}

// seen is the last unit that the session knows to be there.
func (s *session) seen() message.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.applied, s.version.Seq)
}

// kill ends the session: nothing is sent any more.
func (s *session) kill(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = cause
}

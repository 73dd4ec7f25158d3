package semeltest

import (
	"context"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// crashStore is the store of one life: the disk, where each commit waits at a
// point before it becomes durable. After the crash it answers as a broken
// device does, which ends an App at once.
type crashStore struct {
	store.Store
	life *life
}

// OpenStore opens the disk for a life.
func (l *life) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := l.h.disk.OpenStore(ctx)
	if err != nil {
		return nil, err
	}
	return &crashStore{st, l}, nil
}

// Maintain changes rows too, so it takes its turn.
func (s *crashStore) Maintain(ctx context.Context, r store.Retention) error {
	s.life.turn(fmt.Sprintf("maintain %05d", r.Shard))
	return s.Store.Maintain(ctx, r)
}

func (s *crashStore) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	sess, err := s.Store.Open(ctx, shard, owner)
	if err != nil {
		return nil, s.life.broken(err)
	}
	return &crashSession{sess, s.life, shard}, nil
}

type crashSession struct {
	store.Session
	life  *life
	shard message.Shard
}

func (s *crashSession) Commit(ctx context.Context, u *message.Unit) store.Pending {
	s.life.turn(fmt.Sprintf("apply %05d", s.shard))
	s.life.tells(u)
	return &crashPending{s.Session.Commit(ctx, u), s.life, settledBy(u), point{
		commit: true, rank: fmt.Sprintf("commit %05d", s.shard),
		before: "before a commit was durable", after: "after a commit was durable, before anybody was told",
	}}
}

type crashPending struct {
	store.Pending
	life    *life
	settled []string // effects
	at      point
}

// settledBy lists the effects that are settled by a unit.
func settledBy(u *message.Unit) (ids []string) {
	for i := range u.Writes {
		if w := &u.Writes[i]; w.Table == message.TableEffect && w.Op == message.Delete {
			ids = append(ids, message.ID(w.Key).String())
		}
	}
	return ids
}

func (p *crashPending) Wait() error {
	if !p.life.pass(p.at) {
		return p.life.broken(errDown)
	}
	err := p.Pending.Wait()
	if err == nil {
		p.life.h.ledger.settle(p.settled)
	}
	return err
}

// tells takes note of what a unit tells of the program.
func (l *life) tells(u *message.Unit) {
	during := l.during.Load()
	l.h.mu.Lock()
	err := l.h.trace.read(u, during != nil && *during == aDo)
	l.h.mu.Unlock()
	if err != nil {
		l.h.blame("the kit does not understand what the program commits: %v", err)
	}
}

// broken is an error of the store, as the App is to see it.
func (l *life) broken(err error) error {
	if l.dead.Load() {
		return fmt.Errorf("%w: %w", store.ErrBroken, errDown)
	}
	return err
}

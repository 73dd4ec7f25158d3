package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// session is the right to change one shard. Its commits are in commit.go, its
// reads in read.go and inbox.go.
type session struct {
	store   *Store
	shard   message.Shard
	token   string // in the fence row while no other session is
	former  string // of the session before it
	version message.Version
	era     int64
	clean   bool

	mu      sync.Mutex
	closed  bool
	queue   []*pending // to be sent, the first is under way
	last    *pending   // that was queued last
	dead    error      // why nothing is sent any more: a unit's fate is unknown
	applied message.Seq
	gens    map[message.Generation]int // tables of the dedup log that may have rows of the shard: how often that was noted
	marks   int                        // rows that were deleted since the last sweep, at least
	upkeep  upkeep

	asking sync.Mutex // held while the database is asked for those
	asked  bool
}

func newSession(st *Store, shard message.Shard, token string) *session {
	// The session before may have left marks.
	return &session{store: st, shard: shard, token: token, gens: make(map[message.Generation]int), marks: 1}
}

// Version is the shard's version when the session was opened.
func (s *session) Version() message.Version { return s.version }

// Follows says whether no other session of the shard was opened since former.
// Epochs do not tell: after a failover they are given again.
func (s *session) Follows(former store.Session) bool {
	f, ok := former.(*session)
	return ok && f.token == s.former
}

// Clean says whether the shard's last session before this one was closed in
// order, or there was none.
func (s *session) Clean() bool { return s.clean }

// Close gives the session up once its units are answered.
func (s *session) Close() error {
	s.store.mu.Lock()
	if s.store.sessions[s.shard] == s {
		delete(s.store.sessions, s.shard)
	}
	s.store.mu.Unlock()
	if err := s.store.enter(); err != nil {
		return nil // with the store, sessions were closed
	}
	defer s.store.leave()
	return s.shut()
}

// shut closes the session, and says so in the database if it ends in order:
// with nothing in question.
func (s *session) shut() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	last := s.last
	s.mu.Unlock()
	if last != nil {
		<-last.done
	}
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead != nil {
		return nil // whoever committed the unit in question has heard of it
	}
	err := s.store.exec(context.Background(), s.store.sql.with(
		"UPDATE {s}.semel_shard SET held = false WHERE shard = $1::integer AND session = $2::uuid"), int32(s.shard), s.token)
	if err != nil {
		return fmt.Errorf("close shard %d in order: %w", s.shard, err)
	}
	return nil
}

// err says why the session takes nothing any more. Called with mu.
func (s *session) err() error {
	switch {
	case s.closed:
		return store.ErrClosed
	case s.dead != nil:
		return fmt.Errorf("%w: the session ended with a unit whose fate is unknown: %w", store.ErrClosed, s.dead)
	}
	return nil
}

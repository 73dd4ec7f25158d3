package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// session is the right to commit to one shard, and the reader of its rows.
// Its commits are in commit.go.
type session struct {
	store   *Store
	number  message.Shard
	shard   *shard
	version message.Version
	closed  atomic.Bool
}

// Version is the shard's version when the session was opened.
func (s *session) Version() message.Version { return s.version }

// Close gives the session up. Commits under way get their answers.
func (s *session) Close() error {
	s.closed.Store(true)
	return nil
}

// enter is Store.enter for a session.
func (s *session) enter() error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return s.store.enter()
}

// enterRead is enter for a read, whose errors name the shard.
func (s *session) enterRead(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return fmt.Errorf("read shard %d: %w", s.number, err)
	}
	return nil
}

// keyBuffers holds room for keys. Pebble's Get lets its argument escape, so
// that a buffer on the stack would be an allocation.
var keyBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Get returns one value for each key. The values are read one by one, not at
// one moment: a unit that is committed meanwhile may be in some of them.
func (s *session) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	if err := s.enterRead(ctx); err != nil {
		return nil, err
	}
	defer s.store.leave()
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	values := make([][]byte, len(keys))
	for i := range keys {
		k := &keys[i]
		checkTable(k.Table, k.Gen)
		if front(k.Table) {
			var known bool
			if values[i], known = s.shard.memory.get(k); known {
				continue
			}
		}
		*buf = appendKey((*buf)[:0], s.number, k.Table, k.Gen, k.Key)
		value, closer, err := s.store.db.Get(*buf)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, s.readError(fmt.Sprintf("row %x of table %d", k.Key, k.Table), err)
		}
		values[i] = append(make([]byte, 0, len(value)), value...) // an empty value is not nil
		if err := closer.Close(); err != nil {
			return nil, s.readError(fmt.Sprintf("row %x of table %d", k.Key, k.Table), err)
		}
	}
	return values, nil
}

func (s *session) readError(what string, err error) error {
	return fmt.Errorf("read shard %d: %s: %w", s.number, what, corruption(err))
}

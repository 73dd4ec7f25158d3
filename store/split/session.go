package split

import (
	"context"
	"errors"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// session is a session of the part that holds the shard. Commits and reads are
// that part's; only the inbox has other parts to ask.
type session struct {
	store.Session
	whole *Store
	home  *part
	shard message.Shard
}

// Follows says whether no other session of the shard was opened since former.
func (s *session) Follows(former store.Session) bool {
	f, ok := former.(*session)
	if !ok || f.shard != s.shard {
		return false
	}
	if inner, ok := s.Session.(store.Successor); ok {
		return inner.Follows(f.Session)
	}
	return s.Version().Epoch == f.Version().Epoch+1
}

// Inbox returns what other shards sent. The outboxes of this part it reads as a
// session of it does. Those of others give what is durable there; while one of
// them is away, the error wraps store.ErrAway and the session goes on.
//
// Every source first gets an equal part of max; what is left over goes to the
// sources in the order of the cursors.
func (s *session) Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	abroad := false
	for _, c := range from {
		p, err := s.whole.of(c.Source)
		if err != nil {
			return nil, fmt.Errorf("inbox of shard %d: source %w", s.shard, err)
		}
		abroad = abroad || p != s.home
	}
	if !abroad || max <= 0 {
		return s.Session.Inbox(ctx, from, max)
	}
	out, err := s.gather(ctx, from, max)
	if len(out) == 0 && err == nil || errors.Is(err, store.ErrAway) {
		return nil, err // nothing was said that a former owner could be wrong about
	}
	// Whoever lost the shard has cursors of before: what it finds missing was
	// removed on the word of the next owner, and nothing is corrupt.
	if mine := s.current(ctx); mine != nil {
		return nil, mine
	}
	return out, err
}

// current says why the session has not the shard any more. A read does.
func (s *session) current(ctx context.Context) error {
	_, err := s.Scan(ctx, store.Range{Table: message.TableMeta}, 1)
	return err
}

func (s *session) gather(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	var out []message.Delivery
	at := append([]message.Cursor(nil), from...)
	for _, quota := range []int{(max + len(from) - 1) / len(from), max} {
		for i := range at {
			n := min(quota, max-len(out))
			if n == 0 {
				continue
			}
			got, err := s.pull(ctx, at[i], n)
			if err != nil {
				return nil, err
			}
			at[i].Position += uint64(len(got))
			out = append(out, got...)
		}
	}
	return out, nil
}

// pull takes messages of one source.
func (s *session) pull(ctx context.Context, from message.Cursor, max int) ([]message.Delivery, error) {
	p := s.whole.parts[s.whole.plan.home[from.Source]]
	if p == s.home {
		return s.Session.Inbox(ctx, []message.Cursor{from}, max)
	}
	other, err := p.present()
	if err != nil {
		return nil, fmt.Errorf("inbox of shard %d from shard %d: %w", s.shard, from.Source, err)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := other.Outbox(limited, s.shard, from, max)
	switch {
	case err == nil, errors.Is(err, store.ErrCorrupt):
		return out, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, store.ErrLost): // the source's trouble, until a person has looked at it
	default:
		p.missed(other)
	}
	return nil, fmt.Errorf("inbox of shard %d: %w: part %s: %w", s.shard, store.ErrAway, p.Name, err)
}

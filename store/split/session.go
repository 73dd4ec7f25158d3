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
// session of it does. Those of others give what is durable there; of those that are
// away there is an AwayError, beside the messages of the others, and the session
// goes on.
//
// Every source first gets an equal part of max, or, of one part, all together do;
// what is left over goes to those that have more.
func (s *session) Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	var here, abroad []message.Cursor
	for _, c := range from {
		switch p, err := s.whole.of(c.Source); {
		case err != nil:
			return nil, fmt.Errorf("inbox of shard %d: source %w", s.shard, err)
		case p == s.home:
			here = append(here, c)
		default:
			abroad = append(abroad, c)
		}
	}
	if len(abroad) == 0 || max <= 0 {
		return s.Session.Inbox(ctx, from, max)
	}
	out, away, err := s.gather(ctx, here, abroad, max)
	if len(out) > 0 || errors.Is(err, store.ErrCorrupt) {
		// Whoever lost the shard has cursors of before: what it finds missing was
		// removed on the word of the next owner, and nothing is corrupt.
		if lost := s.current(ctx); lost != nil {
			return nil, lost
		}
	}
	if err != nil {
		return nil, err
	}
	if away != nil {
		return out, away
	}
	return out, nil
}

// gather asks every source for its share, then those that may have more.
func (s *session) gather(ctx context.Context, here, abroad []message.Cursor, max int) (out []message.Delivery, away *store.AwayError, err error) {
	share := (max + len(here) + len(abroad) - 1) / (len(here) + len(abroad))
	for round := 0; round < 2; round++ {
		if n := min(share*len(here), max-len(out)); n > 0 {
			got, err := s.Session.Inbox(ctx, here, n)
			if err != nil {
				return nil, nil, err
			}
			for _, d := range got {
				for i := range here {
					if here[i].Source == d.Source {
						here[i].Position = d.Position
					}
				}
			}
			out = append(out, got...)
			if len(got) < n {
				here = nil
			}
		}
		var more []message.Cursor
		for _, c := range abroad {
			n := min(share, max-len(out))
			if n <= 0 {
				break
			}
			got, err := s.pull(ctx, c, n)
			switch {
			case errors.Is(err, store.ErrAway):
				if away == nil {
					away = &store.AwayError{Err: err}
				}
				away.Sources = append(away.Sources, c.Source)
			case err != nil:
				return nil, nil, err
			case len(got) == n:
				more = append(more, message.Cursor{Source: c.Source, Position: c.Position + uint64(n)})
			}
			out = append(out, got...)
		}
		abroad, share = more, max
	}
	return out, away, nil
}

// pull takes messages of one source in another part.
func (s *session) pull(ctx context.Context, from message.Cursor, max int) ([]message.Delivery, error) {
	p := s.whole.parts[s.whole.plan.home[from.Source]]
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

// current says why the session has not the shard any more. A read does.
func (s *session) current(ctx context.Context) error {
	_, err := s.Scan(ctx, store.Range{Table: message.TableMeta}, 1)
	return err
}

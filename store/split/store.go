package split

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Store is several stores that are open as one.
type Store struct {
	plan         *plan
	parts        []*part // in the order of the plan's
	profile      store.Profile
	incarnations []message.Incarnation // of the parts
	incarnation  message.Incarnation

	running    context.Context // until Close
	stop       context.CancelFunc
	background sync.WaitGroup             // waits for parts
	mu         sync.Mutex                 // held to begin something in the background
	sessions   map[message.Shard]*session // the last of each shard
}

var (
	_ store.Store        = (*Store)(nil)
	_ store.Divided      = (*Store)(nil)
	_ store.LossAccepter = (*Store)(nil)
)

// later begins something that ends with the store.
func (st *Store) later(do func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.running.Err() == nil {
		st.background.Go(do)
	}
}

// Profile is what every part can do.
func (st *Store) Profile() store.Profile { return st.profile }

// Incarnation is derived from those of the parts.
func (st *Store) Incarnation() message.Incarnation { return st.incarnation }

// Shards is the number of shards of all parts.
func (st *Store) Shards() int { return st.plan.shards }

// Wake is nil: nothing hints.
func (st *Store) Wake() <-chan message.Shard { return nil }

// CleanStart says whether all parts started clean. Of one that was away when the
// store was opened, nobody knows.
func (st *Store) CleanStart() bool {
	for _, p := range st.parts {
		if s := p.store(); s == nil || !s.CleanStart() {
			return false
		}
	}
	return true
}

// of is the part that holds a shard.
func (st *Store) of(shard message.Shard) (*part, error) {
	if int(shard) >= st.plan.shards {
		return nil, fmt.Errorf("shard %d: the store has %d shards", shard, st.plan.shards)
	}
	return st.parts[st.plan.home[shard]], nil
}

// Open begins a session in the part that holds the shard.
func (st *Store) Open(ctx context.Context, shard message.Shard, owner string) (store.Session, error) {
	p, err := st.of(shard)
	if err != nil {
		return nil, fmt.Errorf("open %w", err)
	}
	s, err := p.get()
	if err != nil {
		return nil, fmt.Errorf("open shard %d: %w", shard, err)
	}
	inner, err := s.Open(ctx, shard, owner)
	if err != nil {
		return nil, fmt.Errorf("part %s: %w", p.Name, err)
	}
	opened := &session{Session: inner, whole: st, home: p, shard: shard}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sessions[shard] = opened
	return opened, nil
}

func (st *Store) session(shard message.Shard) *session {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sessions[shard]
}

// Maintain forgets in the shard's own part, and has other parts remove what the
// shard has consumed of theirs: on the word of a session that has the shard, as
// its part says at that moment. What a part cannot be told now, it is told the next
// time: bounds only grow.
func (st *Store) Maintain(ctx context.Context, r store.Retention) error {
	home, err := st.of(r.Shard)
	if err != nil {
		return fmt.Errorf("maintain %w", err)
	}
	its := r
	its.Consumed = nil
	var abroad []message.Cursor
	for _, c := range r.Consumed {
		switch p, err := st.of(c.Source); {
		case err != nil:
			return fmt.Errorf("maintain shard %d: source %w", r.Shard, err)
		case p == home:
			its.Consumed = append(its.Consumed, c)
		default:
			abroad = append(abroad, c)
		}
	}
	s, err := home.get()
	if err == nil {
		err = s.Maintain(ctx, its)
	}
	if err != nil {
		return fmt.Errorf("part %s: %w", home.Name, err)
	}
	if len(abroad) == 0 {
		return nil
	}
	sess := st.session(r.Shard)
	if sess == nil || r.Epoch != 0 && r.Epoch != sess.Version().Epoch || sess.current(ctx) != nil {
		return nil // the word is not its own any more
	}
	var errs []error
	for _, c := range abroad {
		errs = append(errs, st.consumed(ctx, r.Shard, c))
	}
	return errors.Join(errs...)
}

func (st *Store) consumed(ctx context.Context, reader message.Shard, c message.Cursor) error {
	p := st.parts[st.plan.home[c.Source]]
	s, err := p.present()
	if err == nil {
		if err = s.Consumed(ctx, reader, c); errors.Is(err, store.ErrUnavailable) {
			p.missed(s)
		}
	}
	if err != nil {
		return fmt.Errorf("part %s: %w", p.Name, err)
	}
	return nil
}

// AcceptLoss makes a shard usable that its part has lost units of. Its messages to
// shards of other parts that were lost, and had been consumed there, are not taken
// back, and as many of the next ones may be passed over.
func (st *Store) AcceptLoss(ctx context.Context, shard message.Shard) error {
	p, err := st.of(shard)
	if err != nil {
		return fmt.Errorf("accept the loss of %w", err)
	}
	s, err := p.get()
	if err != nil {
		return fmt.Errorf("accept the loss of shard %d: %w", shard, err)
	}
	if l, ok := s.(store.LossAccepter); ok {
		return l.AcceptLoss(ctx, shard)
	}
	return nil
}

// PartOf is the name of the part that holds a shard; "" if there is no such shard.
func (st *Store) PartOf(shard message.Shard) string {
	p, err := st.of(shard)
	if err != nil {
		return ""
	}
	return p.Name
}

// Close closes the parts, all at once: each may take a while.
func (st *Store) Close() error {
	st.mu.Lock()
	st.stop()
	st.mu.Unlock()
	st.background.Wait()
	errs := make([]error, len(st.parts))
	var all sync.WaitGroup
	for i, p := range st.parts {
		if s := p.store(); s != nil {
			all.Go(func() {
				if err := s.Close(); err != nil {
					errs[i] = fmt.Errorf("part %s: %w", p.Name, err)
				}
			})
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

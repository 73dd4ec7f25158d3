package split

import (
	"context"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Divisions are the parts, each with its shards and its leases.
func (st *Store) Divisions() []store.Division {
	var all []store.Division
	for _, p := range st.parts {
		all = append(all, store.Division{Name: p.Name, Shards: p.Shards, Leaser: leaser{p}})
	}
	return all
}

// leaser is a part's leases, once it is open.
type leaser struct{ part *part }

func (l leaser) get() (store.Leaser, error) {
	s, err := l.part.get()
	if err != nil {
		return nil, err
	}
	in, ok := s.(store.Leaser)
	if !ok {
		return nil, fmt.Errorf("part %s knows no leases", l.part.Name)
	}
	return in, nil
}

func (l leaser) Keep(ctx context.Context, n store.Node) (store.Roster, error) {
	in, err := l.get()
	if err != nil {
		return store.Roster{}, err
	}
	return in.Keep(ctx, n)
}

func (l leaser) Claim(ctx context.Context, node string, shard message.Shard) (store.Claim, bool, error) {
	in, err := l.holding(shard)
	if err != nil {
		return store.Claim{}, false, err
	}
	return in.Claim(ctx, node, shard)
}

func (l leaser) Release(ctx context.Context, node string, shard message.Shard, clean bool) error {
	in, err := l.holding(shard)
	if err != nil {
		return err
	}
	return in.Release(ctx, node, shard, clean)
}

func (l leaser) Leave(ctx context.Context, node string) error {
	in, err := l.get()
	if err != nil {
		return err
	}
	return in.Leave(ctx, node)
}

// holding refuses a shard of another part: here it would be free for everyone.
func (l leaser) holding(shard message.Shard) (store.Leaser, error) {
	if p, err := l.part.whole.of(shard); err != nil {
		return nil, err
	} else if p != l.part {
		return nil, fmt.Errorf("shard %d is in part %s, not in %s", shard, p.Name, l.part.Name)
	}
	return l.get()
}

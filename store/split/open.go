package split

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// open opens the parts, and the whole if they belong together.
func (p *plan) open(ctx context.Context) (*Store, error) {
	st := &Store{plan: p, incarnations: make([]message.Incarnation, len(p.parts)), sessions: make(map[message.Shard]*session)}
	st.running, st.stop = context.WithCancel(context.Background())
	for i := range p.parts {
		st.parts = append(st.parts, &part{whole: st, number: i, Part: p.parts[i]})
	}
	err := st.connect(ctx)
	if err == nil {
		err = st.agree(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	for _, part := range st.parts {
		if part.store() == nil {
			st.background.Go(part.await)
		}
	}
	return st, nil
}

// connect opens all parts at once. Of those that are away no more is said than
// that, as long as there is one that is not.
func (st *Store) connect(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(st.parts))
	for i, part := range st.parts {
		all.Go(func() { errs[i] = part.connect(ctx) })
	}
	all.Wait()
	here := 0
	for i, part := range st.parts {
		switch {
		case errs[i] == nil:
			here++
		case !errors.Is(errs[i], store.ErrUnavailable) || ctx.Err() != nil:
			return errs[i]
		default:
			part.fail(errs[i])
		}
	}
	if here == 0 {
		return errors.Join(errs...)
	}
	return st.compare()
}

// compare fits the profile of the whole to its parts.
func (st *Store) compare() error {
	first := true
	for _, part := range st.parts {
		s := part.store()
		if s == nil {
			continue
		}
		pr := s.Profile()
		if first {
			// A log of all shards it has not, even if each part has: a unit of one part
			// does not become durable with those of another.
			st.profile, first = pr, false
			st.profile.Name, st.profile.SharedLog = "split", false
			continue
		}
		if err := part.fits(pr); err != nil {
			return err
		}
		st.profile.UnitsInFlight = min(st.profile.UnitsInFlight, pr.UnitsInFlight)
		st.profile.MaxUnitBytes = min(st.profile.MaxUnitBytes, pr.MaxUnitBytes)
		st.profile.LocalReads = st.profile.LocalReads && pr.LocalReads
	}
	return nil
}

// fits says whether a part can be one of those whose profile there is.
func (p *part) fits(pr store.Profile) error {
	whole := p.whole.profile
	if pr.Exclusive != whole.Exclusive || pr.Lease != whole.Lease {
		return fmt.Errorf("part %s: its lease is %v (one process alone: %v), and that of another part %v (%v): all parts have the same",
			p.Name, pr.Lease, pr.Exclusive, whole.Lease, whole.Exclusive)
	}
	return nil
}

// agree compares the charters of the parts that are here, and makes those that
// are missing: of all parts when they are used together for the first time.
func (st *Store) agree(ctx context.Context) error {
	charters := make([][]byte, len(st.parts))
	var known []message.Incarnation // as a charter says
	var by string                   // whose
	complete := true
	for i, part := range st.parts {
		s := part.store()
		if s == nil {
			complete = false
			continue
		}
		st.incarnations[i] = s.Incarnation()
		var err error
		if charters[i], err = s.Charter(ctx); err != nil {
			return fmt.Errorf("part %s: %w", part.Name, err)
		}
		if len(charters[i]) == 0 {
			continue
		}
		had, err := st.plan.read(i, charters[i])
		if err != nil {
			return err
		}
		if known != nil && !slices.Equal(known, had) {
			return fmt.Errorf("parts %s and %s do not know each other: one of them was restored or replaced; see Renew", by, part.Name)
		}
		known, by = had, part.Name
	}
	switch {
	case known == nil && !complete:
		return fmt.Errorf("%w: the parts were never used together, and for the first time all are needed: %w", store.ErrUnavailable, st.missing())
	case known == nil:
		if err := st.virgin(ctx); err != nil {
			return err
		}
		known = st.incarnations
	}
	for i, part := range st.parts {
		if part.store() == nil {
			st.incarnations[i] = known[i]
		} else if st.incarnations[i] != known[i] {
			return part.another(by)
		}
	}
	st.incarnation = st.plan.whole(known)
	for _, part := range st.parts {
		if s := part.store(); s != nil {
			if err := part.admit(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// another says that a part is not the one that the others know.
func (p *part) another(by string) error {
	return fmt.Errorf("part %s: it is not the store that part %s knows: the wrong database is named, or it was made anew, restored or renewed by itself", p.Name, by)
}

// virgin says whether the parts may begin to be one store: one of them may have
// been a store before, of which the others' shards were never used.
func (st *Store) virgin(ctx context.Context) error {
	before := ""
	for i, part := range st.parts {
		used, err := part.store().Used(ctx)
		if err != nil {
			return fmt.Errorf("part %s: %w", part.Name, err)
		}
		if err := st.plan.strangers(i, used); err != nil {
			return err
		}
		if len(used) > 0 {
			if before != "" {
				return fmt.Errorf("parts %s and %s were stores of their own before, both with agents in them: their shards do not belong together", before, part.Name)
			}
			before = part.Name
		}
	}
	return nil
}

// admit gives a part its charter if it has none, and looks whether it holds only
// what it should.
func (p *part) admit(ctx context.Context, s store.Part) error {
	if n := s.Shards(); n != p.whole.plan.shards {
		return fmt.Errorf("part %s: it has %d shards and the map names %d: each part is made with the number of the whole", p.Name, n, p.whole.plan.shards)
	}
	want := p.whole.plan.charterOf(p.number, p.whole.incarnations)
	for { // another node may be about to do the same
		is, err := s.Charter(ctx)
		if err != nil {
			return fmt.Errorf("part %s: %w", p.Name, err)
		}
		if string(is) == string(want) {
			break
		}
		if len(is) > 0 {
			if _, err := p.whole.plan.read(p.number, is); err != nil {
				return err
			}
			return fmt.Errorf("part %s: its charter knows other parts: one of them was restored or replaced; see Renew", p.Name)
		}
		granted, err := s.Grant(ctx, nil, want)
		if errors.Is(err, store.ErrLocked) {
			if is, err := s.Charter(ctx); err == nil && string(is) == string(want) {
				continue // another node was faster, and has a lease by now
			}
		}
		if err != nil {
			return fmt.Errorf("part %s: make it a part: %w", p.Name, err)
		}
		if granted {
			break
		}
	}
	used, err := s.Used(ctx)
	if err != nil {
		return fmt.Errorf("part %s: %w", p.Name, err)
	}
	return p.whole.plan.strangers(p.number, used)
}

// missing is why parts are away.
func (st *Store) missing() error {
	var errs []error
	for _, part := range st.parts {
		if part.store() == nil {
			errs = append(errs, part.why())
		}
	}
	return errors.Join(errs...)
}

// openAgain is how long a part that could not be opened is left alone.
const openAgain = time.Second

package split

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/store"
)

// part is one of the stores. It may be opened later than the whole, and it may be
// away for a while: then those who only want messages from it do not wait.
type part struct {
	Part
	whole  *Store
	number int
	away   atomic.Bool // it did not answer: somebody looks when it does again

	mu     sync.Mutex
	opened store.Part // nil while it is not
	err    error      // why it is not
}

// connect opens the part's store.
func (p *part) connect(ctx context.Context) error {
	s, err := p.Opener.(store.PartOpener).OpenPart(ctx, p.Shards)
	if err != nil {
		return fmt.Errorf("part %s: %w", p.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = s
	return nil
}

func (p *part) store() store.Part {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

func (p *part) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// why is why the part is not open.
func (p *part) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// get is the part's store. It waits for nothing.
func (p *part) get() (store.Part, error) {
	if s := p.store(); s != nil {
		return s, nil
	}
	if p.whole.running.Err() != nil {
		return nil, store.ErrClosed
	}
	return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, p.why())
}

// await opens a part that was away when the whole was opened, as soon as it is
// there, if it is the one that the others know.
func (p *part) await() {
	for p.pause(openAgain) {
		if err := p.join(p.whole.running); err != nil {
			p.fail(err)
			continue
		}
		return
	}
}

func (p *part) join(ctx context.Context) error {
	s, err := p.Opener.(store.PartOpener).OpenPart(ctx, p.Shards)
	if err != nil {
		return fmt.Errorf("part %s: %w", p.Name, err)
	}
	pr := s.Profile()
	err = p.fits(pr)
	switch whole := p.whole.profile; {
	case err != nil:
	case s.Incarnation() != p.whole.incarnations[p.number]:
		err = p.another("the others")
	case pr.MaxUnitBytes < whole.MaxUnitBytes || whole.LocalReads && !pr.LocalReads:
		err = fmt.Errorf("part %s: it can do less than the others, which the program that is running does not expect: start it again", p.Name)
	default:
		err = p.admit(ctx, s)
	}
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err = ctx.Err(); err == nil {
			p.opened = s
			return nil
		}
	}
	return errors.Join(err, s.Close())
}

// pause reports false when the store is closed.
func (p *part) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.whole.running.Done():
		return false
	}
}

const (
	// patience is how long another part may take to say which messages it has,
	// until it is taken to be away. Nothing is lost by that but time.
	patience = 2 * time.Second
	// lookAgain is how often a part that is away is looked for.
	lookAgain = 500 * time.Millisecond
)

// present says whether the part answers, as far as is known.
func (p *part) present() (store.Part, error) {
	if p.away.Load() {
		return nil, fmt.Errorf("part %s: %w", p.Name, store.ErrAway)
	}
	s, err := p.get()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrAway, err)
	}
	return s, nil
}

// missed notes that the part did not answer. From then on nobody waits for it but
// the one who looks whether it does again.
func (p *part) missed(s store.Part) {
	if !p.away.CompareAndSwap(false, true) {
		return
	}
	p.whole.later(func() {
		for p.pause(lookAgain) {
			ctx, cancel := context.WithTimeout(p.whole.running, patience)
			_, err := s.Charter(ctx)
			cancel()
			if err == nil {
				break
			}
		}
		p.away.Store(false)
	})
}

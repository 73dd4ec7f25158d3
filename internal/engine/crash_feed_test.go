package engine_test

import (
	"fmt"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// look is an agent as its shard knows it.
func (p *process) look(a message.Agent) (string, error) {
	ans := p.Query(p.alive, a, func(s core.State, version uint64, _ bool) core.Answer {
		enc, err := s.Append(nil)
		return core.Answer{Outcome: &message.Outcome{Body: enc}, Version: version, Err: err}
	})
	if ans.Fault != nil || ans.Err != nil {
		return "", fmt.Errorf("read %s: %v, %v", a, ans.Fault, ans.Err)
	}
	return describe(ans.Version, ans.Outcome.Body), nil
}

func describe(version uint64, state []byte) string { return fmt.Sprintf("%d %s", version, state) }

// list begins the follower's knowledge anew.
func (p *process) list() error {
	known := make(map[string]string)
	for e, err := range p.Agents(p.alive, message.DefaultTenant, "book", "") {
		if err != nil {
			return err
		}
		if known[e.Agent.ID], err = p.look(e.Agent); err != nil {
			return err
		}
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.h.mirror = known
	return nil
}

// follow is a client that keeps a copy of every agent by the feed, and its
// position with it. It goes on where the last process of the history left it,
// wherever that was killed. In the end it must know what there is (compare);
// and what it is told never goes back: nothing was told that a crash took away.
func (p *process) follow() error {
	p.h.mu.Lock()
	from := p.h.position
	p.h.mu.Unlock()
	if from == "" {
		var err error
		if from, err = p.FeedPosition(); err != nil {
			return err
		}
		if err := p.list(); err != nil {
			return err
		}
		p.h.mu.Lock()
		p.h.position = from
		p.h.mu.Unlock()
	}
	for c, err := range p.Changes(p.alive, message.DefaultTenant, "book", from) {
		if err != nil {
			return err
		}
		if c.Reset {
			if err := p.list(); err != nil {
				return err
			}
		}
		p.h.mu.Lock()
		if !c.Reset {
			var was uint64
			_, _ = fmt.Sscan(p.h.mirror[c.Agent.ID], &was)
			if c.Deleted || c.Version < was {
				p.h.wrong = append(p.h.wrong, fmt.Sprintf("the feed tells of version %d of %s (deleted: %v) after %d", c.Version, c.Agent, c.Deleted, was))
			}
			p.h.mirror[c.Agent.ID] = describe(c.Version, c.State)
		}
		p.h.position = c.Position
		p.h.mu.Unlock()
	}
	return nil
}

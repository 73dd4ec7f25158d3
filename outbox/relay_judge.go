package outbox

import (
	"time"
)

// judge makes marks of what a sink said. Of each key it takes the results up to
// the first message that is still to be delivered; what a sink says of messages
// behind that one, which it should not have sent, does not count: they are sent
// again in their order.
func (p *partition) judge(batch []Message, results []Result) *marks {
	m := new(marks)
	for _, run := range Runs(batch) {
		okey := batch[run[0]].okey
		gone, stuck := 0, false
		for i := run[0]; i < run[1] && gone == i-run[0] && !stuck; i++ {
			r, at := &results[i], place{okey: okey, n: batch[i].Number}
			switch {
			case r.Verdict == Done:
				m.delivered = append(m.delivered, at)
				gone++
			case r.Verdict != NotTried:
				v := p.failed(at, r)
				if r.Verdict == Refused || p.r.cfg.MaxAttempts > 0 && v.attempts >= int64(p.r.cfg.MaxAttempts) {
					m.dead = append(m.dead, v)
					gone++ // a sink goes on behind what was Refused
					continue
				}
				stuck = true
				m.stuck = append(m.stuck, v)
				p.remember(okey, trouble{n: at.n, attempts: v.attempts, unknown: v.unknown, due: time.Now().Add(v.wait)})
			}
		}
		if _, was := p.stuck[okey]; was && gone > 0 && !stuck {
			m.unstuck = append(m.unstuck, okey)
			p.release(okey)
		}
	}
	// If many keys were tried and nothing is done, it is the receiver that has a
	// problem: going on would only make all keys wait, one by one.
	switch {
	case len(m.delivered)+len(m.dead) > 0:
		p.outage = 0
	case len(m.stuck) >= manyKeys:
		p.outage++
	}
	return m
}

// After a batch in which so many keys failed, and nothing was done, the partition
// makes a pause, of mostOutage at most: other keys may have another receiver.
const (
	manyKeys   = 8
	mostOutage = 2 * time.Second
)

// failed is a message's next failure.
func (p *partition) failed(at place, r *Result) verdict {
	v := verdict{place: at, attempts: 1, unknown: r.Verdict == Unknown, err: "the sink did not say why"}
	if r.Verdict != Refused {
		p.r.stats.failed.Add(1)
	}
	if before, was := p.stuck[at.okey]; was && before.n == at.n {
		v.attempts += before.attempts
		v.unknown = v.unknown || before.unknown
	}
	if r.Err != nil {
		v.err = cut(r.Err.Error(), 1000)
	}
	v.wait = max(p.r.backoff(int(min(v.attempts, 64))), r.After)
	return v
}

// waits says that a key is not tried yet.
func (p *partition) waits(okey [okeyBytes]byte, now time.Time) bool {
	t, stuck := p.stuck[okey]
	if stuck {
		return t.due.After(now)
	}
	return len(p.stuck) >= mostStuck
}

func (p *partition) remember(okey [okeyBytes]byte, t trouble) {
	if _, was := p.stuck[okey]; !was {
		p.r.stats.stuck.Add(1)
	}
	p.stuck[okey] = t
}

func (p *partition) release(okey [okeyBytes]byte) {
	if _, was := p.stuck[okey]; was {
		delete(p.stuck, okey)
		p.r.stats.stuck.Add(-1)
	}
}

func (p *partition) forget() {
	p.r.stats.stuck.Add(-int64(len(p.stuck)))
	clear(p.stuck)
}

package core

import "github.com/semel-dev/semel/message"

// HandOver tells the machine that follows this one in the same process, through
// what it recovers, what no row says. The driver has opened the shard again;
// nothing killed the process meanwhile.
//
// uncalled holds effects with the attempt whose start is durable although the
// driver never made the call, and never will: they are as if only asked for.
// The driver vouches that nobody else had the shard in between.
func (s *Shard) HandOver(rec *Recovered, uncalled map[message.ID]int) error {
	rec.Unclean = s.suspects()
	if rec.Unclean {
		if err := s.acquit(rec); err != nil {
			return err
		}
	}
	if len(uncalled) == 0 {
		return nil
	}
	for i, r := range rec.Effects {
		e, err := readEffect(message.RowKey{Table: message.TableEffect, Key: r.Key}, r.Value)
		if err != nil {
			return err
		}
		if n, ok := uncalled[e.id]; ok && e.status == effectStarted && e.attempts == n && e.epoch == s.epoch {
			e.status, e.attempts = effectAsked, n-1
			rec.Effects[i].Value = appendEffect(nil, r.Key, e)
		}
	}
	return nil
}

// suspects says whether something that may have killed the process before this
// one has not been tried yet. It may say so in error: then it is tried alone
// without need.
func (s *Shard) suspects() bool {
	t := &s.trial
	if !t.unclean {
		return false
	}
	if t.env != nil || len(t.counts) > 0 || len(s.firing) > 0 ||
		s.timers.loading || s.timers.next != 0 && s.timers.next < s.timers.suspectBelow {
		return true
	}
	for _, src := range s.sources {
		if src.taken < src.suspectUpTo && (src.pulling || src.again || len(src.queue) > 0) {
			return true
		}
	}
	for _, e := range s.effects {
		if e.mem.suspect {
			return true
		}
	}
	for _, c := range s.cells {
		if c.control == nil {
			continue
		}
		if t.budget < trialBudget && c.control.head < c.control.tail {
			return true
		}
		for _, r := range c.control.retries {
			if r.suspect {
				return true
			}
		}
	}
	return false
}

// acquit takes back the attempt that was begun for the message on trial: it did
// not end the process, and must not be condemned for it.
func (s *Shard) acquit(rec *Recovered) error {
	t := &s.trial
	if t.env == nil || t.begun == 0 {
		return nil
	}
	key := trialRowKey(t.env.msg.ID)
	for i, r := range rec.Meta {
		if string(r.Key) != string(key) {
			continue
		}
		n, err := readNumber(message.RowKey{Table: message.TableMeta, Key: r.Key}, r.Value)
		if err != nil {
			return err
		}
		// Only if the row has the attempt: it was durable before the step ran.
		if n > 0 && (t.ended != 0 || int(n) == t.counts[t.env.msg.ID]) {
			rec.Meta[i].Value = seal(putUint(begin(nil), 1, n-1), 0, key)
		}
	}
	return nil
}

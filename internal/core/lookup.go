package core

import (
	"github.com/semel-dev/semel/message"
)

// Lookup answers with the outcome that is recorded of a keyed message, settled
// or not, or with a fault: idempotency_key_expired if the key's own time says
// that it may have been forgotten, else unknown_key. It executes nothing and
// records nothing.
func (s *Shard) Lookup(now message.Time, c *Caller, a message.Agent, principal, key string) {
	s.advanceClock(now)
	row := message.AppendKeyIdentity(a.AppendKey(nil), principal, key)
	l := &Load{Keys: []message.RowKey{{Table: message.TableOpen, Key: row}}}
	for _, g := range s.retention.since(0) {
		l.Keys = append(l.Keys, message.RowKey{Table: message.TableDedup, Gen: g, Key: row})
	}
	l.apply = func(values [][]byte) error {
		for i, k := range l.Keys {
			value, after := values[i], s.sealed
			if r := s.overlay.get(k.Table, k.Key); r != nil {
				value, after = r.value, r.seq
			}
			if value == nil {
				continue
			}
			o, err := ReadOutcome(k, value)
			if err != nil {
				s.refuse(c, 0, message.CodeStoreUnavailable, "%v", err)
				return nil
			}
			s.answer(c, after, Answer{Outcome: o})
			return nil
		}
		after := s.latest() // the horizon may be in the open unit
		if t, ok := message.KeyTime(key); ok && message.Time(t) <= s.retention.horizon(s.lead) {
			s.refuse(c, after, message.CodeKeyExpired, expiredDetail)
			return nil
		}
		s.refuse(c, after, message.CodeUnknownKey, "nothing is recorded of this key: it was never seen, was not accepted, or is older than the retention")
		return nil
	}
	s.issue(l)
}

package core

import (
	"slices"

	"github.com/semel-dev/semel/message"
)

// A message whose outcome was deferred waits for the answers of what its steps
// asked for, and its open row says where that stands: in flight, in doubt when
// a person must settle an effect, dead when a person must deal with an answer
// that is a dead letter. Several may be so at once; the row points at one, and
// when that is settled, at another.
//
// Shard.doubts knows the effects in doubt by the row of the message that waits
// for them, oldest first. Dead letters are only in the store: of two dead
// answers of one message, the row shows the later until it is retried.

// originKey is the row of the message that waits for the effect, nil if none does.
func originKey(e *effectRecord) []byte {
	if e.then == "" || len(e.link.Origin) == 0 {
		return nil
	}
	return append(e.agent.AppendKey(nil), e.link.Origin...)
}

// noteDoubt remembers which message waits for an effect in doubt.
func (s *Shard) noteDoubt(e *effectRecord) {
	key := originKey(e)
	if key == nil || e.status != effectDoubt || slices.Contains(s.doubts[string(key)], e) {
		return
	}
	s.doubts[string(key)] = append(s.doubts[string(key)], e)
}

// dropDoubt forgets an effect that is in doubt no longer. It reports whether a
// message waits that was told of the doubt.
func (s *Shard) dropDoubt(e *effectRecord) bool {
	if len(s.doubts) == 0 {
		return false
	}
	key := string(originKey(e))
	if !slices.Contains(s.doubts[key], e) {
		return false
	}
	if s.doubts[key] = without(s.doubts[key], e); len(s.doubts[key]) == 0 {
		delete(s.doubts, key)
	}
	return true
}

// standing is where a message that waits for answers stands, as far as effects
// tell: in doubt, and the effect to settle, or in flight.
func (s *Shard) standing(key []byte) (message.Status, message.ID) {
	if doubts := s.doubts[string(key)]; len(doubts) > 0 {
		return message.StatusInDoubt, doubts[0].id
	}
	return message.StatusInFlight, message.ID{}
}

// markOrigin lets the message that waits for the effect say where it stands.
func (s *Shard) markOrigin(e *effectRecord) {
	key := originKey(e)
	if key == nil {
		return
	}
	k := message.RowKey{Table: message.TableOpen, Key: key}
	if r := s.overlay.get(k.Table, k.Key); r != nil {
		s.updateOrigin(e.agent, k, r.value)
		return
	}
	s.issue(&Load{Keys: []message.RowKey{k}, apply: func(values [][]byte) error {
		value := values[0]
		if r := s.overlay.get(k.Table, k.Key); r != nil {
			value = r.value
		}
		s.updateOrigin(e.agent, k, value)
		return nil
	}})
}

// updateOrigin brings an open row in line with the doubts that there are now.
func (s *Shard) updateOrigin(a message.Agent, k message.RowKey, value []byte) {
	s.changeOpen(a, k, value, func(o *message.Outcome) bool {
		if o.Status != message.StatusInFlight && o.Status != message.StatusInDoubt {
			return false // a dead letter comes first
		}
		if o.Status == message.StatusInDoubt && slices.ContainsFunc(s.doubts[string(k.Key)], func(e *effectRecord) bool { return e.id == o.Doubt }) {
			return false
		}
		status, ref := s.standing(k.Key)
		changed := status != o.Status || ref != o.Doubt
		o.Status, o.Doubt = status, ref
		return changed
	})
}

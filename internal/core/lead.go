package core

import (
	"math/bits"

	"github.com/semel-dev/semel/message"
)

// A key that carries its time t can have been seen before t, by a caller whose
// clock is ahead; by how much at most, the machine knows, because it remembers
// the largest lead of any key that it ever took up. The row is written in the
// unit that records the key, or an earlier one. So a key with time t was not
// seen before t - lead: neither the window nor older generations need hold
// anything from before. Most clocks agree to milliseconds, while the skew that
// is allowed is minutes.
//
// The lead grows in powers of two, so that it is written a few times ever.

const leadKey = "lead"

// firstSeen is the earliest time at which a key can have been seen.
func (s *Shard) firstSeen(key string) message.Time {
	if t, ok := message.KeyTime(key); ok {
		return message.Time(t) - s.lead
	}
	return 0
}

// noteLead remembers that a key with this time is taken up now.
func (s *Shard) noteLead(at message.Time) {
	lead := at - s.now
	if lead <= s.lead {
		return
	}
	s.lead = 1 << bits.Len64(uint64(lead))
	key := s.key([]byte(leadKey))
	s.write(message.TableMeta, 0, message.Put, key, s.numberRow(key, uint64(s.lead)))
}

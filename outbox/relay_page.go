package outbox

import (
	"bytes"
	"context"
	"time"
)

// mostReads bounds the pages that are looked through while a turn holds the lease.
const mostReads = 8

// page reads the next messages that may leave, going round the ordering keys: so
// many messages of one key do not keep the others waiting. The messages of a key
// come in their order, from its first one that is not delivered; a key that waits
// for another attempt is passed by, as a whole.
//
// done is false if it stopped early, after reads pages of nothing else but keys
// that wait.
func (p *partition) page(ctx context.Context, tx Tx, reads int) (batch []Message, done bool, err error) {
	now := time.Now()
	limit := p.r.cfg.Batch
	var cut run
	for began := bytes.Equal(p.cursor, p.lease.lo); reads > 0; reads-- {
		n := 0
		var last [okeyBytes]byte
		err := each(ctx, tx, p.r.o.q.page, []any{p.cursor, p.lease.hi, int64(limit)}, func(rows Rows) error {
			m, err := scanMessage(rows)
			if err != nil {
				return err
			}
			n++
			last = m.okey
			if !p.waits(m.okey, now) && cut.goesOn(&m) {
				batch = append(batch, m)
			}
			return nil
		})
		if err != nil {
			return nil, false, err
		}
		end := n < limit
		if end {
			p.cursor = p.lease.lo
		} else {
			p.cursor = last[:]
		}
		switch {
		case len(batch) > 0:
			return batch, true, nil
		case end && began:
			return nil, true, nil
		case end:
			began = true
		}
	}
	return nil, false, nil
}

// run is of messages of one key that may be in one batch: those up to the first
// one with another topic. Sinks of different topics work at the same time, and
// would not keep the order.
type run struct {
	okey  [okeyBytes]byte
	topic string
	begun bool
	over  bool
}

func (r *run) goesOn(m *Message) bool {
	if !r.begun || r.okey != m.okey {
		*r = run{okey: m.okey, topic: m.Topic, begun: true}
		return true
	}
	r.over = r.over || r.topic != m.Topic
	return !r.over
}

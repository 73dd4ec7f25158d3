package core

import (
	"slices"

	"github.com/semel-dev/semel/message"
)

// Parking delivers, into mailboxes, what a shard did not consume yet.
type Parking struct {
	moving   *Moving
	shard    message.Shard
	controls map[string]*controlRow
	full     map[string]bool // of agents for whom one that bears the token went into the mailbox
}

// Park begins with all rows of the shard's TableControl, which have their places
// when it ends.
func (m *Moving) Park(shard message.Shard, controls []message.Row) (*Parking, error) {
	p := &Parking{moving: m, shard: shard, controls: make(map[string]*controlRow), full: make(map[string]bool)}
	for _, r := range controls {
		k := message.RowKey{Table: message.TableControl, Key: r.Key}
		c, err := readControl(k, r.Value)
		if err == nil {
			err = m.fits(k, r.Value)
		}
		if err != nil {
			return nil, err
		}
		p.controls[string(r.Key)] = c
	}
	return p, nil
}

// Add delivers the next message of a source, in its order. One that bears the
// token of the hold on its agent must not wait behind what the hold keeps back:
// it becomes one that is tried again, at once, and so does a decision. When there
// is no room for one, no later one passes it.
func (p *Parking) Add(d message.Delivery, put Placed) error {
	msg, err := ReadOutbox(p.shard, d)
	if err != nil {
		return err
	}
	identify(msg)
	key := msg.To.AppendKey(nil)
	c := p.controls[string(key)]
	if c == nil {
		c = new(controlRow)
		p.controls[string(key)] = c
	}
	if c.passes(msg) {
		again := &retry{msg: msg}
		room := p.moving.limit - smallRows - sizeRetries(c.retries)
		if awaited := decides(msg) && c.token == branchToken(msg.Branch.Tx); awaited {
			room += smallRows / 4 // it is the only one, and the agent is held until it comes
		} else if p.full[string(key)] {
			room = 0
		}
		if sizeRetry(again) <= room {
			c.retries = append(c.retries, again)
			return nil
		}
		p.full[string(key)] = true
		if decides(msg) {
			c.avoid(msg.Branch.Tx) // its prepare may wait in front of it
		}
	}
	k := message.RowKey{Table: message.TableMailbox, Key: append(key, position(c.tail)...)}
	c.tail++
	value := appendMessage(nil, k.Key, msg)
	if err := p.moving.fits(k, value); err != nil {
		return err
	}
	return p.moving.place(msg.To, p.shard, k, value, put)
}

// End places the rows of TableControl.
func (p *Parking) End(put Placed) error {
	keys := make([]string, 0, len(p.controls))
	for key := range p.controls {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		k := message.RowKey{Table: message.TableControl, Key: []byte(key)}
		if err := p.moving.placeOf(k.Key, p.shard, k, appendControl(nil, k.Key, p.controls[key]), put); err != nil {
			return err
		}
	}
	return nil
}

package core

import (
	"errors"

	"github.com/semel-dev/semel/message"
)

// A promise stands inside the state row of its agent, which is sealed.

func appendPromise(b []byte, p *promise) []byte {
	b = putBytes(b, 1, p.tx)
	if p.changed {
		b = putNested(b, 2, func(b []byte) []byte { return append(b, p.state...) })
	}
	b = putUint(b, 3, uint64(p.schema))
	for _, m := range p.sends {
		b = putNested(b, 4, func(b []byte) []byte { return putMessage(b, m) })
	}
	for _, t := range p.timers {
		b = putNested(b, 5, func(b []byte) []byte {
			b = putUint(putBytes(b, 1, t.name), 2, uint64(t.due))
			if t.msg != nil {
				b = putNested(b, 3, func(b []byte) []byte { return putMessage(b, t.msg) })
			}
			return b
		})
	}
	for _, e := range p.effects {
		b = putNested(b, 6, func(b []byte) []byte { return putEffect(b, e) })
	}
	for _, id := range p.undone {
		b = putBytes(b, 7, id[:])
	}
	if h := p.hold; h != (holdChange{}) {
		b = putNested(b, 8, func(b []byte) []byte {
			b = putUint(b, 1, number(h.release))
			return putUint(putBytes(b, 2, h.token), 3, uint64(h.until))
		})
	}
	return putUint(b, 9, number(p.ends))
}

func number(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func readPromise(b []byte) (*promise, error) {
	p := new(promise)
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			p.tx = string(f.bytes)
		case 2:
			p.changed, p.state = true, clone(f.bytes)
		case 3:
			p.schema = uint32(f.val)
		case 4:
			m, err := readMessage(f.bytes)
			p.sends = append(p.sends, m)
			return err
		case 5:
			t, err := readTimerChange(f.bytes)
			p.timers = append(p.timers, t)
			return err
		case 6:
			e, err := readEffectFields(f.bytes)
			p.effects = append(p.effects, e)
			return err
		case 7:
			id, err := idOf(f.bytes)
			p.undone = append(p.undone, id)
			return err
		case 8:
			return readHold(f.bytes, &p.hold)
		case 9:
			p.ends = f.val == 1
		}
		return nil
	})
	if err == nil && p.tx == "" {
		err = errors.New("a promise to no transaction")
	}
	return p, err
}

func readTimerChange(b []byte) (t timerChange, err error) {
	err = readFields(b, func(f field) (err error) {
		switch f.num {
		case 1:
			t.name = string(f.bytes)
		case 2:
			t.due = message.Time(f.val)
		case 3:
			t.msg, err = readMessage(f.bytes)
		}
		return err
	})
	if err == nil && t.name == "" {
		err = errors.New("a timer without a name")
	}
	return t, err
}

func readHold(b []byte, h *holdChange) error {
	h.set = true
	return readFields(b, func(f field) error {
		switch f.num {
		case 1:
			h.release = f.val == 1
			h.set = !h.release
		case 2:
			h.token = string(f.bytes)
		case 3:
			h.until = message.Time(f.val)
		}
		return nil
	})
}

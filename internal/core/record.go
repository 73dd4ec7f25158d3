package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// The rows of a shard, one type each: how they are encoded and read back.

// stateRow is TableState's value.
type stateRow struct {
	version  uint64
	schema   uint32
	data     []byte
	prepared []byte // see prepared.go; empty unless the agent is prepared
}

func appendState(b, key []byte, r stateRow) []byte {
	start := len(b)
	b = putUint(begin(b), 1, r.version)
	b = putUint(b, 2, uint64(r.schema))
	b = putBytes(b, 3, r.data)
	b = putBytes(b, 4, r.prepared)
	return seal(b, start, key)
}

func readState(k message.RowKey, value []byte) (r stateRow, err error) {
	err = decode(k, value, func(f field) error {
		switch f.num {
		case 1:
			r.version = f.val
		case 2:
			r.schema = uint32(f.val)
		case 3:
			r.data = f.bytes
		case 4:
			r.prepared = f.bytes
		}
		return nil
	})
	return r, err
}

func appendOutcome(b, key []byte, o *message.Outcome) []byte {
	start := len(b)
	b = putUint(begin(b), 1, uint64(o.Status))
	b = putBytes(b, 2, o.Action)
	if o.Fingerprint != (message.Fingerprint{}) {
		b = putBytes(b, 3, o.Fingerprint[:])
	}
	b = putBytes(b, 4, o.Body)
	b = putBytes(b, 5, o.Code)
	b = putBytes(b, 6, o.Detail)
	b = putUint(b, 7, uint64(o.FirstSeen))
	b = putUint(b, 8, uint64(o.Settled))
	b = putUint(b, 9, uint64(o.Attempts))
	if !o.Doubt.IsZero() {
		b = putBytes(b, 10, o.Doubt[:])
	}
	if o.ReplyTo != nil {
		b = putNested(b, 11, func(b []byte) []byte { return putReplyTo(b, o.ReplyTo) })
	}
	return seal(b, start, key)
}

// ReadOutcome reads a row of TableOpen or TableDedup.
func ReadOutcome(k message.RowKey, value []byte) (*message.Outcome, error) {
	o := new(message.Outcome)
	return o, decode(k, value, func(f field) (err error) {
		switch f.num {
		case 1:
			o.Status = message.Status(f.val)
		case 2:
			o.Action = string(f.bytes)
		case 3:
			copy(o.Fingerprint[:], f.bytes)
		case 4:
			o.Body = clone(f.bytes)
		case 5:
			o.Code = string(f.bytes)
		case 6:
			o.Detail = string(f.bytes)
		case 7:
			o.FirstSeen = message.Time(f.val)
		case 8:
			o.Settled = message.Time(f.val)
		case 9:
			o.Attempts = int(f.val)
		case 10:
			o.Doubt, err = idOf(f.bytes)
		case 11:
			o.ReplyTo, err = readReplyTo(f.bytes)
		}
		return err
	})
}

func appendMessage(b, key []byte, m *message.Message) []byte {
	start := len(b)
	return seal(putMessage(begin(b), m), start, key)
}

func readMessageRow(k message.RowKey, value []byte) (*message.Message, error) {
	b, err := unseal(k, value)
	if err != nil {
		return nil, err
	}
	m, err := readMessage(b)
	if err != nil {
		return nil, &CorruptError{rowName(k), err.Error()}
	}
	return m, nil
}

// timerRow is TableTimer's value.
type timerRow struct {
	due message.Time
	msg *message.Message
}

func appendTimer(b, key []byte, r timerRow) []byte {
	start := len(b)
	b = putUint(begin(b), 1, uint64(r.due))
	b = putNested(b, 2, func(b []byte) []byte { return putMessage(b, r.msg) })
	return seal(b, start, key)
}

func readTimer(k message.RowKey, value []byte) (r timerRow, err error) {
	err = decode(k, value, func(f field) (err error) {
		switch f.num {
		case 1:
			r.due = message.Time(f.val)
		case 2:
			r.msg, err = readMessage(f.bytes)
		}
		return err
	})
	if err == nil && r.msg == nil {
		err = &CorruptError{rowName(k), "a timer without a message"}
	}
	return r, err
}

// DeadLetter is a message that was accepted and failed for good.
type DeadLetter struct {
	Message  *message.Message
	Reason   string
	Attempts int
	At       message.Time
}

func appendDead(b, key []byte, d *DeadLetter) []byte {
	start := len(b)
	b = putNested(begin(b), 1, func(b []byte) []byte { return putMessage(b, d.Message) })
	b = putBytes(b, 2, d.Reason)
	b = putUint(b, 3, uint64(d.Attempts))
	b = putUint(b, 4, uint64(d.At))
	return seal(b, start, key)
}

// ReadDead reads a row of TableDead.
func ReadDead(k message.RowKey, value []byte) (*DeadLetter, error) {
	d := new(DeadLetter)
	err := decode(k, value, func(f field) (err error) {
		switch f.num {
		case 1:
			d.Message, err = readMessage(f.bytes)
		case 2:
			d.Reason = string(f.bytes)
		case 3:
			d.Attempts = int(f.val)
		case 4:
			d.At = message.Time(f.val)
		}
		return err
	})
	if err == nil && d.Message == nil {
		err = &CorruptError{rowName(k), "a dead letter without a message"}
	}
	return d, err
}

// retry is a message that failed and waits to be tried again.
type retry struct {
	msg      *message.Message
	attempts int
	until    message.Time
	reason   string

	suspect bool // in memory: it may be what killed the last process
}

// controlRow is TableControl's value: all that keeps an agent from consuming.
type controlRow struct {
	token      string
	until      message.Time // of the hold; zero when there is none
	retries    []*retry
	head, tail uint64   // the mailbox holds positions head ≤ p < tail
	taken      []uint64 // ... but these, which passed a hold; fewer than mailWindow
	void       []string // transactions that were decided while their prepare may wait here
	voidTo     uint64   // of all prepares before this position the transactions may have been
}

func (c *controlRow) empty() bool {
	return c.until == 0 && len(c.retries) == 0 && c.head == c.tail
}

func appendControl(b, key []byte, c *controlRow) []byte {
	start := len(b)
	b = putBytes(begin(b), 1, c.token)
	b = putUint(b, 2, uint64(c.until))
	b = putUint(b, 3, c.head)
	b = putUint(b, 4, c.tail)
	for _, r := range c.retries {
		b = putNested(b, 5, func(b []byte) []byte {
			b = putNested(b, 1, func(b []byte) []byte { return putMessage(b, r.msg) })
			b = putUint(b, 2, uint64(r.attempts))
			b = putUint(b, 3, uint64(r.until))
			return putBytes(b, 4, r.reason)
		})
	}
	for _, p := range c.taken {
		b = putUint(b, 6, p)
	}
	for _, tx := range c.void {
		b = putBytes(b, 7, tx)
	}
	b = putUint(b, 8, c.voidTo)
	return seal(b, start, key)
}

func readControl(k message.RowKey, value []byte) (*controlRow, error) {
	c := new(controlRow)
	err := decode(k, value, func(f field) error {
		switch f.num {
		case 1:
			c.token = string(f.bytes)
		case 2:
			c.until = message.Time(f.val)
		case 3:
			c.head = f.val
		case 4:
			c.tail = f.val
		case 5:
			r := new(retry)
			c.retries = append(c.retries, r)
			return readFields(f.bytes, func(f field) (err error) {
				switch f.num {
				case 1:
					r.msg, err = readMessage(f.bytes)
				case 2:
					r.attempts = int(f.val)
				case 3:
					r.until = message.Time(f.val)
				case 4:
					r.reason = string(f.bytes)
				}
				return err
			})
		case 6:
			c.taken = append(c.taken, f.val)
		case 7:
			c.void = append(c.void, string(f.bytes))
		case 8:
			c.voidTo = f.val
		}
		return nil
	})
	for _, r := range c.retries {
		if err == nil && r.msg == nil {
			err = &CorruptError{rowName(k), "a retry without a message"}
		}
	}
	for _, p := range c.taken {
		if err == nil && (p <= c.head || p >= c.tail) {
			err = &CorruptError{rowName(k), fmt.Sprintf("position %d was taken from a mailbox of %d to %d", p, c.head, c.tail)}
		}
	}
	if err == nil && c.voidTo > c.tail {
		err = &CorruptError{rowName(k), fmt.Sprintf("void to position %d of a mailbox of %d to %d", c.voidTo, c.head, c.tail)}
	}
	return c, err
}

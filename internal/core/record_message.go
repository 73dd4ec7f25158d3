package core

import (
	"fmt"

	"github.com/semel-dev/semel/message"
)

// The fields of agents, messages and links, as they stand inside the rows of
// outboxes, mailboxes, timers and dead letters.

func putAgent(b []byte, a message.Agent) []byte {
	b = putBytes(b, 1, a.Tenant)
	b = putBytes(b, 2, a.Type)
	return putBytes(b, 3, a.ID)
}

func readAgent(b []byte, a *message.Agent) error {
	return readFields(b, func(f field) error {
		switch f.num {
		case 1:
			a.Tenant = string(f.bytes)
		case 2:
			a.Type = string(f.bytes)
		case 3:
			a.ID = string(f.bytes)
		}
		return nil
	})
}

func putLink(b []byte, l message.Link) []byte {
	b = putBytes(b, 1, l.Context)
	return putBytes(b, 2, l.Origin)
}

func readLink(b []byte, l *message.Link) error {
	return readFields(b, func(f field) error {
		switch f.num {
		case 1:
			l.Context = clone(f.bytes)
		case 2:
			l.Origin = clone(f.bytes)
		}
		return nil
	})
}

func putReplyTo(b []byte, r *message.ReplyTo) []byte {
	b = putNested(b, 1, func(b []byte) []byte { return putAgent(b, r.Agent) })
	b = putBytes(b, 2, r.Action)
	return putNested(b, 3, func(b []byte) []byte { return putLink(b, r.Link) })
}

func readReplyTo(b []byte) (*message.ReplyTo, error) {
	r := new(message.ReplyTo)
	return r, readFields(b, func(f field) error {
		switch f.num {
		case 1:
			return readAgent(f.bytes, &r.Agent)
		case 2:
			r.Action = string(f.bytes)
		case 3:
			return readLink(f.bytes, &r.Link)
		}
		return nil
	})
}

func putAnswer(b []byte, a *message.Answer) []byte {
	b = putUint(b, 1, uint64(a.Status))
	b = putBytes(b, 2, a.Code)
	b = putBytes(b, 3, a.Detail)
	return putNested(b, 4, func(b []byte) []byte { return putLink(b, a.Link) })
}

func readAnswer(b []byte) (*message.Answer, error) {
	a := new(message.Answer)
	return a, readFields(b, func(f field) error {
		switch f.num {
		case 1:
			a.Status = message.Status(f.val)
		case 2:
			a.Code = string(f.bytes)
		case 3:
			a.Detail = string(f.bytes)
		case 4:
			return readLink(f.bytes, &a.Link)
		}
		return nil
	})
}

func putMessage(b []byte, m *message.Message) []byte {
	b = putBytes(b, 1, m.ID[:])
	b = putNested(b, 2, func(b []byte) []byte { return putAgent(b, m.To) })
	b = putBytes(b, 3, m.Action)
	b = putBytes(b, 4, m.Principal)
	b = putBytes(b, 5, m.Body)
	b = putBytes(b, 6, m.Key)
	if m.Key != "" {
		b = putBytes(b, 7, m.Fingerprint[:])
	}
	b = putBytes(b, 8, m.Source)
	b = putUint(b, 9, m.Position)
	b = putBytes(b, 10, m.Token)
	b = putUint(b, 11, uint64(m.Sent))
	if m.ReplyTo != nil {
		b = putNested(b, 12, func(b []byte) []byte { return putReplyTo(b, m.ReplyTo) })
	}
	if m.Answer != nil {
		b = putNested(b, 13, func(b []byte) []byte { return putAnswer(b, m.Answer) })
	}
	b = putBytes(b, 14, m.Trace)
	if m.Branch != nil {
		b = putNested(b, 15, func(b []byte) []byte { return putBranch(b, m.Branch) })
	}
	return b
}

func putBranch(b []byte, r *message.Branch) []byte {
	b = putBytes(b, 1, r.Tx)
	return putUint(b, 2, uint64(r.Phase))
}

func readBranch(b []byte) (*message.Branch, error) {
	r := new(message.Branch)
	err := readFields(b, func(f field) error {
		switch f.num {
		case 1:
			r.Tx = string(f.bytes)
		case 2:
			r.Phase = message.Phase(f.val)
		}
		return nil
	})
	if err == nil && (r.Phase < message.Prepare || r.Phase > message.Abort) {
		err = fmt.Errorf("phase %d of a transaction is not known to this version", r.Phase)
	}
	return r, err
}

func readMessage(b []byte) (*message.Message, error) {
	m := new(message.Message)
	return m, readFields(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.ID, err = idOf(f.bytes)
		case 2:
			err = readAgent(f.bytes, &m.To)
		case 3:
			m.Action = string(f.bytes)
		case 4:
			m.Principal = string(f.bytes)
		case 5:
			m.Body = clone(f.bytes)
		case 6:
			m.Key = string(f.bytes)
		case 7:
			copy(m.Fingerprint[:], f.bytes)
		case 8:
			m.Source = string(f.bytes)
		case 9:
			m.Position = f.val
		case 10:
			m.Token = string(f.bytes)
		case 11:
			m.Sent = message.Time(f.val)
		case 12:
			m.ReplyTo, err = readReplyTo(f.bytes)
		case 13:
			m.Answer, err = readAnswer(f.bytes)
		case 14:
			m.Trace = string(f.bytes)
		case 15:
			m.Branch, err = readBranch(f.bytes)
		}
		return err
	})
}

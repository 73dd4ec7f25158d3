package core

import (
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
)

// effectStatus is where an effect stands before it is settled.
type effectStatus uint8

const (
	effectAsked   effectStatus = 1 // no call may have happened, but those that unrecorded allows
	effectStarted effectStatus = 2 // a call may have happened
	effectDoubt   effectStatus = 3 // a call may have happened, and a person was told
)

// unrecorded says which calls may have been made that the record does not tell
// of. It is durable before the first such call, because a later program may
// declare another policy and must know.
type unrecorded uint8

const (
	nothingUnrecorded unrecorded = iota
	readsUnrecorded              // calls that change nothing
	keyedUnrecorded              // calls that may have had their effect
)

// unrecorded is what the policy lets be called without a record.
func (p Policy) unrecorded() unrecorded {
	switch p {
	case ReadOnly:
		return readsUnrecorded
	case Keyed:
		return keyedUnrecorded
	}
	return nothingUnrecorded
}

// effectRecord is TableEffect's value, and the effect in memory.
type effectRecord struct {
	id        message.ID
	name      string
	agent     message.Agent
	cause     message.ID
	principal string
	body      []byte
	then      string
	link      message.Link
	status    effectStatus
	attempts  int // calls begun
	asked     message.Time
	started   message.Time  // of the last call
	timeout   time.Duration // of the last call
	epoch     message.Epoch // in which the last call was begun
	reason    string        // of the last failure
	resolved  bool          // a person settled it; the agent has not heard yet
	withdrawn bool          // its agent wants it called no more
	trace     string        // of the step that asked

	unrecorded unrecorded

	mem effectMemory
}

func appendEffect(b, key []byte, e *effectRecord) []byte {
	start := len(b)
	return seal(putEffect(begin(b), e), start, key)
}

func putEffect(b []byte, e *effectRecord) []byte {
	b = putBytes(b, 1, e.id[:])
	b = putBytes(b, 2, e.name)
	b = putNested(b, 3, func(b []byte) []byte { return putAgent(b, e.agent) })
	b = putBytes(b, 4, e.cause[:])
	b = putBytes(b, 5, e.principal)
	b = putBytes(b, 6, e.body)
	b = putBytes(b, 7, e.then)
	b = putNested(b, 8, func(b []byte) []byte { return putLink(b, e.link) })
	b = putUint(b, 9, uint64(e.status))
	b = putUint(b, 10, uint64(e.attempts))
	b = putUint(b, 11, uint64(e.asked))
	b = putUint(b, 12, uint64(e.started))
	b = putUint(b, 13, uint64(e.epoch))
	b = putBytes(b, 14, e.reason)
	if e.resolved {
		b = putUint(b, 16, 1)
	}
	b = putUint(b, 17, uint64(e.unrecorded))
	b = putBytes(b, 18, e.trace)
	b = putUint(b, 19, uint64(e.timeout))
	if e.withdrawn {
		b = putUint(b, 20, 1)
	}
	return b
}

func readEffect(k message.RowKey, value []byte) (*effectRecord, error) {
	b, err := unseal(k, value)
	if err != nil {
		return nil, err
	}
	e, err := readEffectFields(b)
	if err != nil {
		err = &CorruptError{rowName(k), err.Error()}
	}
	return e, err
}

func readEffectFields(b []byte) (*effectRecord, error) {
	e := new(effectRecord)
	err := readFields(b, func(f field) (err error) {
		switch f.num {
		case 1:
			e.id, err = idOf(f.bytes)
		case 2:
			e.name = string(f.bytes)
		case 3:
			err = readAgent(f.bytes, &e.agent)
		case 4:
			e.cause, err = idOf(f.bytes)
		case 5:
			e.principal = string(f.bytes)
		case 6:
			e.body = clone(f.bytes)
		case 7:
			e.then = string(f.bytes)
		case 8:
			err = readLink(f.bytes, &e.link)
		case 9:
			e.status = effectStatus(f.val)
		case 10:
			e.attempts = int(f.val)
		case 11:
			e.asked = message.Time(f.val)
		case 12:
			e.started = message.Time(f.val)
		case 13:
			e.epoch = message.Epoch(f.val)
		case 14:
			e.reason = string(f.bytes)
		// 15 said that a person's *not done* waited for its time. Now one is only taken when it counts.
		case 16:
			e.resolved = f.val == 1
		case 17:
			e.unrecorded = unrecorded(f.val)
			if f.val > uint64(keyedUnrecorded) {
				err = fmt.Errorf("%d does not say which calls are not recorded", f.val)
			}
		case 18:
			e.trace = string(f.bytes)
		case 19:
			e.timeout = time.Duration(f.val)
		case 20:
			e.withdrawn = f.val == 1
		}
		return err
	})
	if err == nil && (e.status < effectAsked || e.status > effectDoubt) {
		err = fmt.Errorf("status %d of an effect is not known to this version", e.status)
	}
	return e, err
}

// EffectView is an effect that is not settled, as operators see it.
type EffectView struct {
	ID        message.ID
	Name      string
	Agent     message.Agent
	Principal string
	Body      []byte
	InDoubt   bool
	Started   bool
	Withdrawn bool // it is called no more, whatever becomes known of it
	Attempts  int
	AskedAt   message.Time
	StartedAt message.Time
	Reason    string
}

// ReadEffect reads a row of TableEffect.
func ReadEffect(k message.RowKey, value []byte) (EffectView, error) {
	e, err := readEffect(k, value)
	if err != nil {
		return EffectView{}, err
	}
	return EffectView{
		ID: e.id, Name: e.name, Agent: e.agent, Principal: e.principal, Body: e.body,
		InDoubt: e.status == effectDoubt, Started: e.status != effectAsked, Withdrawn: e.withdrawn,
		Attempts: e.attempts, AskedAt: e.asked, StartedAt: e.started, Reason: e.reason,
	}, nil
}

// Resolution is how a doubt was settled, kept as long as an outcome.
type Resolution struct {
	Status   message.Status // done, rejected, or not done (it was called again)
	Body     []byte
	Code     string
	Detail   string
	By       string
	Tenant   string // whose effect it is. Of a request: who asks, empty for an operator of all
	At       message.Time
	Seen     Look   // of *not done*: when the doubt was read, before the look at the outside
	Conflict string // what a late answer said against it; empty if none did
}

func appendResolution(b, key []byte, r *Resolution) []byte {
	start := len(b)
	b = putUint(begin(b), 1, uint64(r.Status))
	b = putBytes(b, 2, r.Body)
	b = putBytes(b, 3, r.Code)
	b = putBytes(b, 4, r.Detail)
	b = putBytes(b, 5, r.By)
	b = putUint(b, 6, uint64(r.At))
	b = putBytes(b, 7, r.Conflict)
	b = putBytes(b, 8, r.Tenant)
	b = putUint(b, 9, uint64(r.Seen.Epoch))
	b = putUint(b, 10, uint64(r.Seen.At))
	return seal(b, start, key)
}

// ReadResolution reads what is kept of a settled doubt.
func ReadResolution(k message.RowKey, value []byte) (*Resolution, error) {
	r := new(Resolution)
	return r, decode(k, value, func(f field) error {
		switch f.num {
		case 1:
			r.Status = message.Status(f.val)
		case 2:
			r.Body = clone(f.bytes)
		case 3:
			r.Code = string(f.bytes)
		case 4:
			r.Detail = string(f.bytes)
		case 5:
			r.By = string(f.bytes)
		case 6:
			r.At = message.Time(f.val)
		case 7:
			r.Conflict = string(f.bytes)
		case 8:
			r.Tenant = string(f.bytes)
		case 9:
			r.Seen.Epoch = message.Epoch(f.val)
		case 10:
			r.Seen.At = message.Time(f.val)
		}
		return nil
	})
}

// ResolutionKey is the row key, within a generation, of a doubt's resolution.
// No agent's key begins with its first byte, which is not valid UTF-8.
func ResolutionKey(id message.ID) []byte { return append([]byte{0xff}, id[:]...) }

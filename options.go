package semel

import (
	"time"

	"github.com/semel-dev/semel/message"
)

// CallOption is a choice made for one call from outside.
type CallOption interface {
	applyCall(callOptions) callOptions // by value, so that a call's options need not be on the heap
}

// SendOption is a choice made for one message that a step sends.
type SendOption interface{ applySend(*sendOptions) }

// ListOption is a choice made for a listing, or for something that is listed.
type ListOption interface{ applyList(*listOptions) }

type listOptions struct {
	tenant string
	after  Place
}

func listOptionsOf(opts []ListOption) listOptions {
	var o listOptions
	for _, opt := range opts {
		opt.applyList(&o)
	}
	return o
}

// has says whether something of a tenant is asked for.
func (o *listOptions) has(tenant string) bool { return o.tenant == "" || o.tenant == tenant }

// Place says where an entry stands in its listing. It is opaque; its text may
// be kept, and used with After of the same listing, also by another process.
type Place string

type afterOption Place

func (a afterOption) applyList(o *listOptions) { o.after = Place(a) }

// After makes a listing go on behind an entry that it gave before.
func After(place Place) ListOption { return afterOption(place) }

type callOptions struct {
	tenant, principal, key, token string
	sequence                      Sequence
}

func callOptionsOf(opts []CallOption) callOptions {
	o := callOptions{tenant: message.DefaultTenant}
	for _, opt := range opts {
		o = opt.applyCall(o)
	}
	return o
}

type sendOptions struct {
	delay time.Duration
	token string
}

func sendOptionsOf(opts []SendOption) sendOptions {
	var o sendOptions
	for _, opt := range opts {
		opt.applySend(&o)
	}
	return o
}

type keyOption string

func (k keyOption) applyCall(o callOptions) callOptions {
	o.key = string(k)
	return o
}

// Key is the call's idempotency key: calls of one agent, by one principal,
// with one key are one call. Choose it so that a retry has it again, even by
// another process: derive it from what the call is about, or store it first. At
// most 255 bytes. A key that is a UUIDv7 or a ULID carries its time, so that a
// retry after the retention is refused (ErrExpired); any other key may run
// again then.
func Key(key string) CallOption { return keyOption(key) }

type principalOption string

func (p principalOption) applyCall(o callOptions) callOptions {
	o.principal = string(p)
	return o
}

// As says on whose behalf the call is made: a stable name, whose keys are its
// own. The default is "anonymous".
func As(principal string) CallOption { return principalOption(principal) }

// TenantOption says whose agent is meant.
type TenantOption string

func (t TenantOption) applyCall(o callOptions) callOptions {
	o.tenant = string(t)
	return o
}

func (t TenantOption) applyList(o *listOptions) {
	if o.tenant = string(t); t == "" {
		o.tenant = message.DefaultTenant // no option means all tenants, an empty name does not
	}
}

// Tenant says whose agent is meant. For a call, and for a listing of agents,
// the default is "default"; listings of effects and of dead letters, and what
// settles one of them, are then about those of every tenant. It is a CallOption
// and a ListOption.
func Tenant(tenant string) TenantOption { return TenantOption(tenant) }

// Sequence is a message's place in a source that numbers its messages: a
// partition of a topic, a session of a producer. The agent keeps one cursor per
// source, for ever. Unordered sources use keys.
type Sequence struct {
	Source string
	// Incarnation tells the source from another of its name: the id of a
	// topic, the time of a stream's creation.
	Incarnation string
	Position    uint64 // at least 1, growing; gaps are allowed. See From for the order
}

type sequenceOption Sequence

func (s sequenceOption) applyCall(o callOptions) callOptions {
	o.sequence = Sequence(s)
	return o
}

// From identifies the message by its place in a sequence, instead of by a key.
// What the agent accepted at or below the position is not consumed again, so
// submit what a source has for one agent in its order, one after the other, and
// never go past one that was not accepted: repeat it until it is. A position
// that was passed over counts as consumed. (One SubmitAll for many agents is
// fine.) No reply is kept: it is for Submit and SubmitAll, and not for actions
// that are AtLeastOnce, which remember nothing.
func From(source, incarnation string, position uint64) CallOption {
	return sequenceOption{Source: source, Incarnation: incarnation, Position: position}
}

// TokenOption passes a hold.
type TokenOption string

func (t TokenOption) applyCall(o callOptions) callOptions {
	o.token = string(t)
	return o
}
func (t TokenOption) applySend(o *sendOptions) { o.token = string(t) }

// Token lets the message through to an agent that is held with the token
// (Step.Hold). It is a CallOption and a SendOption.
func Token(token string) TokenOption { return TokenOption(token) }

type delayOption time.Duration

func (d delayOption) applySend(o *sendOptions) { o.delay = time.Duration(d) }

// Delay makes a message wait durably before it is sent. The wait begins at
// Step.Now.
func Delay(d time.Duration) SendOption { return delayOption(d) }

package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"sync"
	"time"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/message"
)

// The workload of the crash tests. It runs in sessions that are 40 minutes
// apart on the engine's clock, with a retention of an hour: so generations
// turn and are dropped, and timers of ten minutes fire in the session after,
// without anything that waits for real time. Every operation has a tag, which
// is its idempotency key, and every step counts itself under its tag in the
// state of its agent: what ran twice, or never, can be seen there.
const (
	sessions     = 4
	sessionEvery = 40 * time.Minute
	keep         = time.Hour
	timerDelay   = 10 * time.Minute
	later        = 15 * time.Minute // after a session, when its timers are over
	clients      = 3
	maxAttempts  = 3
	callDeadline = 20 * time.Millisecond
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func sessionTime(k int) time.Time { return began.Add(time.Duration(k) * sessionEvery) }

// book is the state of every agent.
type book struct {
	Sum  int64
	Seen map[string]int
	mark []byte
}

func (b *book) Mark()       { b.mark, _ = b.Append(nil) }
func (b *book) Undo() error { m := b.mark; *b = book{}; return json.Unmarshal(m, b) }
func (b *book) Flat() bool  { return false }
func (b *book) Append(dst []byte) ([]byte, error) {
	enc, err := json.Marshal(b)
	return append(dst, enc...), err
}

func (b *book) saw(o order, what string) {
	if b.Seen == nil {
		b.Seen = make(map[string]int)
	}
	b.Seen[o.Tag+"/"+what]++
}

func (b *book) reply() core.Result {
	return core.Result{Verdict: core.Replied, Body: fmt.Appendf(nil, `{"sum":%d}`, b.Sum)}
}

// order is the body of every message.
type order struct {
	Tag    string
	N      int64  `json:",omitempty"`
	To     string `json:",omitempty"`
	Effect string `json:",omitempty"`
	Token  string `json:",omitempty"`
}

func (o order) body() []byte { b, _ := json.Marshal(o); return b }

var policies = map[string]*core.Effect{
	"read_only":    {Policy: core.ReadOnly, Timeout: callDeadline, MaxAttempts: 20},
	"keyed":        {Policy: core.Keyed, Timeout: callDeadline, MaxAttempts: 20},
	"probe":        {Policy: core.Probe, Timeout: callDeadline, MaxAttempts: 20},
	"probe_closes": {Policy: core.Probe, ProbeCloses: true, Timeout: callDeadline, MaxAttempts: 20},
	"at_most_once": {Policy: core.AtMostOnce, Timeout: callDeadline, MaxAttempts: 20},
	"ask":          {Policy: core.Ask, Timeout: callDeadline, MaxAttempts: 20},
}

var policyNames = []string{"read_only", "keyed", "probe", "probe_closes", "at_most_once", "ask"}

// program is the agents' behavior. Its handlers are pure but for stumble, of
// which the history knows whether it stumbled before.
func program(h *history) core.Behavior {
	on := func(run func(s *core.Step, b *book, o order) core.Result) *core.Action {
		return &core.Action{Run: func(s *core.Step, state core.State) core.Result {
			var o order
			raw := s.Message().Body
			if a := s.Message().Answer; a != nil {
				raw = a.Link.Context
			}
			if err := json.Unmarshal(raw, &o); err != nil {
				return core.Result{Invalid: true, Err: err}
			}
			return run(s, state.(*book), o)
		}}
	}
	count := func(what string) *core.Action {
		return on(func(_ *core.Step, b *book, o order) core.Result { b.saw(o, what); return b.reply() })
	}
	return core.Behavior{
		Effects: policies,
		Types: map[string]*core.Type{"book": {
			Schema: 1,
			Load: func(_ uint32, data []byte) (core.State, error) {
				b := new(book)
				if data == nil {
					return b, nil
				}
				return b, json.Unmarshal(data, b)
			},
			Actions: map[string]*core.Action{
				"add": on(func(_ *core.Step, b *book, o order) core.Result {
					b.Sum += o.N
					b.saw(o, "add")
					return b.reply()
				}),
				// give and given are the sender's halves of a transfer, take is
				// the receiver's; it refuses round numbers.
				"give": on(func(s *core.Step, b *book, o order) core.Result {
					b.Sum -= o.N
					b.saw(o, "give")
					s.Send(core.Outgoing{To: message.Agent{Type: "book", ID: o.To}, Action: "take", Body: o.body(), Then: "given", Context: o.body()})
					return core.Result{Verdict: core.Deferred}
				}),
				"take": on(func(_ *core.Step, b *book, o order) core.Result {
					if o.N%5 == 0 {
						return core.Result{Verdict: core.Refused, Code: "round", Detail: "no round numbers"}
					}
					b.Sum += o.N
					b.saw(o, "take")
					return b.reply()
				}),
				"given": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "given")
					if a := s.Message().Answer; a.Status != message.StatusDone {
						b.Sum += o.N
						return core.Result{Verdict: core.Refused, Keep: true, Code: a.Code, Detail: a.Detail}
					}
					return b.reply()
				}),
				"pay": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "pay")
					s.Ask(core.Call{Effect: o.Effect, Body: o.body(), Then: "paid", Context: o.body()})
					return core.Result{Verdict: core.Deferred}
				}),
				"paid": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "paid")
					switch a := s.Message().Answer; a.Status {
					case message.StatusDone:
						b.Sum -= o.N
						return b.reply()
					case message.StatusUnknown:
						return core.Result{Verdict: core.Lost, Detail: a.Detail}
					default:
						return core.Result{Verdict: core.Refused, Keep: true, Code: "not_paid", Detail: a.Detail}
					}
				}),
				// remind sends one message soon and one in ten minutes, sets a
				// timer, and sets another that it cancels.
				"remind": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "remind")
					to := message.Agent{Type: "book", ID: o.To}
					s.Send(core.Outgoing{To: to, Action: "soon", Body: o.body(), Delay: time.Millisecond})
					s.Send(core.Outgoing{To: to, Action: "late", Body: o.body(), Delay: timerDelay})
					s.SetTimer(o.Tag, timerDelay, "tick", o.body())
					s.SetTimer("no"+o.Tag, timerDelay, "never", o.body())
					s.CancelTimer("no" + o.Tag)
					return b.reply()
				}),
				"soon": count("soon"), "late": count("late"), "tick": count("tick"), "never": count("never"),
				"hold": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "hold")
					s.Hold(o.Token, timerDelay)
					return b.reply()
				}),
				"release": on(func(s *core.Step, b *book, o order) core.Result {
					b.saw(o, "release")
					s.Release()
					return b.reply()
				}),
				"stumble": on(func(_ *core.Step, b *book, o order) core.Result {
					if h.stumble(o.Tag) {
						return core.Result{Err: errors.New("stumbled")}
					}
					b.Sum += o.N
					b.saw(o, "stumble")
					return b.reply()
				}),
				"poison": on(func(*core.Step, *book, order) core.Result { return core.Result{Err: errors.New("poison")} }),
			},
		}},
	}
}

// op is one operation of a client.
type op struct {
	agent, action string
	order
	accept bool // hand it over first, and ask for its outcome when its script says so
}

func (o op) name() message.Agent {
	return message.Agent{Tenant: message.DefaultTenant, Type: "book", ID: o.agent}
}

func (o op) message() (*message.Message, error) {
	m := &message.Message{To: o.name(), Action: o.action, Principal: message.Anonymous, Key: o.Tag, Body: o.body(), Token: o.Token}
	var err error
	m.Fingerprint, err = message.FingerprintOf(m.To, m.Action, m.Body)
	return m, err
}

// script is what one client does in one session, in order. An operation that
// is accepted first comes twice: handed over, then asked for.
func script(k, client int) []op {
	var ops []op
	n := 0
	do := func(agent, action string, o order) op {
		n++
		// A UUIDv7 with the session's time, the same in every run.
		ms := sessionTime(k).UnixMilli()
		o.Tag = fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", ms>>16, ms&0xffff, k, client, n)
		x := op{agent: agent, action: action, order: o}
		ops = append(ops, x)
		return x
	}
	handOver := func(agent, action string, o order) (again op) {
		again = do(agent, action, o)
		ops[len(ops)-1].accept = true
		return again
	}
	own, shared, held := fmt.Sprint("own", client), fmt.Sprint("shared", (k+client)%2), fmt.Sprint("held", client)
	amount := int64(1 + 10*client + 100*k)

	do(own, "add", order{N: 7*amount + 1000})
	do(own, "give", order{N: amount, To: shared})
	do(own, "pay", order{N: amount, Effect: policyNames[(k+2*client)%len(policyNames)]})
	do(own, "remind", order{To: shared})
	do(held, "hold", order{Token: held})
	first := handOver(held, "add", order{N: amount})
	second := handOver(held, "give", order{N: 3 * amount, To: shared})
	do(held, "release", order{Token: held})
	ops = append(ops, first, second)
	do(shared, "pay", order{N: amount, Effect: policyNames[(k+2*client+1)%len(policyNames)]})
	stumbling := handOver(own, "stumble", order{N: amount})
	dead := handOver(fmt.Sprint("dead", client), "poison", order{})
	do(shared, "give", order{N: 5 * amount, To: own}) // refused, refunded
	ops = append(ops, stumbling, dead)
	do(own, "pay", order{N: amount, Effect: policyNames[(k+2*client+3)%len(policyNames)]})
	return ops
}

// answer is what a client was told at last. It never changes.
type answer struct {
	status       message.Status
	body         string
	code, detail string
}

// history is everything outside of the store: what the clients were told, and
// the outside world with its own ledger. A crash leaves it as it is.
type history struct {
	mu sync.Mutex
	facts
	wrong []string // broken promises that were seen as they happened
}

type facts struct {
	finals   map[string]answer  // by tag
	accepted map[string]bool    // by tag: the client was told that it is accepted
	resolved map[message.ID]int // the session in which a doubt was settled as done
	stumbled map[string]bool

	// A client that follows the change feed: what it knows of each agent, and
	// the position up to which it knows it. It keeps both through crashes.
	mirror   map[string]string
	position engine.Position

	// The outside world.
	keys  map[string]message.ID // by tag: the effect's key
	calls map[string]int        // that arrived
	done  map[string]int        // that took effect
	open  map[string]bool       // a call arrived, and nobody was told since that it is not done
}

func newHistory() *history {
	return &history{facts: facts{
		finals: make(map[string]answer), accepted: make(map[string]bool), resolved: make(map[message.ID]int),
		stumbled: make(map[string]bool), mirror: make(map[string]string), keys: make(map[string]message.ID), calls: make(map[string]int),
		done: make(map[string]int), open: make(map[string]bool),
	}}
}

// fork is the history up to now, with then called at this very moment: until
// it returns no call arrives outside and no client takes note of an answer.
func (h *history) fork(then func()) *history {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &history{facts: facts{
		finals: maps.Clone(h.finals), accepted: maps.Clone(h.accepted), resolved: maps.Clone(h.resolved),
		stumbled: maps.Clone(h.stumbled), mirror: maps.Clone(h.mirror), position: h.position, keys: maps.Clone(h.keys), calls: maps.Clone(h.calls),
		done: maps.Clone(h.done), open: maps.Clone(h.open),
	}}
	then()
	return c
}

func (h *history) stumble(tag string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.stumbled[tag]
	h.stumbled[tag] = true
	return !was
}

func (h *history) final(tag string) (answer, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.finals[tag]
	return a, ok
}

func (h *history) wasAccepted(tag string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.accepted[tag]
}

// mood is how the outside world answers the first call of an effect.
func mood(tag string) string {
	return []string{"done", "answer lost", "refused", "call lost"}[crc32.ChecksumIEEE([]byte(tag))%4]
}

var errLost = errors.New("the line went dead")

// outside is the world: it carries orders out once, and remembers.
func (h *history) outside() map[string]engine.Outside {
	world := make(map[string]engine.Outside)
	for name, e := range policies {
		o := engine.Outside{Call: h.call(name, e.Policy)}
		if e.Policy == core.Probe {
			o.Probe = h.probe
		}
		world[name] = o
	}
	return world
}

func paid(tag string) core.EffectResult {
	return core.EffectResult{Status: message.StatusDone, Body: []byte(`"paid ` + tag + `"`)}
}

func (h *history) call(name string, policy core.Policy) func(ctx context.Context, job core.EffectJob) core.EffectResult {
	return func(ctx context.Context, job core.EffectJob) core.EffectResult {
		var o order
		if err := json.Unmarshal(job.Body, &o); err != nil {
			panic(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if ctx.Err() != nil { // it is late, and does not arrive
			return core.EffectResult{Status: message.StatusUnknown, Detail: ctx.Err().Error()}
		}
		blame := func(form string, args ...any) {
			h.wrong = append(h.wrong, fmt.Sprintf("%s effect of %s: ", name, o.Tag)+fmt.Sprintf(form, args...))
		}
		if was, known := h.keys[o.Tag]; known && was != job.ID {
			blame("called with key %s, before with %s", job.ID, was)
		}
		h.keys[o.Tag] = job.ID
		h.calls[o.Tag]++
		repeatable := policy == core.ReadOnly || policy == core.Keyed
		if h.open[o.Tag] && !repeatable {
			blame("called a second time, blindly")
		}
		first := h.calls[o.Tag] == 1
		how := mood(o.Tag)
		if first && how == "refused" {
			return core.EffectResult{Status: message.StatusNotDone, Detail: "try again later"}
		}
		h.open[o.Tag] = true
		if first && how == "call lost" {
			return core.EffectResult{Status: message.StatusUnknown, Detail: errLost.Error()}
		}
		if !repeatable && h.done[o.Tag] > 0 {
			blame("done twice")
		}
		if policy != core.Keyed || h.done[o.Tag] == 0 {
			h.done[o.Tag]++
		}
		if first && how == "answer lost" {
			return core.EffectResult{Status: message.StatusUnknown, Detail: errLost.Error()}
		}
		return paid(o.Tag)
	}
}

func (h *history) probe(_ context.Context, job core.EffectJob) core.EffectResult {
	var o order
	if err := json.Unmarshal(job.Body, &o); err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done[o.Tag] > 0 {
		return paid(o.Tag)
	}
	h.open[o.Tag] = false
	return core.EffectResult{Status: message.StatusNotDone}
}

// judge is the person who settles doubts, by a look into the outside's books. A
// call that follows *not done* is not blind: it may come before the word's answer.
func (h *history) judge(tag string) core.Resolution {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done[tag] > 0 {
		return core.Resolution{Status: message.StatusDone, Body: paid(tag).Body, By: "judge"}
	}
	h.open[tag] = false
	return core.Resolution{Status: message.StatusNotDone, By: "judge"}
}

// untaken says that the judge's word about an effect came too early: no call may
// follow it. Where probes speak as well, theirs may have been taken meanwhile.
func (h *history) untaken(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if policies[o.Effect].Policy == core.Ask {
		h.open[o.Tag] = true
	}
}

// expected is the fold of the outcomes: what every agent's state must be once
// everything that they caused has come to its end.
func (h *history) expected(upTo int) map[string]*book {
	h.mu.Lock()
	defer h.mu.Unlock()
	books := make(map[string]*book)
	at := func(agent string) *book {
		if books[agent] == nil {
			books[agent] = &book{Seen: make(map[string]int)}
		}
		return books[agent]
	}
	counted := make(map[string]bool)
	for k := range upTo + 1 {
		for client := range clients {
			for _, o := range script(k, client) {
				if counted[o.Tag] {
					continue
				}
				counted[o.Tag] = true
				was := h.finals[o.Tag]
				done := was.status == message.StatusDone
				switch o.action {
				case "poison":
					continue // it never left a trace
				case "add", "stumble":
					at(o.agent).Sum += o.N
				case "give":
					at(o.agent).saw(o.order, "given")
					if done {
						at(o.agent).Sum -= o.N
						at(o.To).Sum += o.N
						at(o.To).saw(o.order, "take")
					}
				case "pay":
					at(o.agent).saw(o.order, "paid")
					if done {
						at(o.agent).Sum -= o.N
					}
				case "remind":
					at(o.agent).saw(o.order, "tick")
					at(o.To).saw(o.order, "soon")
					at(o.To).saw(o.order, "late")
				}
				at(o.agent).saw(o.order, o.action)
			}
		}
	}
	return books
}

// effects compares the outcomes with the outside's own books.
func (h *history) effects(upTo int) (wrong []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wrong = append(wrong, h.wrong...)
	for k := range upTo + 1 {
		for client := range clients {
			for _, o := range script(k, client) {
				if o.action != "pay" {
					continue
				}
				was, done, policy := h.finals[o.Tag], h.done[o.Tag], policies[o.Effect].Policy
				ok := false
				switch was.status {
				case message.StatusDone:
					ok = done == 1 || policy == core.ReadOnly && done >= 1
				case message.StatusUnknown:
					ok = done <= 1 && policy == core.AtMostOnce
				}
				if !ok {
					wrong = append(wrong, fmt.Sprintf("%s effect of %s was done %d times in %d calls, and its outcome is %+v", o.Effect, o.Tag, done, h.calls[o.Tag], was))
				}
			}
		}
	}
	return wrong
}

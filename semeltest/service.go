package semeltest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
)

// Fault is what goes wrong with one call of a service.
type Fault int

const (
	// NoFault lets the call arrive, and its answer too.
	NoFault Fault = iota
	// LoseReply lets the call take effect, and loses the answer: the caller is
	// given an error that says nothing.
	LoseReply
	// LoseCall loses the call: it has no effect, and the caller is given the same
	// error.
	LoseCall
	// Refuse answers semel.NotDone: it had no effect, and may be tried again.
	Refuse
	// TimeOut lets the call take effect, and the caller wait until its context
	// ends.
	TimeOut
)

// errLost is what a caller sees of a line that went dead.
var errLost = errors.New("the connection broke; nothing is known about the call")

// errDown is what is told to a program that has crashed, if it still asks.
var errDown = errors.New("semeltest: the program has crashed")

// Faults says what goes wrong. It is asked for each call as it arrives, with
// what is known of the effect, of which Record.Calls counts this call. It must
// be safe for concurrent use, and is to be set before the service is called.
func (s *Service) Faults(which func(Record) Fault) { s.faults = which }

// Call is how an effect's function reaches a service: with its ctx, the key by
// which the service is to recognize a repetition, and a body. do makes the
// service's answer, and is called if the service does what it is told. Its
// error may be a [*semel.Rejection], the service's no, or semel.NotDone; any
// other means that nothing happened and nobody can tell. It may take its time,
// call other services, and run while it runs for another key.
func Call[Rep any](ctx context.Context, s *Service, key string, body any, do func() (Rep, error)) (Rep, error) {
	return send(ctx, s, request{key: key, body: body}, do)
}

func send[Rep any](ctx context.Context, s *Service, r request, do func() (Rep, error)) (Rep, error) {
	v, err := s.call(ctx, r, func() (any, error) { return do() })
	rep, ok := v.(Rep)
	if err == nil && !ok && v != nil {
		err = fmt.Errorf("service %q answered key %s with a %T before, and now a %T is wanted", s.name, r.key, v, rep)
	}
	return rep, err
}

// Find is how a probe asks a service what became of the call with a key. The
// error is semel.NotDone if the service never did it.
func Find[Rep any](ctx context.Context, s *Service, key string) (Rep, error) {
	v, err := s.find(ctx, key)
	rep, _ := v.(Rep)
	return rep, err
}

// Effect makes an effect's function that calls a service with the effect's own
// key and its request, for tests of handlers. answer makes the service's reply,
// as do of Call does.
func Effect[Req, Rep any](s *Service, answer func(Req) (Rep, error)) semel.EffectFunc[Req, Rep] {
	return func(ctx context.Context, call semel.EffectCall, req Req) (Rep, error) {
		return Call(ctx, s, call.Key, req, func() (Rep, error) { return answer(req) })
	}
}

// Probe makes the function that probes what Effect calls:
//
//	semel.NewEffect(app, "charge", semeltest.Effect(bank, charge), semel.Probe(semeltest.Probe[Charge, Receipt](bank)))
func Probe[Req, Rep any](s *Service) semel.EffectFunc[Req, Rep] {
	return func(ctx context.Context, call semel.EffectCall, _ Req) (Rep, error) {
		return Find[Rep](ctx, s, call.Key)
	}
}

func (s *Service) call(ctx context.Context, r request, do func() (any, error)) (any, error) {
	if l := s.world.life; l != nil && l.dead.Load() {
		return nil, errDown
	}
	run := engine.RunningIn(ctx)
	e := s.world.ledger.came(s, run, r)
	if !s.pass(run, "before %s reached the outside world") {
		s.world.ledger.lose(e)
		return nil, errDown
	}
	if err := ctx.Err(); err != nil {
		s.world.ledger.lose(e)
		return nil, err
	}
	fault := s.fault(e)
	switch fault {
	case Refuse:
		return nil, semel.NotDone(errors.New("try again later"))
	case LoseCall:
		s.world.ledger.lose(e)
		return nil, errLost
	}
	a, ok := s.happen(ctx, e, r, do)
	if !ok {
		s.world.ledger.lose(e)
		return nil, ctx.Err()
	}
	if !s.pass(run, "after %s happened, before its result was recorded") {
		s.world.ledger.lose(e)
		return nil, errDown
	}
	switch fault {
	case LoseReply:
		s.world.ledger.lose(e)
		return nil, errLost
	case TimeOut:
		s.world.ledger.lose(e)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return a.reply, a.err
}

// fault counts the arrival and chooses what goes wrong.
func (s *Service) fault(e *entry) Fault {
	l := s.world.ledger
	l.mu.Lock()
	e.Calls++
	r := e.Record
	l.mu.Unlock()
	if s.faults != nil {
		if f := s.faults(r); f != NoFault {
			return f
		}
	}
	if life := s.world.life; life != nil && life.plan.lose && r.Calls == 1 && r.Effect != "" && e.policy != core.AtMostOnce {
		return LoseReply
	}
	return NoFault
}

// happen does what the service is told, unless it knows the key and
// deduplicates: then a call that comes meanwhile waits, as long as its caller
// does; it reports false if that was not long enough. It waits for a channel,
// and nothing is locked while the service is at it: who waits for a mutex stops
// the clock of a bubble, and a provider may take its time or call another one.
func (s *Service) happen(ctx context.Context, e *entry, r request, do func() (any, error)) (a answered, ok bool) {
	l := s.world.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.know(s.name, r.key)
	dedup := s.dedup && r.key != ""
	for dedup && k.doing != nil {
		doing := k.doing
		l.mu.Unlock()
		select {
		case <-doing:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if ctx.Err() != nil {
			return a, false
		}
	}
	now := strings.TrimSpace(r.to + " " + l.o.mask(r.text()))
	if dedup && k.answer != nil {
		return s.again(e, r, k, now), true
	}
	k.effect, k.request, k.doing = e.ID, now, make(chan struct{})
	defer func(doing chan struct{}) {
		k.doing = nil
		close(doing)
	}(k.doing)
	a.reply, a.err = l.unlocked(do)
	var no *semel.Rejection
	switch refused := errors.As(a.err, &no); {
	case a.err != nil && !refused:
		return a, true // nothing happened
	case refused:
		e.Rejected = true
	case !s.readOnly:
		e.Happened++
		k.happened++
	}
	k.answer, e.last = &a, a
	return a, true
}

// unlocked asks the user's function, which may look at the World, and may
// panic.
func (l *ledger) unlocked(do func() (any, error)) (any, error) {
	l.mu.Unlock()
	defer l.mu.Lock()
	return do()
}

// again is what a service that deduplicates answers to a key that it knows. mu
// is held.
func (s *Service) again(e *entry, r request, k *known, now string) answered {
	l := s.world.ledger
	switch {
	case k.effect != e.ID:
		l.blame("%s came with the key %s, by which the service knows another effect: it was not done, and got that one's answer; send EffectCall.Key, or what is derived from it", e.what(), r.key)
	case k.request != now:
		l.blame("%s came with the key %s for another request: it was %s, and now %s; it was refused, and a key is for one", e.what(), r.key, k.request, now)
		return answered{err: semel.Reject("key_reused", "the key %s was used for another request", r.key)}
	}
	e.last = *k.answer
	e.Rejected = e.Rejected || e.last.err != nil
	return *k.answer
}

func (s *Service) find(ctx context.Context, key string) (any, error) {
	run := engine.RunningIn(ctx)
	if !s.pass(run, "before %s was probed") {
		return nil, errDown
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := s.world.ledger
	l.mu.Lock()
	e := l.open(s, run, key)
	e.Probes++
	lost := s.losesProbe(run, e)
	var a answered
	if k := l.know(s.name, key); key != "" && k.answer != nil {
		a = *k.answer
	} else {
		a.err = semel.NotDone(fmt.Errorf("service %q does not know the key", s.name))
	}
	l.mu.Unlock()
	if !s.pass(run, "after %s was probed, before the answer was recorded") {
		return nil, errDown
	}
	if lost {
		return nil, errLost
	}
	return a.reply, a.err
}

// losesProbe says whether the answer to a probe gets lost, which was counted. A
// Find of a call is none, but what it is told is as easily misunderstood. The
// first answers get lost: *not done* counts only when no call can arrive any more,
// and then the probe is made again, so a probe that takes the loss for *not done*
// must hear nothing twice.
func (s *Service) losesProbe(run *engine.Running, e *entry) bool {
	life := s.world.life
	return e.Probes <= 2 && life != nil && life.plan.lose && run != nil && run.Policy != core.AtMostOnce
}

// pass waits at the boundary between the program and the World.
func (s *Service) pass(run *engine.Running, where string) bool {
	if s.world.life == nil || run == nil {
		return true
	}
	j := run.Job
	here := fmt.Sprintf(where, fmt.Sprintf("effect %q of %s/%s", j.Name, j.Agent.Type, j.Agent.ID))
	return s.world.life.pass(point{before: here, after: here, rank: "effect " + j.ID.String() + s.name})
}

func (l *ledger) lose(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.lost = true
}

package semeltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// answer is what a caller was told.
type answer struct {
	status semel.Status
	code   string
	body   string // the reply, or the data of the rejection
}

func (a answer) String() string {
	s := a.status.String()
	if a.code != "" {
		s += " (" + a.code + ")"
	}
	if a.body != "" {
		s += " " + a.body
	}
	return s
}

// calls makes the workload's calls, in the plan's order and number.
func (l *life) calls() error {
	for _, i := range l.order() {
		s := &l.run.steps[i]
		if l.dead.Load() {
			return nil
		}
		if s.do != nil {
			l.at(aDo)
			if err := l.do(s.do); err != nil || l.dead.Load() {
				return err
			}
			continue
		}
		l.at(s.what())
		a, err := l.deliver(s)
		if err != nil {
			return fmt.Errorf("call %d, %s: %w", i+1, s.what(), err)
		}
		if l.dead.Load() {
			return nil
		}
		was, known := l.h.told[i]
		if known && was != a && l.remembers(s) {
			return fmt.Errorf("call %d, %s: its caller was told %v before the crash, and after it %v", i+1, s.what(), was, a)
		}
		l.h.told[i] = a
	}
	return nil
}

// do makes a Do or a Check, for no longer than anything may take.
func (l *life) do(what func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.h.o.patience())
	defer cancel()
	l.turn(callRank)
	return what(ctx)
}

// aDo is what the workload is at while it is at a Do.
const aDo = "a Do"

// callRank is before every other: a call comes when the program waits for
// something, and before that does.
const callRank = "0"

// remembers says whether a repetition of the call gets the first answer.
func (l *life) remembers(s *step) bool {
	info, err := l.run.App.Action(s.req.Type, s.req.Action)
	return err == nil && info.Guarantee == message.ExactlyOnce && s.req.Key != ""
}

// order is the order of the steps: shuffled within each block if the plan says
// so.
func (l *life) order() []int {
	order := make([]int, len(l.run.steps))
	for i := range order {
		order[i] = i
	}
	for from := 0; l.plan.shuffle != nil && from < len(order); {
		to := from
		for to < len(order) && l.run.steps[to].block == l.run.steps[from].block {
			to++
		}
		l.plan.shuffle.Shuffle(to-from, func(i, j int) { order[from+i], order[from+j] = order[from+j], order[from+i] })
		from = to
	}
	l.h.order = order
	return order
}

// orderMade words the order in which the calls were made.
func (h *history) orderMade() string {
	var calls []string
	for _, i := range h.order {
		calls = append(calls, fmt.Sprint(i+1))
	}
	return "calls " + strings.Join(calls, ", ")
}

// deliver brings a call, once or as often as the plan says: in a row or all at
// once.
func (l *life) deliver(s *step) (answer, error) {
	if l.plan.copies == nil {
		return l.ask(s)
	}
	n, atOnce := 2+l.plan.copies.IntN(2), l.plan.copies.IntN(2) != 0
	return repeat(n, atOnce, l.remembers(s), func() (answer, error) { return l.ask(s) })
}

// repeat asks n times, in a row or at once. The answers must be the same if the
// first is remembered.
func repeat(n int, atOnce, remembered bool, ask func() (answer, error)) (answer, error) {
	answers, errs := make([]answer, n), make([]error, n)
	how := "in a row"
	if !atOnce {
		for i := range n {
			answers[i], errs[i] = ask()
		}
	} else {
		how = "at once"
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { answers[i], errs[i] = ask() })
		}
		all.Wait()
	}
	if err := errors.Join(errs...); err != nil {
		return answer{}, fmt.Errorf("delivered %d times %s: %w", n, how, err)
	}
	for _, a := range answers[1:] {
		if a != answers[0] && remembered {
			return answer{}, fmt.Errorf("delivered %d times %s, it was answered %v and %v", n, how, answers[0], a)
		}
	}
	return answers[0], nil
}

// ask makes a call until its answer is final.
func (l *life) ask(s *step) (answer, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.h.o.patience()) // if it is never answered
	defer cancel()
	if s.req.Sequence.Position != 0 {
		l.turn(callRank)
		_, err := l.run.App.Submit(ctx, s.req)
		return answer{}, err // where it stands depends on when it is asked
	}
	for {
		l.turn(callRank)
		a := l.run.App.CallAll(ctx, []semel.Request{s.req})[0]
		var no *semel.Rejection
		switch {
		case a.Err == nil:
			return answer{status: a.Status, body: string(a.Reply)}, nil
		case errors.As(a.Err, &no):
			return answer{status: a.Status, code: no.Code, body: string(no.Data)}, nil
		case errors.Is(a.Err, semel.ErrOutcomeUnknown):
			l.h.mu.Lock()
			l.h.unknown = append(l.h.unknown, s.req.Agent())
			l.h.mu.Unlock()
			return answer{status: a.Status, code: string(message.CodeOutcomeUnknown)}, nil
		case !errors.Is(a.Err, semel.ErrInDoubt) || ctx.Err() != nil:
			return answer{}, errors.Join(a.Err, l.open())
		}
		if err := l.settleDoubts(); err != nil {
			return answer{}, err
		}
		pause := time.Second
		if l.h.o.realTime {
			pause = time.Millisecond
		}
		time.Sleep(pause) // *not done* may be too early: then the World is asked again
	}
}

// settleDoubts is the person who settles effects in doubt, by a look into the
// World's books.
func (l *life) settleDoubts() error {
	app := l.run.App
	for e, err := range app.Doubts(l.ctx) {
		if err != nil {
			return err
		}
		found, known := l.h.ledger.about(e.ID.String(), e.Effect)
		if !known {
			return fmt.Errorf("effect %q of %s is in doubt (%s), and the World cannot say whether it happened: its function must reach the outside through Run.World", e.Effect, e.Agent, e.Reason)
		}
		l.turn(callRank)
		if found != nil && found.Happened > 0 && l.run.World.judge == nil {
			l.unjudged.Store(true)
		}
		_, err := app.Resolve(l.ctx, e.ID, l.verdict(found).About(e), "semeltest")
		switch {
		case err == nil, errors.Is(err, semel.ErrAlreadyResolved), errors.Is(err, semel.ErrUnknownDoubt), errors.Is(err, semel.ErrTooEarly):
		default:
			return err
		}
	}
	return nil
}

// verdict is how a doubt is settled. found is nil if no call set out.
func (l *life) verdict(found *entry) semel.Resolution {
	if found == nil {
		return semel.ResolveNotDone()
	}
	if judge := l.run.World.judge; judge != nil {
		return judge(found.Record)
	}
	var no *semel.Rejection
	switch {
	case found.Happened > 0:
		if r, ok := found.last.reply.(*reply); ok { // of a Transport
			return semel.ResolveDone(bodyOf(r.body))
		}
		return semel.ResolveDone(found.last.reply)
	case found.Rejected && errors.As(found.last.err, &no):
		return semel.ResolveFailed(no.Code, no.Detail)
	}
	return semel.ResolveNotDone()
}

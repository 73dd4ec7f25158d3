package core

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// withdrawer asks for an effect, keeps its key, withdraws it, and counts answers.
func withdrawer(policy string) Behavior {
	var id message.ID
	return testBehavior(map[string]func(*Step, *numbers) Result{
		"ask": func(s *Step, n *numbers) Result {
			id = s.Ask(Call{Effect: policy, Then: "heard"})
			return Result{Verdict: Deferred}
		},
		"withdraw": func(s *Step, n *numbers) Result { s.Withdraw(id); return replied(body{}) },
		"heard": func(s *Step, n *numbers) Result {
			a := s.Message().Answer
			n.add(a.Status.String(), 1)
			return replied(body{})
		},
	})
}

func (d *single) withdraw() {
	d.t.Helper()
	d.ask(keyed("withdraw", "w", "1"))
	d.settle()
}

// settled wants one answer, of this status, and that nothing is called any more
// whatever happens.
func (d *single) answeredOnce(status message.Status, doubt bool) {
	d.t.Helper()
	for _, crash := range []bool{false, true} {
		if crash {
			d.crash()
		}
		d.advance(10 * time.Second)
		for _, c := range d.calls {
			if !c.Probe {
				d.t.Errorf("crash %v: it is called again: %+v", crash, c)
			}
		}
		total := int64(0)
		for _, s := range []message.Status{message.StatusDone, message.StatusRejected, message.StatusNotDone, message.StatusUnknown} {
			n, _ := d.of(bob, s.String())
			total += n
		}
		if n, _ := d.of(bob, status.String()); n != 1 || total != 1 {
			d.t.Errorf("crash %v: %d answers, %d of them %s", crash, total, n, status)
		}
		if n := d.rows(message.TableEffect); n == 1 != doubt {
			d.t.Errorf("crash %v: %d effects, doubt %v", crash, n, doubt)
		}
		if n := d.rows(message.TableOpen); n != 0 {
			d.t.Errorf("crash %v: the call that asked is still open", crash)
		}
	}
}

var policies = []string{"ask", "ro", "keyed", "probe", "amo"}

// Before a call was begun, and after one that was certainly not done.
func TestWithdrawBeforeTheCall(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		for _, called := range []bool{false, true} {
			d := newSingle(t, withdrawer(policy), nil)
			if called {
				d.submit(new(Caller), keyed("ask", "k", "1"))
				d.settle()
				d.done(d.called(false), false, message.StatusNotDone)
			} else {
				d.m.Quiesce()
				d.submit(new(Caller), keyed("ask", "k", "1"))
			}
			d.withdraw()
			d.answeredOnce(message.StatusNotDone, false)
		}
	}
}

// While the call is under way, its answer tells.
func TestWithdrawDuringTheCall(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		for _, status := range []message.Status{message.StatusDone, message.StatusNotDone, message.StatusUnknown} {
			d := newSingle(t, withdrawer(policy), nil)
			id := d.asked()
			d.withdraw()
			d.done(id, false, status)
			want, doubt := status, false
			if status == message.StatusUnknown {
				doubt = policy == "ask" || policy == "probe"
				if policy == "ro" {
					want = message.StatusNotDone
				}
			}
			d.answeredOnce(want, doubt)
		}
	}
}

// A process that dies during the call of a withdrawn effect does not call again.
func TestWithdrawnCallThatDied(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		d := newSingle(t, withdrawer(policy), nil)
		d.asked()
		d.withdraw()
		d.crash()
		want := message.StatusUnknown
		if policy == "ro" {
			want = message.StatusNotDone
		}
		d.answeredOnce(want, policy == "ask" || policy == "probe")
	}
}

// FAULTS 51: a doubt of a withdrawn effect stays listed, and is not called whatever
// settles it.
func TestWithdrawnDoubt(t *testing.T) {
	t.Parallel()
	for _, status := range []message.Status{message.StatusNotDone, message.StatusDone} {
		d := newSingle(t, withdrawer("ask"), nil)
		id := d.asked()
		d.done(id, false, message.StatusUnknown)
		d.withdraw()
		d.answeredOnce(message.StatusUnknown, true)
		d.advance(5 * time.Second) // the settling time
		if a := d.resolve(id, status); a.Fault != nil {
			t.Fatal(a.Fault)
		}
		d.answeredOnce(message.StatusUnknown, false)
	}
}

// The same of a probe's word.
func TestWithdrawnProbe(t *testing.T) {
	t.Parallel()
	d := newSingle(t, withdrawer("probe"), nil)
	id := d.asked()
	d.done(id, false, message.StatusUnknown)
	d.called(true)
	d.withdraw()
	d.now += message.Time(5 * time.Second)
	d.done(id, true, message.StatusUnknown)
	d.advance(5 * time.Second)
	d.called(true)
	d.done(id, true, message.StatusNotDone)
	d.answeredOnce(message.StatusUnknown, false)
}

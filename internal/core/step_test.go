package core

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// What a step must not ask for makes it fail, and leaves no trace.
func TestStepRefuses(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*Step){
		"a message to another tenant": func(s *Step) {
			s.Send(Outgoing{To: message.Agent{Tenant: "other", Type: "t", ID: "carol"}, Action: "count"})
		},
		"a timer without a name":                      func(s *Step) { s.SetTimer("", time.Second, "count", nil) },
		"to cancel a timer without a name":            func(s *Step) { s.CancelTimer("") },
		"to cancel a timer named like a delayed send": func(s *Step) { s.CancelTimer("\x01x") },
	} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"do": func(s *Step, n *numbers) Result { n.add("n", 1); f(s); return replied(body{}) },
		}), nil)
		if a := d.ask(keyed("do", "k", "1")); a.Fault == nil || a.Fault.Code != message.CodeHandlerFailed {
			t.Errorf("%s: %+v", name, a)
		}
		if count(t, d) != 0 || d.rows(message.TableOutbox)+d.rows(message.TableTimer) != 0 {
			t.Errorf("%s: it left a trace", name)
		}
	}
}

func TestSendWithinTheTenant(t *testing.T) {
	t.Parallel()
	for _, tenant := range []string{"", bob.Tenant} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"send": func(s *Step, n *numbers) Result {
				s.Send(Outgoing{To: message.Agent{Tenant: tenant, Type: "t", ID: "bob"}, Action: "count"})
				return replied(body{})
			},
		}), nil)
		d.ask(keyed("send", "k", "1"))
		if n := count(t, d); n != 1 {
			t.Errorf("tenant %q: %d", tenant, n)
		}
	}
}

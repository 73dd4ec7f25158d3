package core

import (
	"testing"

	"github.com/semel-dev/semel/message"
)

// FAULTS 54: a message that ends the process is a dead letter after as many
// crashes as it may cause, whichever way it comes, and all else goes on.
func TestKillerDies(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"inbox", "mailbox", "timer"} {
		killed := false
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"kill": func(*Step, *numbers) Result { killed = true; return replied(body{}) },
			"send": func(s *Step, n *numbers) Result {
				for _, action := range []string{"count", "kill", "count"} {
					s.Send(Outgoing{To: bob, Action: action})
				}
				return replied(body{})
			},
			"timer": func(s *Step, n *numbers) Result {
				s.SetTimer("x", 1, "kill", nil)
				s.Send(Outgoing{To: bob, Action: "count"})
				s.Send(Outgoing{To: bob, Action: "count"})
				return replied(body{})
			},
		}), nil)
		m := keyed("send", "s", "1")
		m.To = simAgent("t", "alice")
		switch way {
		case "mailbox":
			d.ask(keyed("hold", "h", "1"))
		case "timer":
			m = keyed("timer", "s", "1")
		}
		d.submit(new(Caller), m)
		crashes := 0
		for range 3000 {
			d.now += 1e8
			d.m.Tick(d.now)
			d.work()
			u := d.m.Seal()
			if killed {
				killed = false
				crashes++
				d.crash()
				continue
			}
			if u != nil {
				if err := d.store.commit(copyUnit(0, u)); err != nil {
					t.Fatal(err)
				}
				for range d.m.TakeWakes() {
					d.m.Hint(0)
				}
			}
			d.sync()
		}
		if n := count(t, d); n != 2 || d.rows(message.TableDead) != 1 {
			t.Errorf("%s: %d of 2 others ran, %d dead letters after %d crashes", way, n, d.rows(message.TableDead), crashes)
		}
		if crashes > maxTrials+1 {
			t.Errorf("%s: %d crashes", way, crashes)
		}
		if d.m.OnTrial() || d.rows(message.TableMailbox)+d.rows(message.TableControl) != 0 {
			t.Errorf("%s: not at rest", way)
		}
	}
}

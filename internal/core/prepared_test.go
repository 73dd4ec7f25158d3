package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

var alice = simAgent("t", "alice")

// parties has a coordinator, which sends phases on request and keeps what it is
// told, and the action "move", which does all that a step can do.
func parties() Behavior {
	phase := func(p message.Phase) func(s *Step, n *numbers) Result {
		return func(s *Step, n *numbers) Result {
			b := bodyOf(s.Message().Body)
			s.Send(Outgoing{
				To: alice, Action: b.Op, Body: body{Amt: b.Amt}.bytes(), Then: "heard", Context: []byte(b.Op),
				Branch: &message.Branch{Tx: b.Name, Phase: p},
			})
			return replied(body{})
		}
	}
	return testBehavior(map[string]func(*Step, *numbers) Result{
		"prepare": phase(message.Prepare), "commit": phase(message.Commit), "abort": phase(message.Abort),
		"heard": func(s *Step, n *numbers) Result {
			a := s.Message().Answer
			n.add(strings.TrimRight(fmt.Sprint(string(a.Link.Context), " ", a.Status, " ", a.Code), " "), 1)
			return replied(body{})
		},
		"move": func(s *Step, n *numbers) Result {
			amt := bodyOf(s.Message().Body).Amt
			if n.get("n")+int64(amt) < 0 {
				return refused("too_little", true)
			}
			n.add("n", int64(amt))
			s.Send(Outgoing{To: bob, Action: "count"})
			s.SetTimer("later", time.Second, "count", nil)
			s.Ask(Call{Effect: "amo"})
			s.Hold("mine", time.Minute)
			return replied(body{N: int(n.get("n"))})
		},
		"look":  func(s *Step, n *numbers) Result { return replied(body{N: int(n.get("n"))}) },
		"panic": func(s *Step, n *numbers) Result { n.add("n", 1); panic("no") },
		"defer": func(s *Step, n *numbers) Result {
			n.add("n", 1)
			s.Ask(Call{Effect: "amo", Then: "heard"})
			return Result{Verdict: Deferred}
		},
		"end": func(s *Step, n *numbers) Result { s.Forget(); return replied(body{}) },
		"pass on": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: alice, Action: bodyOf(s.Message().Body).Op})
			return replied(body{})
		},
	})
}

// of reads a number of an agent from the store; absent says that it has no state.
func (d *single) of(a message.Agent, name string) (n int64, absent bool) {
	d.t.Helper()
	k := message.RowKey{Table: message.TableState, Key: a.AppendKey(nil)}
	row := stateRow{}
	if v := d.store.visible[0].get(k); v != nil {
		var err error
		if row, err = readState(k, v); err != nil {
			d.t.Fatal(err)
		}
	}
	st, _ := loadNumbers(0, row.data)
	return st.(*numbers).get(name), row.version == 0
}

func (d *single) tell(phase, tx, action string, amt int) {
	d.t.Helper()
	m := keyed(phase, fmt.Sprint(phase, tx, action), "")
	m.Body = body{Op: action, Name: tx, Amt: amt}.bytes()
	if a := d.ask(m); a.Fault != nil {
		d.t.Fatal(a.Fault)
	}
}

func (d *single) heard(name string, want int64) {
	d.t.Helper()
	if n, _ := d.of(bob, name); n != want {
		d.t.Errorf("the coordinator heard %q %d times, want %d", name, n, want)
	}
}

func (d *single) alice(action, key string) message.Message {
	m := keyed(action, key, "")
	m.To = alice
	return m
}

// FAULTS 42, 44: what a prepared agent promised is nowhere to be seen before the
// decision, and all there after a commit, whatever crashes in between; other
// messages wait, and nothing ends that but the decision.
func TestPromise(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		for _, crash := range []bool{true, false} {
			d := newSingle(t, parties(), nil)
			crashes := func() {
				if crash {
					d.crash()
					d.settle()
				}
			}
			d.tell("prepare", "tx1", "move", 5)
			d.heard("move done", 1)
			crashes()
			other := d.submit(&Caller{}, d.alice("count", "other"))
			d.now += message.Time(100 * 24 * time.Hour)
			d.settle()
			if n, absent := d.of(alice, "n"); n != 0 || !absent {
				t.Fatalf("before the decision: %d, absent %v", n, absent)
			}
			if n, _ := d.of(bob, "n"); n != 0 || d.rows(message.TableEffect) != 0 || d.rows(message.TableTimer) != 0 {
				t.Fatal("before the decision, something got out")
			}
			if _, ok := d.answers[other]; ok {
				t.Fatal("another message was taken before the decision")
			}
			d.tell("abort", "another", "", 0)
			d.tell("commit", "yet another", "", 0)
			crashes()
			if n, _ := d.of(alice, "n"); n != 0 {
				t.Fatal("another transaction's decision was taken for this one's")
			}
			phase, want := "abort", int64(0)
			if commit {
				phase, want = "commit", 1
			}
			d.tell(phase, "tx1", "", 0)
			if len(d.calls) != int(want) {
				t.Errorf("after %s, %d effects", phase, len(d.calls))
			}
			crashes()
			d.tell(phase, "tx1 again", "", 0)
			d.ask(d.alice("count", "last"))
			d.advance(time.Second)
			if n, _ := d.of(bob, "n"); n != want {
				t.Errorf("after %s, %d messages were sent", phase, n)
			}
			waited := int64(1)
			if crash {
				waited = 0 // it was not accepted
			}
			if n, _ := d.of(alice, "n"); n != waited+1+6*want { // last, and what was promised with its timer
				t.Errorf("after %s, crash %v: %d", phase, crash, n)
			}
		}
	}
}

func TestVotes(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	for i, c := range []struct {
		action string
		amt    int
		heard  string
		held   bool
	}{
		{"move", -1, "move rejected too_little", false},
		{"panic", 0, "panic rejected not_prepared", false},
		{"defer", 0, "defer rejected not_prepared", false},
		{"fail", 0, "fail rejected not_prepared", false},
		{"unheard of", 0, "unheard of rejected not_prepared", false},
		{"look", 0, "look done read_only", true},
		{"end", 0, "end done", true},
	} {
		tx := fmt.Sprint("tx", i)
		d.tell("prepare", tx, c.action, c.amt)
		d.heard(c.heard, 1)
		waits := d.submit(&Caller{}, d.alice("look", tx))
		d.settle()
		if _, answered := d.answers[waits]; answered == c.held {
			t.Errorf("%s: held %v", c.action, !answered)
		}
		d.tell("abort", tx, "", 0)
		if _, ok := d.answers[waits]; !ok {
			t.Errorf("%s: it is held after the abort", c.action)
		}
	}
	if n, absent := d.of(alice, "n"); n != 0 {
		t.Errorf("votes of no, and aborts, left %d, absent %v", n, absent)
	}
	d.heard("unheard of done", 0)
}

// An agent that ends with the step that it promised is there until the commit.
func TestPromiseToEnd(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.ask(d.alice("count", "1"))
	d.tell("prepare", "tx", "end", 0)
	d.crash()
	d.settle()
	if n, _ := d.of(alice, "n"); n != 1 {
		t.Fatalf("before the commit: %d", n)
	}
	d.tell("commit", "tx", "", 0)
	if d.store.visible[0].get(message.RowKey{Table: message.TableState, Key: alice.AppendKey(nil)}) != nil || d.rows(message.TableControl) != 0 {
		t.Error("it is there after the commit")
	}
}

// An abort does not wait for what the agent is held for, and its prepare, which
// does, votes no when its turn comes, however many messages wait in between.
func TestAbortOvertakesItsPrepare(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		d := newSingle(t, parties(), func(c *Config) { c.MaxState = 1 << 14 })
		d.tell("prepare", "first", "move", 1)
		d.tell("prepare", "second", "move", 1)
		for i := range 2 * mailWindow {
			d.submit(&Caller{Accept: true}, d.alice("count", fmt.Sprint(i)))
		}
		d.settle()
		d.tell("prepare", "third", "move", 1)
		d.tell("abort", "second", "", 0)
		d.heard(" done", 1) // at once
		if crash {
			d.crash()
			d.settle()
		}
		d.tell("abort", "first", "", 0)
		d.heard("move rejected not_prepared", 1)
		d.heard("move done", 2)
		d.tell("commit", "third", "", 0)
		d.advance(2 * time.Minute)
		if n, _ := d.of(alice, "n"); n != 2*mailWindow+2 { // and its timer
			t.Errorf("crash %v: %d", crash, n)
		}
		if n := d.rows(message.TableControl); n != 0 {
			t.Errorf("crash %v: %d control rows are left", crash, n)
		}
	}
}

// A commit that cannot be applied now is kept, and so is the promise.
func TestCommitWaitsForTheProgramThatHasTheType(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.tell("prepare", "tx", "move", 5)
	typ := d.b.Types["t"]
	load := typ.Load
	typ.Load = func(schema uint32, data []byte) (State, error) {
		if schema == 0 && len(data) > 0 && strings.Contains(string(data), "n") && !strings.Contains(string(data), "move") {
			return nil, fmt.Errorf("not this program")
		}
		return load(schema, data)
	}
	d.tell("commit", "tx", "", 0)
	d.advance(time.Minute) // many times what an ordinary message is tried
	if d.alarmed(AlarmDead) != 0 || d.m.counters.Retries < 10 {
		t.Fatalf("the commit was tried %d times again: %v", d.m.counters.Retries, d.alarms)
	}
	if n, absent := d.of(alice, "n"); n != 0 || !absent {
		t.Fatalf("%d, absent %v", n, absent)
	}
	typ.Load = load
	d.crash()
	d.advance(5 * time.Second)
	if n, _ := d.of(alice, "n"); n != 6 { // and its timer
		t.Errorf("%d once the program has it", n)
	}
}

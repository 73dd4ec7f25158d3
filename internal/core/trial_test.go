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

// A process that opens its shard again during trials has survived them: it
// goes on with the counts of its predecessors, and adds nothing to them.
func TestReopenDuringTrials(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"send": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: bob, Action: "count"})
			return replied(body{})
		},
	}), nil)
	m := keyed("send", "s", "1")
	m.To = simAgent("t", "alice")
	d.submit(new(Caller), m)
	d.commit()
	d.store.sync(len(d.store.log)) // sent, and not taken
	begin := func(since message.Epoch) {
		for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
			r.epoch++
		}
		rec := d.store.recovered(0)
		rec.Unclean, rec.Since = true, since
		m, err := New(d.cfg, d.b, d.now, rec)
		if err != nil {
			t.Fatal(err)
		}
		d.m, d.held, d.loads, d.calls = m, nil, nil, nil
		d.work()
		if !d.m.Suspects() || !d.m.OnTrial() {
			t.Fatal("no suspect")
		}
		d.commit() // the attempt
		d.store.sync(len(d.store.log))
	}
	begun := func() int {
		for k, v := range d.store.durable[0].tables[message.TableMeta] {
			if r := (message.RowKey{Table: message.TableMeta, Key: []byte(k)}); len(k) > len(trialKey) && k[:len(trialKey)] == trialKey {
				row, err := readTrial(r, v)
				if err != nil {
					t.Fatal(err)
				}
				return row.begun
			}
		}
		return 0
	}
	begin(0)
	since := d.m.epoch
	for range 2 * maxTrials {
		begin(since)
		if n := begun(); n != 1 {
			t.Fatalf("%d attempts are counted of the one process", n)
		}
	}
	begin(0) // another process
	if n := begun(); n != 2 {
		t.Fatalf("%d attempts are counted of two processes", n)
	}
	d.settle()
	if n := count(t, d); n != 1 || d.m.Suspects() || begun() != 0 || d.rows(message.TableDead) != 0 {
		t.Errorf("%d executions, suspects %v, %d attempts, %d dead letters", n, d.m.Suspects(), begun(), d.rows(message.TableDead))
	}
}

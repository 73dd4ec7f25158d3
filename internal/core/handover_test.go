package core

import (
	"testing"

	"github.com/semel-dev/semel/message"
)

// The shard is opened again and again in one process, each time while a suspect
// of the last one is on trial: it goes on to be tried alone, and is not
// condemned for what it did not do. When all were tried, nobody is suspect.
func TestReopeningBlamesNobody(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"send": func(s *Step, n *numbers) Result {
			s.Send(Outgoing{To: bob, Action: "count"})
			return replied(body{})
		},
	}), nil)
	again := func() (unclean bool) {
		for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
			r.epoch++
		}
		rec := d.store.recovered(0)
		if err := d.m.HandOver(&rec, nil); err != nil {
			t.Fatal(err)
		}
		m, err := New(d.cfg, d.b, d.now, rec)
		if err != nil {
			t.Fatal(err)
		}
		d.m, d.held, d.loads, d.calls = m, nil, nil, nil
		return rec.Unclean
	}
	m := keyed("send", "s", "1")
	m.To = simAgent("t", "alice")
	d.submit(new(Caller), m)
	d.commit()
	d.store.sync(len(d.store.log))
	d.crash()
	for range 2 * maxTrials {
		d.work()
		if !d.m.OnTrial() {
			t.Fatal("the suspect is not on trial")
		}
		d.commit() // the attempt
		d.store.sync(len(d.store.log))
		if !again() {
			t.Fatal("the suspect is forgotten")
		}
	}
	d.settle()
	if n := count(t, d); n != 1 || d.rows(message.TableDead) != 0 {
		t.Errorf("it ran %d times, %d dead letters", n, d.rows(message.TableDead))
	}
	if again() {
		t.Error("somebody is still suspect")
	}
}

package core

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A timer, and a delayed send, beyond the end of time keep nothing busy.
func TestTimerForever(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*Step){
		"timer": func(s *Step) { s.SetTimer("x", math.MaxInt64, "count", nil) },
		"delay": func(s *Step) { s.Send(Outgoing{To: bob, Action: "count", Delay: math.MaxInt64}) },
	} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"set": func(s *Step, n *numbers) Result { set(s); return replied(body{}) },
		}), nil)
		d.ask(keyed("set", "k", "1"))
		if n := d.m.NextTick(); n <= d.now {
			t.Errorf("%s: the next tick is at %d, now is %d", name, n, d.now)
		}
		if d.rows(message.TableTimer) != 1 || count(t, d) != 0 {
			t.Errorf("%s: it fired", name)
		}
	}
}

// A timer that is replaced by one with the same time, while its message waits,
// leaves that one its due row.
func TestTimerReplacedBySameTime(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		fired := ""
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"set": func(s *Step, n *numbers) Result {
				b := bodyOf(s.Message().Body)
				s.SetTimer("x", time.Duration(b.MS)*time.Millisecond, "fired", s.Message().Body)
				return replied(body{})
			},
			"fired": func(s *Step, n *numbers) Result {
				fired += fmt.Sprint(bodyOf(s.Message().Body).N)
				return replied(body{})
			},
			"kept": func(s *Step, n *numbers) Result { return replied(body{}) },
		}), func(c *Config) { c.CacheBytes = 1 })
		set := func(ms, n int) {
			m := keyed("set", fmt.Sprint("k", n), "")
			m.Body = body{MS: ms, N: n}.bytes()
			d.submit(new(Caller), m)
		}
		set(1000, 1)
		d.settle()
		d.now += 1e9
		env := &envelope{} // stands for a message on trial: others wait behind it
		d.m.trial.env = env
		d.m.Tick(d.now)
		d.work()
		if len(d.m.firing) != 1 || len(d.m.trial.queue) != 1 {
			t.Fatal("the timer's message does not wait")
		}
		queue := d.m.trial.queue
		d.m.trial.env, d.m.trial.queue = nil, nil
		set(0, 2) // due now, as the first
		d.work()
		for _, env := range queue {
			d.m.advance(env)
		}
		if crash {
			d.commit()
			d.store.sync(len(d.store.log))
			d.crash()
		}
		d.settle()
		if fired != "2" || d.rows(message.TableTimer)+d.rows(message.TableDue) != 0 {
			t.Errorf("crash %v: fired %q, %d timers and %d due rows left", crash, fired, d.rows(message.TableTimer), d.rows(message.TableDue))
		}
	}
}

// Many timers whose messages wait for a trial are not read again and again.
func TestDueTimersThatWait(t *testing.T) {
	t.Parallel()
	const timers = 2*timerPage + 10
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"set": func(s *Step, n *numbers) Result {
			for i := range timers {
				s.SetTimer(fmt.Sprint(i), time.Second, "count", nil)
			}
			return replied(body{})
		},
	}), nil)
	d.ask(keyed("set", "k", "1"))
	d.now += 1e9
	d.m.trial.env = &envelope{}
	for range 10 {
		d.m.Tick(d.now)
		d.work()
	}
	if len(d.m.trial.queue) != timerPage || d.m.NextTick() <= d.now {
		t.Errorf("%d wait; the next tick is at %d, now is %d", len(d.m.trial.queue), d.m.NextTick(), d.now)
	}
	queue := d.m.trial.queue
	d.m.trial.env, d.m.trial.queue = nil, nil
	for _, env := range queue {
		d.m.advance(env)
	}
	d.settle()
	if n := count(t, d); n != timers || d.rows(message.TableDue) != 0 {
		t.Errorf("%d of %d fired", n, timers)
	}
}

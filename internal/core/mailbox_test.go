package core

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A hold "for ever" holds, and the machine has nothing to do meanwhile.
func TestHoldForever(t *testing.T) {
	t.Parallel()
	for _, long := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, 1 << 62} {
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"forever": func(s *Step, n *numbers) Result { s.Hold("token", long); return replied(body{}) },
		}), nil)
		d.ask(keyed("forever", "f", "1"))
		d.submit(new(Caller), keyed("count", "k", "1"))
		d.settle()
		d.crash()
		d.now += message.Time(365 * 24 * time.Hour)
		d.submit(new(Caller), keyed("count", "k", "1"))
		d.settle()
		if n := count(t, d); n != 0 {
			t.Errorf("a held agent consumed %d messages", n)
		}
	}
}

// A parked message that bears the token of a hold passes it, wherever it
// stands; the others keep their order, and nothing runs twice or is lost.
func TestParkedTokensPassAHold(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		var ran []string
		note := func(name string, then func(*Step)) func(*Step, *numbers) Result {
			return func(s *Step, n *numbers) Result {
				ran = append(ran, name+string(s.Message().Body))
				then(s)
				return replied(body{})
			}
		}
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"prepare": note("prepare", func(s *Step) { s.Hold("T", time.Hour) }),
			"passes":  note("passes", func(*Step) {}),
			"other":   note("other", func(*Step) {}),
			"abort":   note("abort", func(s *Step) { s.Release() }),
		}), nil)
		d.ask(keyed("hold", "h", "1"))
		park := func(action, key, token string) {
			m := keyed(action, key, key)
			m.Token = token
			d.submit(&Caller{Accept: true}, m)
		}
		park("other", "1", "")
		park("prepare", "2", "T")
		park("other", "3", "")
		park("passes", "4", "T")
		park("other", "5", "U")
		park("passes", "6", "T")
		d.settle()
		if crash {
			d.crash()
		}
		release := keyed("release", "r", "1")
		release.Token = "token"
		d.ask(release)
		if want := []string{"other1", "prepare2", "passes4", "passes6"}; !slices.Equal(ran, want) {
			t.Fatalf("crash %v: ran %v, want %v", crash, ran, want)
		}
		if crash {
			d.crash() // the gaps are known
			d.settle()
		}
		park("other", "7", "")
		park("abort", "8", "T")
		d.settle()
		if want := []string{"other1", "prepare2", "passes4", "passes6", "abort8", "other3", "other5", "other7"}; !slices.Equal(ran, want) {
			t.Errorf("crash %v: ran %v, want %v", crash, ran, want)
		}
		if n := d.rows(message.TableMailbox) + d.rows(message.TableControl); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	}
}

// Of a mailbox that outgrew memory, the first messages can pass, and no other.
func TestParkedTokensInALongMailbox(t *testing.T) {
	t.Parallel()
	const waiting = 3 * mailWindow
	for _, crash := range []bool{false, true} {
		last, passed := -1, 0
		d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
			"next": func(s *Step, n *numbers) Result {
				if b := bodyOf(s.Message().Body); s.Message().Token == "" {
					if b.N < last {
						t.Errorf("%d after %d", b.N, last)
					}
					last = b.N
				} else {
					passed++
				}
				n.add("n", 1)
				return replied(body{})
			},
			"prepare": func(s *Step, n *numbers) Result { s.Hold("T", time.Hour); return replied(body{}) },
		}), nil)
		d.ask(keyed("hold", "h", "1"))
		d.submit(&Caller{Accept: true}, keyed("prepare", "p", "1"))
		for i := range waiting {
			m := keyed("next", fmt.Sprint(i), "1")
			m.Body = body{N: i}.bytes()
			if i%2 == 1 {
				m.Token = "T"
			}
			d.submit(&Caller{Accept: true}, m)
		}
		d.settle()
		d.now += message.Time(2 * time.Minute) // the first hold ends
		d.settle()
		if passed != mailWindow/2 || last != -1 {
			t.Errorf("%d passed, want %d; the last of the others is %d", passed, mailWindow/2, last)
		}
		if crash {
			d.crash()
			d.settle()
		}
		d.now += message.Time(2 * time.Hour)
		d.settle()
		if n := count(t, d); n != waiting || d.rows(message.TableMailbox)+d.rows(message.TableControl) != 0 {
			t.Errorf("crash %v: %d of %d consumed, %d rows left", crash, n, waiting, d.rows(message.TableMailbox))
		}
	}
}

// FAULTS 30: a retry that a session with a clock far ahead planned waits no
// longer than a backoff.
func TestRetryFromTheFuture(t *testing.T) {
	t.Parallel()
	fails := true
	d := newSingle(t, testBehavior(map[string]func(*Step, *numbers) Result{
		"flaky": func(s *Step, n *numbers) Result {
			if fails {
				return failed(errors.New("broken"))
			}
			return replied(body{})
		},
	}), nil)
	d.ask(keyed("count", "x", "1"))
	right := d.now
	d.now += message.Time(365 * 24 * time.Hour)
	d.open(false)
	d.submit(&Caller{Accept: true}, keyed("flaky", "k", "1"))
	d.m.Tick(d.now)
	d.work()
	d.commit()
	d.sync()
	fails = false
	d.now = right + message.Time(time.Hour)
	d.open(false)
	c := d.submit(new(Caller), keyed("count", "y", "1"))
	d.settle()
	d.now += message.Time(2 * time.Second)
	d.settle()
	if _, ok := d.answers[c]; !ok {
		t.Error("the agent waits for a retry whose backoff is at most a second")
	}
}

// An agent that was only held when the shard was opened is forgotten when it
// is free.
func TestFreedAgentIsForgotten(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("hold", "h", "1"))
	d.crash()
	d.settle()
	d.now += message.Time(2 * time.Minute)
	d.settle()
	if len(d.m.cells) != 0 {
		t.Errorf("%d cells", len(d.m.cells))
	}
	d.ask(keyed("count", "k", "1"))
	if n := count(t, d); n != 1 {
		t.Errorf("%d executions", n)
	}
}

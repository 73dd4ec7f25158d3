package semeltest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel"
)

// TB is what is used of a *testing.T. With anything else that has these
// methods, programs run in real time, unless it has a method T that returns
// the *testing.T it stands for.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// bubbleOf is the test in whose bubbles the cases run; nil for real time.
func bubbleOf(tb TB) *testing.T {
	switch t := tb.(type) {
	case *testing.T:
		return t
	case interface{ T() *testing.T }:
		return t.T()
	}
	return nil
}

// Option is a choice made for EveryCrash, Duplicate or Reorder.
type Option func(*options)

type options struct {
	config    semel.Config
	settle    time.Duration
	volatile  map[string]bool
	limit     int
	only      int
	realTime  bool
	elsewhere []string        // effects that need not reach a World
	hangs     time.Duration   // not 0: instead of what hang says
	effects   map[string]bool // whose functions reached a World when nothing went wrong
}

// Config sets the configuration that each App is opened with. Fatal is the
// kit's own, and so are waits between attempts that are not set: 1 ms to 1 s,
// and a retention that is not set: longer than a case lasts, for a call that
// is repeated after it would run again.
func Config(cfg semel.Config) Option { return func(o *options) { o.config = cfg } }

// Settle is how long, after the last call, the program's timers and delayed
// messages are given, before it is judged: 1 minute if it is not set. In a
// bubble an hour costs each case about 50 ms. In real time it is not waited for;
// only what is under way is.
func Settle(d time.Duration) Option { return func(o *options) { o.settle = d } }

// Volatile names fields, at any depth of the JSON of states, replies and
// requests to the outside, whose values may differ between two runs.
func Volatile(fields ...string) Option {
	return func(o *options) {
		for _, f := range fields {
			o.volatile[f] = true
		}
	}
}

// Limit bounds the cases that are run; 0 means the default: 1000 of EveryCrash,
// which are spread evenly over all there are if there are more, and 20 of
// Duplicate and of Reorder. EveryCrash runs as many again with a second crash.
func Limit(cases int) Option { return func(o *options) { o.limit = cases } }

// Only runs only one case, by its number; 0 means all. See OnlyVar too.
func Only(n int) Option { return func(o *options) { o.only = n } }

// Elsewhere names effects whose functions reach something else than the World.
// What happens around their calls is not tested. Of any other effect that is
// called and reaches no service of the World, that is reported: it is most
// likely meant to.
func Elsewhere(effects ...string) Option {
	return func(o *options) { o.elsewhere = append(o.elsewhere, effects...) }
}

// RealTime runs the program with the machine's clock, not in a bubble: for one
// that needs the network, or goroutines that live longer than a case. Waits
// then take their time, so give its effects short timeouts (semel.Timeout), and
// what goes on at once comes in any order.
func RealTime() Option { return func(o *options) { o.realTime = true } }

func newOptions(opts []Option, k kind, limit int) (o *options, skip bool, err error) {
	o = &options{settle: time.Minute, volatile: make(map[string]bool)}
	if o.only, skip, err = onlyCase(k); skip || err != nil {
		return o, skip, err
	}
	for _, set := range opts {
		set(o)
	}
	if o.limit == 0 {
		o.limit = limit
	}
	switch {
	case o.limit < 0:
		return o, false, fmt.Errorf("Limit(%d) runs no case", o.limit)
	case o.only < 0:
		return o, false, fmt.Errorf("Only(%d) names no case: the first is 1", o.only)
	case o.settle <= 0:
		return o, false, errors.New("Settle gives no time to what the calls cause")
	}
	if o.config.BackoffBase == 0 && o.config.BackoffMax == 0 {
		o.config.BackoffBase, o.config.BackoffMax = time.Millisecond, time.Second
	}
	if o.config.Retention == 0 {
		o.config.Retention = 24*time.Hour + 10*o.settle
	}
	return o, false, nil
}

// hang is how long, by the machine's clock, a case in a bubble may do nothing
// that the kit sees. An hour of the bubble's takes 50 ms, or on a busy machine a
// few times that.
func (o *options) hang() time.Duration {
	if o.hangs != 0 {
		return o.hangs
	}
	return time.Minute + o.patience()/600
}

// patience bounds what only a mistake keeps waiting: a call, an end.
func (o *options) patience() time.Duration {
	if o.realTime {
		return 2 * time.Minute
	}
	return o.settle + time.Hour
}

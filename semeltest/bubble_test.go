package semeltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
)

// two asks for two effects in one step, whose function is call.
func two(r *Run, call semel.EffectFunc[int64, bool], opts ...semel.EffectOption) {
	pay := semel.NewEffect(r.App, "pay", call, opts...)
	both := semel.On(semel.NewAgent[int64](r.App, "sum"), "both", func(sum *int64, s *semel.Step, n int64) (int64, error) {
		pay.Run(s, n)
		pay.Run(s, n+1)
		*sum += n
		return *sum, nil
	})
	r.Call(both.Request("s", 5, semel.Key("k")))
}

func passes(t *testing.T, w Workload) {
	t.Helper()
	t.Parallel()
	EveryCrash(t, w)
	Duplicate(t, w, Limit(5))
	Reorder(t, w, Limit(5))
}

// Two effects at once may find the provider busy.
func TestAProviderTakesItsTime(t *testing.T) {
	passes(t, func(r *Run) {
		bank := r.World.Service("bank", Deduplicates)
		two(r, Effect(bank, func(int64) (bool, error) {
			time.Sleep(50 * time.Millisecond)
			return true, nil
		}), semel.Keyed)
	})
}

// A provider may use another one, which may use the first.
func TestAProviderCallsAnother(t *testing.T) {
	passes(t, func(r *Run) {
		bank, rates := r.World.Service("bank", Deduplicates), r.World.Service("rates", Deduplicates)
		two(r, func(ctx context.Context, call semel.EffectCall, n int64) (bool, error) {
			return Call(ctx, bank, call.Key, n, func() (bool, error) {
				return Call(ctx, rates, call.Key, n, func() (bool, error) {
					return Call(ctx, bank, call.Key+"/fee", 1, func() (bool, error) { return true, nil })
				})
			})
		}, semel.Keyed)
	})
}

// A repetition that comes while the provider is at it waits, and is answered as
// the first; no longer than its caller does.
func TestARepetitionWaits(t *testing.T) {
	t.Parallel()
	bank := NewWorld().Service("bank", Deduplicates)
	began, goOn := make(chan bool), make(chan bool)
	did := 0
	slow := func() (int, error) {
		close(began)
		<-goOn
		did++
		return did, nil
	}
	var all sync.WaitGroup
	pay := func() {
		if n, err := Call(t.Context(), bank, "k", 5, slow); n != 1 || err != nil {
			t.Errorf("the answer is %d, %v", n, err)
		}
	}
	all.Go(pay)
	<-began
	ended, end := context.WithCancel(t.Context())
	waits := &stepping{Context: ended, asked: make(chan bool, 3)}
	all.Go(func() {
		if _, err := Call(waits, bank, "k", 5, slow); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that gives up is told %v", err)
		}
	})
	<-waits.asked
	end()
	all.Go(pay)
	close(goOn)
	all.Wait()
	if bank.Happened("k") != 1 {
		t.Errorf("it happened %d times", bank.Happened("k"))
	}
}

// stepping is a context that tells when somebody waits for it.
type stepping struct {
	context.Context
	asked chan bool
}

func (s *stepping) Done() <-chan struct{} {
	s.asked <- true
	return s.Context.Done()
}

// A mutex around a call stops the bubble for ever, and no test binary: the kit
// gives up, and says what it is and where.
func TestAMutexAroundACall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var released atomic.Bool
	r := &said{t: t}
	EveryCrash(r, func(run *Run) {
		bank := run.World.Service("bank", Deduplicates)
		two(run, func(ctx context.Context, call semel.EffectCall, n int64) (bool, error) {
			mu.Lock()
			defer func() {
				if !released.Load() {
					mu.Unlock()
				}
			}()
			return Call(ctx, bank, call.Key, n, func() (bool, error) { return true, nil })
		}, semel.Keyed)
	}, func(o *options) { o.hangs = time.Second })
	for _, want := range []string{"nothing has moved for 1s", "a sync.Mutex is held around semeltest.Call", "[sync.Mutex.Lock", "bubble_test.go:"} {
		if !strings.Contains(r.errors, want) {
			t.Errorf("the kit said nothing of %q:\n%s", want, r.errors)
		}
	}
	released.Store(true) // lets the two go, so that nothing is left behind
	mu.TryLock()
	mu.Unlock()
}

// An effect's function that does not look at its context ends later than its
// life, and that is no matter.
func TestAnEffectThatEndsLate(t *testing.T) {
	t.Parallel()
	EveryCrash(t, func(r *Run) {
		bank := r.World.Service("bank", Deduplicates)
		two(r, func(ctx context.Context, call semel.EffectCall, n int64) (bool, error) {
			for range 3 {
				time.Sleep(9 * time.Second)
			}
			ok, err := Call(ctx, bank, call.Key, n, func() (bool, error) { return true, nil })
			for range 3 {
				time.Sleep(40 * time.Second)
			}
			return ok, err
		}, semel.Keyed, semel.Timeout(time.Hour))
	}, Limit(8))
}

// One that never ends fails its case, and no more.
func TestAnEffectThatNeverEnds(t *testing.T) {
	t.Parallel()
	r := &said{t: t}
	EveryCrash(r, func(run *Run) {
		bank := run.World.Service("bank", Deduplicates)
		two(run, func(ctx context.Context, call semel.EffectCall, n int64) (bool, error) {
			ok, err := Call(ctx, bank, call.Key, n, func() (bool, error) { return true, nil })
			if err != nil {
				forEver()
			}
			return ok, err
		}, semel.Keyed)
	}, Limit(8))
	for _, want := range []string{"did not end although its life was over", "an effect's function must return then", `effect "pay"`} {
		if !strings.Contains(r.errors, want) {
			t.Errorf("the kit said nothing of %q:\n%s", want, r.errors)
		}
	}
}

// forEver is the one goroutine that the tests leave behind: see TestMain.
func forEver() { select {} }

// said keeps what the kit says of a test.
type said struct {
	t            *testing.T
	errors, logs string
}

func (s *said) T() *testing.T { return s.t }
func (s *said) Helper()       {}
func (s *said) Name() string  { return s.t.Name() }

func (s *said) Errorf(form string, args ...any) { s.errors += fmt.Sprintf(form, args...) + "\n" }
func (s *said) Logf(form string, args ...any)   { s.logs += fmt.Sprintf(form, args...) + "\n" }

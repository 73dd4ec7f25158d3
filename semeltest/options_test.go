package semeltest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// Only runs one case, which fails as it did among the others.
func TestOnly(t *testing.T) {
	r := record(t)
	semeltest.EveryCrash(r, shopWith(forgetfulBank, semel.Keyed))
	if len(r.errors) == 0 {
		t.Fatal("nothing was found")
	}
	first := r.errors[0]
	_, rerun, _ := strings.Cut(first, semeltest.OnlyVar+"=")
	n, _, _ := strings.Cut(rerun, " ")
	t.Setenv(semeltest.OnlyVar, n)
	r = record(t)
	semeltest.EveryCrash(r, shopWith(forgetfulBank, semel.Keyed))
	if len(r.errors) != 1 || r.errors[0] != first {
		t.Errorf("%s=%s said %q, and at first it was %q", semeltest.OnlyVar, n, r.errors, first)
	}
	t.Setenv(semeltest.OnlyVar, "crash:1")
	r = record(t)
	semeltest.EveryCrash(r, shopWith(forgetfulBank, semel.Keyed))
	if !strings.Contains(strings.Join(r.logs, " "), "ran 1 of the ") {
		t.Errorf("crash 1 alone said %q and %q", r.errors, r.logs)
	}
	r = record(t)
	semeltest.EveryCrash(r, shopWith(recognizingBank, semel.Keyed), semeltest.Only(1000))
	r.fails("there is no crash 1000; there are \\d+")
}

// A test may use all three functions: what a failure of one prints runs nothing
// of the others. What names no case runs none, and is no success.
func TestOnlyOfOneFunction(t *testing.T) {
	all := map[string]func(semeltest.TB, semeltest.Workload, ...semeltest.Option){
		"crash": semeltest.EveryCrash, "duplicate": semeltest.Duplicate, "reorder": semeltest.Reorder,
	}
	for _, only := range []string{"crash:7", "duplicate:18", "reorder:3"} {
		t.Setenv(semeltest.OnlyVar, only)
		for name, run := range all {
			r := record(t)
			run(r, shopWith(recognizingBank, semel.Keyed))
			want := "skipped"
			if strings.HasPrefix(only, name) {
				want = "ran 1 "
			}
			if logs := strings.Join(r.logs, " "); len(r.errors) > 0 || !strings.Contains(logs, want) {
				t.Errorf("with %s=%s, %s said %q and %q", semeltest.OnlyVar, only, name, r.errors, logs)
			}
		}
	}
	for _, only := range []string{"-1", "abc", "7", "crash", "crash:", "crash:0", "crash:-1", "crash:x", "other:1"} {
		t.Setenv(semeltest.OnlyVar, only)
		for _, run := range all {
			r := record(t)
			run(r, shopWith(recognizingBank, semel.Keyed))
			r.fails(`SEMELTEST_ONLY is ".*", which names no case`)
		}
	}
}

// What tests nothing does not pass.
func TestNothingIsTested(t *testing.T) {
	t.Parallel()
	empty := func(r *semeltest.Run) { semel.NewAgent[Books](r.App, "books") }
	aside := func(r *semeltest.Run) {
		seen := semeltest.Effect(recognizingBank(r), func(int64) (bool, error) { return true, nil })
		unseen := func(context.Context, semel.EffectCall, int64) (bool, error) { return true, nil }
		tell := semel.NewEffect(r.App, "tell", seen, semel.Keyed)
		log := semel.NewEffect(r.App, "log", unseen, semel.Keyed)
		act := semel.On(semel.NewAgent[Books](r.App, "books"), "book", func(b *Books, s *semel.Step, n int64) (int64, error) {
			tell.Run(s, n)
			log.Run(s, n)
			return b.Book(s, n)
		})
		r.Call(act.Request("all", 5, semel.Key("k")))
	}
	for _, c := range []struct {
		w    semeltest.Workload
		opt  semeltest.Option
		says string
	}{
		{empty, semeltest.Limit(0), "the workload lists no calls, so nothing is tested"},
		{aside, semeltest.Limit(0), `effect "log" was called, and its function never reached the World`},
		{shopWith(recognizingBank), semeltest.Limit(-1), `Limit\(-1\) runs no case`},
		{shopWith(recognizingBank), semeltest.Only(-1), `Only\(-1\) names no case`},
		{shopWith(recognizingBank), semeltest.Settle(0), `Settle gives no time`},
	} {
		for _, run := range []func(semeltest.TB, semeltest.Workload, ...semeltest.Option){semeltest.EveryCrash, semeltest.Duplicate, semeltest.Reorder} {
			r := record(t)
			run(r, c.w, c.opt)
			r.fails(c.says)
		}
	}
	r := record(t)
	semeltest.Duplicate(r, aside, semeltest.Limit(0), semeltest.Elsewhere("log"))
	if logs := strings.Join(r.logs, " "); len(r.errors) > 0 || !strings.Contains(logs, "ran 20 cases") {
		t.Errorf("with no limit the kit said %q and %q", r.errors, logs)
	}
}

// What a workload does wrong itself is told, not compared.
func TestWorkloadsThatAreWrong(t *testing.T) {
	t.Parallel()
	books := func(r *semeltest.Run) *semel.Action[int64, int64] {
		return semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
	}
	asked := 0
	for name, c := range map[string]struct {
		w    semeltest.Workload
		says string
	}{
		"it lists more and more calls": {func(r *semeltest.Run) {
			book := books(r)
			asked++
			for i := range asked {
				r.Call(book.Request("all", int64(i), semel.Key(strings.Repeat("k", i+1))))
			}
		}, `the workload listed 1 calls, and 2 when it was asked again`},
		"a Do fails": {func(r *semeltest.Run) {
			books(r)
			r.Do(func(context.Context) error { return errors.New("oh no") })
		}, `and yet: oh no$`},
		"a Check fails": {func(r *semeltest.Run) {
			r.Call(books(r).Request("all", 5, semel.Key("k")))
			r.Check(func(context.Context) error { return errors.New("five is too much") })
		}, `and yet: five is too much$`},
		"a call has no key": {func(r *semeltest.Run) {
			r.Call(books(r).Request("all", 5))
		}, `call 1, book of books/all: .*key_required`},
		"a call is never answered": {func(r *semeltest.Run) {
			agent := semel.NewAgent[Books](r.App, "books")
			hold := semel.On(agent, "hold", func(_ *Books, s *semel.Step, _ bool) (bool, error) {
				s.Hold("token", 1000*time.Hour)
				return true, nil
			})
			r.Call(hold.Request("all", true, semel.Key("k1")))
			r.Call(hold.Request("all", true, semel.Key("k2")))
		}, `call 2, hold of books/all \(key k2\): .*in_flight|call 2, hold of books/all \(key k2\): .*canceled`},
		"an effect is never settled": {func(r *semeltest.Run) {
			bank := r.World.Service("bank")
			probe := func(context.Context, semel.EffectCall, int64) (Receipt, error) {
				return Receipt{}, errors.New("cannot tell")
			}
			lost := func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				_, _ = semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return receipt(cents) })
				return Receipt{}, errors.New("cannot tell")
			}
			r.World.Judge(func(semeltest.Record) semel.Resolution { return semel.Resolution{} })
			NewShop(r.App, lost, semel.Probe(probe)).buy(r)
		}, `and yet: .*the resolution says nothing`},
		"an effect panics each time": {func(r *semeltest.Run) {
			bank := r.World.Service("bank")
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				_, _ = semeltest.Call(ctx, bank, call.Key, cents, func() (Receipt, error) { return Receipt{}, errors.New("oh") })
				panic("at the disco")
			}).buy(r)
		}, `effect "charge" of order/o-1 is not settled after \d+ attempts: .*panicked: at the disco`},
		"the World answers with another type than the effect": {func(r *semeltest.Run) {
			bank := r.World.Service("bank")
			NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
				_, err := semeltest.Call(ctx, bank, call.Key, cents, func() (int, error) { return 7, nil })
				return Receipt{"r"}, err
			}).buy(r)
		}, `charged of order/o-1 is a dead letter: (?s:.*)the World's answer does not decode as the effect's reply.*: use World.Judge`},
		"a state has a time that is no text": {func(r *semeltest.Run) {
			type Clock struct{ Unix int64 }
			tick := semel.On(semel.NewAgent[Clock](r.App, "clock"), "tick", func(c *Clock, s *semel.Step, _ bool) (bool, error) {
				c.Unix = s.Now().Unix()
				return true, nil
			})
			r.Call(tick.Request("c", true, semel.Key("k")))
		}, `the state of clock/c is {"Unix":\d+}, and without a crash {"Unix":\d+}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := record(t)
			semeltest.EveryCrash(r, c.w)
			r.fails(c.says)
		})
	}
}

// Keys are kept for longer than a case lasts: a call that is repeated after they
// are forgotten runs again.
func TestKeysOutliveACase(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	semeltest.Duplicate(t, func(r *semeltest.Run) {
		d := r.App.Retention()
		book := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
		r.Call(book.Request("all", 5, semel.Key("k")))
		r.Check(func(context.Context) error {
			if d < 4*day {
				return errors.New("the retention is " + d.String())
			}
			return nil
		})
	}, semeltest.Settle(day), semeltest.Limit(1))
}

// The configuration is the program's own.
func TestConfig(t *testing.T) {
	t.Parallel()
	semeltest.Duplicate(t, func(r *semeltest.Run) {
		if d := r.App.Retention(); d != time.Hour {
			r.Do(func(context.Context) error { return errors.New("the retention is " + d.String()) })
		}
		book := semel.On(semel.NewAgent[Books](r.App, "books"), "book", (*Books).Book)
		r.Call(book.Request("all", 5, semel.Key("k")))
	}, semeltest.Config(semel.Config{Retention: time.Hour}), semeltest.Limit(2))
}

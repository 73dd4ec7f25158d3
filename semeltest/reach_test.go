package semeltest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/mem"
)

// wallet is a program with every kind of point: commits, calls and probes.
func wallet(r *Run) {
	type Wallet struct{ Spent int64 }
	bank := r.World.Service("bank")
	yes := func(int64) (bool, error) { return true, nil }
	spend := semel.NewEffect(r.App, "spend", Effect(bank, yes), semel.Probe(Probe[int64, bool](bank)))
	wallets := semel.NewAgent[Wallet](r.App, "wallet")
	spent := semel.Then(wallets, "spent", func(w *Wallet, _ *semel.Step, n int64, ok semel.Result[bool]) (int64, error) {
		w.Spent += n
		return w.Spent, ok.Err()
	})
	pay := semel.On(wallets, "pay", func(_ *Wallet, s *semel.Step, n int64) (int64, error) {
		spend.Ask(s, n, spent.With(n))
		return semel.Defer[int64]()
	})
	bank.Faults(func(rec Record) Fault {
		if rec.Agent.ID == "probed" {
			return LoseReply
		}
		return NoFault
	})
	r.Call(pay.Request("mine", 5, semel.Key("k1")))
	r.Call(pay.Request("probed", 7, semel.Key("k2")))
}

func settings(t *testing.T) *options {
	t.Helper()
	o, _, err := newOptions(nil, crashes, 1)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Every crash of every run is reached: where the plan says, and with what it
// says of the data. Runs pass the same points in the same order.
func TestEveryPointIsReached(t *testing.T) {
	t.Parallel()
	k, ok := newKit(t, wallet, crashes, 1000, nil)
	if !ok {
		t.FailNow()
	}
	reached := make(map[string]int)
	for _, c := range crashesAt(k.points) {
		h := play(t, k.o, wallet, plan{crashes: []crash{c}})
		if len(h.at) != 1 || h.at[0] != c.point {
			t.Fatalf("%+v crashed at %+v, and not at %+v", c, h.at, c.point)
		}
		kind, _, _ := strings.Cut(h.at[0].describe(c), ", during")
		reached[kind]++
		for i, second := range crashesAt(h.points) {
			if testing.Short() && i%5 != 0 {
				continue
			}
			h2 := play(t, k.o, wallet, plan{crashes: []crash{c, second}})
			if len(h2.at) != 2 || h2.at[0] != h.at[0] || h2.at[1] != second.point {
				t.Fatalf("%+v and %+v crashed at %+v", c, second, h2.at)
			}
			if wrong := k.judge(h2, against{what: "without a crash", replies: true}); len(wrong) > 0 {
				t.Fatalf("%+v and %+v: %s", c, second, strings.Join(wrong, "\n"))
			}
		}
	}
	for kind, least := range map[string]int{
		"before a commit was durable":                                                      5,
		"after a commit was durable, before anybody was told":                              5,
		`before effect "spend" of wallet/mine reached the outside world`:                   1,
		`after effect "spend" of wallet/mine happened, before its result was recorded`:     1,
		`before effect "spend" of wallet/probed was probed`:                                1,
		`after effect "spend" of wallet/probed was probed, before the answer was recorded`: 1,
		`before effect "spend" of wallet/probed reached the outside world`:                 1,
		`after effect "spend" of wallet/probed happened, before its result was recorded`:   1,
	} {
		if reached[kind] < least {
			t.Errorf("%d crashes %s; want %d", reached[kind], kind, least)
		}
	}
	if t.Failed() {
		t.Log(reached)
	}
}

// What a crash loses is lost, and what it keeps is kept: of the commit that has
// the step, the step runs again after the one, and not after the other.
func TestCrashesLoseAndKeep(t *testing.T) {
	t.Parallel()
	steps := 0
	w := func(r *Run) {
		add := semel.On(semel.NewAgent[int64](r.App, "sum"), "add", func(sum *int64, _ *semel.Step, n int64) (int64, error) {
			steps++
			*sum += n
			return *sum, nil
		})
		r.Call(add.Request("s", 5, semel.Key("k")))
		r.Check(func(ctx context.Context) error {
			b, _, err := r.App.State(ctx, semel.AgentName{Type: "sum", ID: "s"})
			if err == nil && string(b) != "5" {
				err = fmt.Errorf("the sum is %s", b)
			}
			return err
		})
	}
	o := settings(t)
	commits := play(t, o, w, plan{}).points
	both := 0
	for i, p := range commits {
		var ran [2]int
		for which, keep := range []bool{false, true} {
			steps = 0
			h := play(t, o, w, plan{crashes: []crash{{p, keep}}})
			if len(h.wrong) > 0 || len(h.at) != 1 || !h.at[0].commit {
				t.Errorf("point %d, keep %v: %v at %+v", i+1, keep, h.wrong, h.at)
			}
			ran[which] = steps
		}
		if ran == [2]int{2, 1} {
			both++
		}
	}
	if both != 1 {
		t.Errorf("at %d of %d commits the step runs twice if they are lost and once if they are kept; want 1", both, len(commits))
	}
}

// A caller who is told something else after a crash is noticed. Semel never does
// that, so what he was told before is made up here.
func TestBrokenPromisesAreSeen(t *testing.T) {
	t.Parallel()
	h := &history{
		o: settings(t), disk: mem.New(), ledger: newLedger(new(options)), trace: newTrace(),
		told: map[int]answer{0: {status: message.StatusDone, body: "7"}},
	}
	synctest.Test(t, func(*testing.T) {
		h.play(func(r *Run) {
			add := semel.On(semel.NewAgent[int64](r.App, "sum"), "add", func(_ *int64, _ *semel.Step, n int64) (int64, error) { return n, nil })
			r.Call(add.Request("s", 5, semel.Key("k")))
		})
	})
	want := "call 1, add of sum/s (key k): its caller was told done 7 before the crash, and after it done 5"
	if len(h.wrong) != 1 || h.wrong[0] != want {
		t.Errorf("the kit said %q, want %q", h.wrong, want)
	}
}

// Duplicates that are told different things are noticed. Semel never does that
// either, where it remembers.
func TestDifferentAnswersAreSeen(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		var n atomic.Int64
		ask := func() (answer, error) {
			return answer{status: message.StatusDone, body: fmt.Sprint(min(n.Add(1), 2))}, nil
		}
		if _, err := repeat(3, atOnce, true, ask); err == nil || !strings.Contains(err.Error(), "delivered 3 times") {
			t.Errorf("at once %v, different answers are %v", atOnce, err)
		}
		n.Store(0)
		if _, err := repeat(3, atOnce, false, ask); err != nil || n.Load() != 3 {
			t.Errorf("at once %v, nobody remembers, and it is %v after %d", atOnce, err, n.Load())
		}
	}
}

// A limit spreads its cases over all.
func TestSampled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ all, limit int }{{1, 1}, {10, 3}, {1000, 999}, {5, 10}, {63, 20}} {
		var chosen []int
		for n := 1; n <= c.all; n++ {
			if sampled(n, c.all, c.limit) {
				chosen = append(chosen, n)
			}
		}
		if len(chosen) != min(c.all, c.limit) {
			t.Errorf("of %d cases with the limit %d, %d are chosen: %v", c.all, c.limit, len(chosen), chosen)
		}
		for i := 1; i < len(chosen); i++ {
			if gap := chosen[i] - chosen[i-1]; gap > c.all/len(chosen)+1 {
				t.Errorf("of %d cases with the limit %d, these are chosen: %v", c.all, c.limit, chosen)
			}
		}
	}
}

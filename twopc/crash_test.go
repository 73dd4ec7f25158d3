package twopc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

// purse is an agent that takes part.
type purse struct {
	Cents int64 `json:"cents"`
}

func (p *purse) Add(_ *semel.Step, cents int64) (int64, error) {
	if p.Cents+cents < 0 {
		return 0, semel.Reject("insufficient_funds", "there are %d", p.Cents).With(p.Cents)
	}
	p.Cents += cents
	return p.Cents, nil
}

func (p *purse) Look(_ *semel.Step, _ struct{}) (int64, error) { return p.Cents, nil }

// program is what the tests' programs register.
type program struct {
	co    *Coordinator
	shelf *shelf
	line  *semeltest.Service
	purse *semel.Agent[purse]
	add   *semel.Action[int64, int64]
	look  *semel.Action[struct{}, int64]
}

func newProgram(r *semeltest.Run, cfg *Config) *program {
	p := &program{
		shelf: semeltest.Kept(r.World, "shelf", newShelf),
		line:  r.World.Service("shelf", semeltest.Modelled),
		co:    New(r.App, cfg),
		purse: semel.NewAgent[purse](r.App, "purse"),
	}
	p.co.Register("shelf", reached{p.shelf, p.line})
	p.add = semel.On(p.purse, "add", (*purse).Add)
	p.look = semel.On(p.purse, "look", (*purse).Look)
	return p
}

// run lists a transaction, and what is to be on the shelf when it is committed.
func (p *program) run(r *semeltest.Run, key string, parts ...Part) {
	req, err := p.co.Request(context.Background(), key, parts)
	if err != nil {
		panic(err)
	}
	r.Call(req)
}

// after lists what must hold in the end: nothing is prepared anywhere, nothing
// is known of the transaction any more, and either all happened or nothing.
func (p *program) after(r *semeltest.Run, goods string, purses ...int64) {
	r.Check(func(ctx context.Context) error {
		kept, prepared := p.shelf.goods()
		if prepared > 0 {
			return fmt.Errorf("%d are left prepared: %v", prepared, p.shelf.log)
		}
		var errs []error
		if kept != goods {
			errs = append(errs, fmt.Errorf("on the shelf is %q, want %q: %v", kept, goods, p.shelf.log))
		}
		for i, want := range purses {
			got, _, err := p.purse.Get(ctx, fmt.Sprint("p", i))
			if err != nil && !errors.Is(err, semel.ErrUnknownAgent) || got.Cents != want {
				errs = append(errs, fmt.Errorf("purse %d has %d, want %d, %v", i, got.Cents, want, err))
			}
			// One that is prepared would keep this waiting.
			if _, err := p.look.Call(ctx, fmt.Sprint("p", i), struct{}{}, semel.Key("check")); err != nil {
				errs = append(errs, err)
			}
		}
		for e, err := range r.App.Agents(ctx, Type) {
			errs = append(errs, fmt.Errorf("%v is left, %v", e.Agent, err))
		}
		return errors.Join(errs...)
	})
}

// quick makes transactions that are forgotten within the time that the kit
// gives what the calls cause.
var quick = &Config{Keep: 5 * time.Second, CallTimeout: 2 * time.Second}

// What may differ between runs: names have the time in them, and how often
// something was tried is what crashes change.
var volatile = semeltest.Volatile("tx")

func TestAcrossAgentsAndOutside(t *testing.T) {
	t.Parallel()
	for name, w := range workloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := func(r *semeltest.Run) { w(r, newProgram(r, quick)) }
			opts := []semeltest.Option{volatile}
			if testing.Short() {
				opts = append(opts, semeltest.Limit(5))
			}
			semeltest.EveryCrash(t, plain, opts...)
			semeltest.Duplicate(t, plain, opts...)
		})
	}
}

var workloads = map[string]func(*semeltest.Run, *program){
	"two agents and one outside": func(r *semeltest.Run, p *program) {
		r.Call(p.add.Request("p0", 100, semel.Key("fill")))
		p.run(r, "k", p.co.With("shelf", put{What: "lamp"}), Do(p.add.Ref, "p1", 30), Do(p.add.Ref, "p0", -30))
		p.after(r, "lamp", 70, 30)
	},
	"three outside": func(r *semeltest.Run, p *program) {
		p.run(r, "k", p.co.With("shelf", put{What: "cup"}), p.co.With("shelf", put{What: "pan"}), p.co.With("shelf", put{What: "pot"}))
		p.after(r, "cup pan pot")
	},
	"three agents": func(r *semeltest.Run, p *program) {
		p.run(r, "k", Do(p.add.Ref, "p0", 1), Do(p.add.Ref, "p1", 2), Do(p.add.Ref, "p2", 3))
		p.after(r, "", 1, 2, 3)
	},
	"an agent says no": func(r *semeltest.Run, p *program) {
		p.run(r, "k", Do(p.add.Ref, "p0", 1), Do(p.add.Ref, "p1", -2), p.co.With("shelf", put{What: "lamp"}))
		p.after(r, "", 0, 0)
	},
	"one outside says no": func(r *semeltest.Run, p *program) {
		p.run(r, "k", Do(p.add.Ref, "p0", 1), p.co.With("shelf", put{What: "lamp"}), p.co.With("shelf", put{No: "full"}))
		p.after(r, "", 0)
	},
	"a consistent read": func(r *semeltest.Run, p *program) {
		p.run(r, "k", Do(p.look.Ref, "p0", struct{}{}), Do(p.look.Ref, "p1", struct{}{}), p.co.With("shelf", put{ReadOnly: true}))
		p.after(r, "", 0, 0)
	},
	"one alone": func(r *semeltest.Run, p *program) {
		p.run(r, "k1", Do(p.add.Ref, "p0", 1))
		p.run(r, "k2", p.co.With("shelf", put{What: "lamp"}))
		p.run(r, "k3", Do(p.add.Ref, "p0", -9))
		p.after(r, "lamp", 1)
	},
}

// TestMatrix is every step of the protocol × a crash at every instant × a lost
// call, a lost answer, one that takes too long, or a refusal, of that step: once,
// which the effect itself repeats, and so often that the coordinator asks again.
// These are about 4,800 runs; without SEMEL_SOAK there is a sample of the crashes.
func TestMatrix(t *testing.T) {
	t.Parallel()
	opts := []semeltest.Option{volatile, semeltest.Settle(2 * time.Minute)}
	switch {
	case testing.Short():
		opts = append(opts, semeltest.Limit(1))
	case os.Getenv("SEMEL_SOAK") == "":
		opts = append(opts, semeltest.Limit(4))
	}
	for _, who := range []string{"two agents and one outside", "three outside", "one outside says no"} {
		ops := []string{opPrepare, opCommit}
		if who == "one outside says no" {
			ops[1] = opAbort
		}
		for _, op := range ops {
			for what, fault := range map[string]semeltest.Fault{
				"call": semeltest.LoseCall, "answer": semeltest.LoseReply, "slow": semeltest.TimeOut, "refused": semeltest.Refuse,
			} {
				for _, times := range []int{1, effectAttempts + 2} {
					t.Run(fmt.Sprintf("%s/%s/%s/%d", who, op, what, times), func(t *testing.T) {
						t.Parallel()
						semeltest.EveryCrash(t, faulty(workloads[who], op, fault, times), opts...)
					})
				}
			}
		}
	}
}

// faulty is a workload in which the first calls of a step go wrong, at each
// branch outside but the second, of which only the first does.
func faulty(w func(*semeltest.Run, *program), op string, fault semeltest.Fault, times int) semeltest.Workload {
	return func(r *semeltest.Run) {
		p := newProgram(r, quick)
		p.line.Faults(func(rec semeltest.Record) semeltest.Fault {
			var call struct{ Op, At string }
			if err := json.Unmarshal([]byte(rec.Bodies[0]), &call); err != nil || call.Op != op {
				return semeltest.NoFault
			}
			if n := p.shelf.gone(op + call.At); n > times || call.At == "2" && n > 1 {
				return semeltest.NoFault
			}
			return fault
		})
		w(r, p)
	}
}

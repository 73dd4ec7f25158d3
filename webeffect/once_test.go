package webeffect_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/webeffect"
)

var quiet = log.New(io.Discard, "", 0)

// FAULTS 16: one key, many callers at once, one call of the provider.
func TestOneKeyIsOneCall(t *testing.T) {
	t.Parallel()
	p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
		p.did(r.key)
		fmt.Fprintf(w, `{"receipt":%q}`, r.key)
	})
	app := open(t, nil, specs{"pay": p.spec("ask")})
	replies := make([]string, 100)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			o, err := app.Do(t.Context(), request("pay", "k", `{"cents":5}`))
			if err != nil {
				t.Error(err)
			}
			replies[i] = string(o.Reply)
		})
	}
	wg.Wait()
	for _, r := range replies {
		if r != replies[0] {
			t.Fatalf("%s and %s", r, replies[0])
		}
	}
	if calls, _, effects := p.counts(); calls != 1 || effects != 1 {
		t.Errorf("%d calls, %d effects", calls, effects)
	}
	// FAULTS 17: the same key for another request.
	if _, err := call(t, app, "pay", "k", `{"cents":6}`); !strings.Contains(fmt.Sprint(err), "idempotency_conflict") {
		t.Error(err)
	}
	if calls, _, _ := p.counts(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// One agent stands for an effect, and yet its calls run at once: none is
// answered before all have arrived. That also holds for a store with many shards.
func TestFiftyCallsAtOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	var arrived sync.WaitGroup
	arrived.Add(n)
	p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
		p.did(r.key)
		arrived.Done()
		arrived.Wait()
		_, _ = io.WriteString(w, r.body)
	})
	app := open(t, mem.New(mem.Shards(16)), specs{"pay": p.spec("at_most_once")})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			o, err := app.Do(t.Context(), request("pay", fmt.Sprint("k", i), fmt.Sprint(i)))
			if err != nil || string(o.Reply) != fmt.Sprint(i) {
				t.Errorf("call %d: %s, %v", i, o.Reply, err)
			}
		})
	}
	wg.Wait()
	if calls, _, effects := p.counts(); calls != n || effects != n || len(p.done) != n { // nobody writes it any more
		t.Errorf("%d calls, %d effects", calls, effects)
	}
}

// FAULTS 3: the process dies while a call is under way, before or after it took
// effect at the provider. The provider's own books judge.
func TestCrashDuringACall(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for _, policy := range allPolicies {
			t.Run(fmt.Sprintf("%s, took effect: %v", policy, !before), func(t *testing.T) {
				t.Parallel()
				called, crashed := make(chan struct{}), make(chan struct{})
				p := serve(t, func(p *provider, w http.ResponseWriter, r seen) {
					if strings.HasPrefix(r.path, "/probe/") {
						if !p.has(r.key) {
							w.WriteHeader(404)
						}
						_, _ = io.WriteString(w, `"paid"`)
						return
					}
					calls, _, _ := p.counts()
					if calls > 1 || !before {
						if policy != "keyed" || !p.has(r.key) { // who promises to know keys does
							p.did(r.key)
						}
					}
					if calls == 1 {
						close(called)
						<-crashed
						panic(http.ErrAbortHandler) // its answer is lost
					}
					_, _ = io.WriteString(w, `"paid"`)
				})
				disk := mem.New()
				app := open(t, disk, specs{"pay": p.spec(policy)})
				if _, err := app.Submit(t.Context(), request("pay", "k", "1")); err != nil {
					t.Fatal(err)
				}
				<-called
				disk.Crash(0)
				close(crashed)

				app = open(t, disk, specs{"pay": p.spec(policy)})
				o, err := call(t, app, "pay", "k", "1")
				checkAfterCrash(t, app, p, policy, before, o, err)
			})
		}
	}
}

func checkAfterCrash(t *testing.T, app *semel.App, p *provider, policy string, before bool, o semel.Outcome, err error) {
	t.Helper()
	heard := p.heard()
	calls, _, effects := p.counts()
	for _, c := range heard {
		if c.key != heard[0].key {
			t.Errorf("the keys are %q and %q", heard[0].key, c.key)
		}
	}
	taken := 1 // effects, before anything is done about it
	if before {
		taken = 0
	}
	switch policy {
	case "at_most_once":
		wantError(t, err, semel.ErrOutcomeUnknown)
		if calls != 1 || effects != taken {
			t.Errorf("%d calls, %d effects", calls, effects)
		}
		return
	case "ask":
		wantError(t, err, semel.ErrInDoubt)
		d := doubts(t, app)
		if len(d) != 1 || d[0].Effect != "pay" || d[0].ID.String() != heard[0].key || d[0].Agent.Type != webeffect.AgentType || calls != 1 || effects != taken {
			t.Fatalf("%+v; %d calls, %d effects", d, calls, effects)
		}
		resolve(t, app, p, d[0].ID, before)
		return
	case "probe":
		if calls != 2-taken || effects != 1 {
			t.Errorf("%d calls, %d effects", calls, effects)
		}
	case "keyed": // the process that lost its disk may have called again before it knew
		if calls < 2 || effects != 1 {
			t.Errorf("%d calls, %d effects", calls, effects)
		}
	case "read_only":
		if calls < 2 {
			t.Errorf("%d calls", calls)
		}
	}
	if err != nil || string(o.Reply) != `"paid"` {
		t.Errorf("%s, %v", o.Reply, err)
	}
}

// resolve lets a person who looked into the provider's books settle the doubt.
func resolve(t *testing.T, app *semel.App, p *provider, id semel.ID, before bool) {
	t.Helper()
	r := semel.ResolveDone("seen")
	want := `"seen"`
	if before {
		r, want = semel.ResolveNotDone(), `"paid"`
	}
	for {
		doubt, err := app.Doubt(t.Context(), id)
		if err == nil {
			_, err = app.Resolve(t.Context(), id, r.About(doubt), "ann")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, semel.ErrTooEarly) { // else the first call may still arrive
			t.Fatal(err)
		}
	}
	o, err := call(t, app, "pay", "k", "1")
	for strings.Contains(fmt.Sprint(err), "in_doubt") { // until the call is made again
		o, err = call(t, app, "pay", "k", "1")
	}
	if err != nil || string(o.Reply) != want {
		t.Errorf("%s, %v", o.Reply, err)
	}
	if _, _, effects := p.counts(); effects != 1 {
		t.Errorf("%d effects", effects)
	}
}

// A rejection survives a restart byte for byte.
func TestRejectionIsRecorded(t *testing.T) {
	t.Parallel()
	p := serve(t, func(_ *provider, w http.ResponseWriter, _ seen) {
		w.WriteHeader(402)
		_, _ = io.WriteString(w, ` {"b": 1.00,"a":"\u0041"} `)
	})
	disk := mem.New()
	app := open(t, disk, specs{"pay": p.spec("ask")})
	_, first := call(t, app, "pay", "k", "1")
	disk.Crash(1 << 30)
	app = open(t, disk, specs{"pay": p.spec("ask")})
	o, second := call(t, app, "pay", "k", "1")
	want := `{"status":402,"body": {"b": 1.00,"a":"\u0041"} }`
	a, b := rejection(t, first, webeffect.CodeRejected), rejection(t, second, webeffect.CodeRejected)
	if string(a.Data) != want || string(b.Data) != want || a.Detail != b.Detail || !o.Replayed {
		t.Errorf("%+v, %+v", a, b)
	}
	recorded, err := app.Outcome(t.Context(), semel.AgentName{Type: webeffect.AgentType, ID: "pay"}, "k")
	if err != nil || string(recorded.Data) != want {
		t.Errorf("%+v, %v", recorded, err)
	}
	if calls, _, _ := p.counts(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

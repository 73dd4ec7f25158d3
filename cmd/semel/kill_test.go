package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// acked is a call that was answered.
type acked struct {
	path, key, body string
	status          int
	reply           string
}

// The server is killed again and again under clients that retry with the same
// key. Afterwards every answer that was given is given again, byte for byte,
// and the balances are what the answers say. SEMEL_KILLS sets how often.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("SEMEL_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("SEMEL_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d; repeat with SEMEL_SEED=%[1]d SEMEL_KILLS=%d", seed, kills)
	const clients, accounts, firstBalance = 16, 8, 1000

	dir := t.TempDir()
	var current atomic.Pointer[process]
	current.Store(start(t, dir))
	for i := range accounts {
		current.Load().mustPost(fmt.Sprintf("account/a%d/open", i), "open", fmt.Sprintf(`{"cents":%d}`, firstBalance))
	}
	var (
		wg      sync.WaitGroup
		stop    = make(chan struct{})
		results [clients][]acked
		total   atomic.Int64
	)
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				a := acked{key: fmt.Sprintf("c%d-%d", c, n), path: fmt.Sprintf("account/a%d/", rng.IntN(accounts))}
				cents := 1 + rng.IntN(200)
				switch rng.IntN(3) {
				case 0:
					a.path, a.body = a.path+"credit", fmt.Sprintf(`{"cents":%d}`, cents)
				case 1:
					a.path, a.body = a.path+"debit", fmt.Sprintf(`{"cents":%d}`, cents)
				default:
					a.path, a.body = a.path+"transfer", fmt.Sprintf(`{"cents":%d,"to":"a%d"}`, cents, rng.IntN(accounts))
				}
				// Not before an answer: what is not acknowledged may have happened.
				for a.status != http.StatusOK && a.status != http.StatusUnprocessableEntity {
					var err error
					if a.status, a.reply, _, err = current.Load().post(a.path, a.key, a.body); err != nil {
						a.status = 0
						time.Sleep(time.Millisecond) // a client's backoff, not a wait for something
					}
				}
				results[c] = append(results[c], a)
				total.Add(1)
			}
		})
	}
	for k := range kills {
		// At a random moment of the work, which the number of answers measures.
		at := total.Load() + 20 + int64(rand.N(200))
		for deadline := time.Now().Add(30 * time.Second); total.Load() < at; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no progress after %d kills: %s", k, current.Load().stderr)
			}
		}
		p := current.Load()
		p.signal(syscall.SIGKILL)
		p.wait()
		current.Store(start(t, dir))
	}
	close(stop)
	wg.Wait()

	p := current.Load()
	want := int64(accounts * firstBalance)
	answers := 0
	for _, list := range results {
		for _, a := range list {
			answers++
			status, reply, replayed, err := p.post(a.path, a.key, a.body)
			if status != a.status || reply != a.reply || !replayed {
				t.Fatalf("%s %s: at first %d %s\nnow %d %s, replayed %v, %v", a.path, a.key, a.status, a.reply, status, reply, replayed, err)
			}
			if a.status != http.StatusOK {
				continue
			}
			var in struct {
				Cents int64
				To    string
			}
			if err := json.Unmarshal([]byte(a.body), &in); err != nil {
				t.Fatal(err)
			}
			switch {
			case in.To != "": // changes no total
			case a.path[len(a.path)-5:] == "debit":
				want -= in.Cents
			default:
				want += in.Cents
			}
		}
	}
	var got int64
	for i := range accounts {
		res, err := p.client.Get(fmt.Sprintf("%s/v1/agents/account/a%d", p.url, i))
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			State struct{ Cents, Pending int64 }
		}
		err = json.NewDecoder(res.Body).Decode(&body)
		_ = res.Body.Close()
		if err != nil || body.State.Pending != 0 {
			t.Errorf("account a%d: %+v, %v", i, body, err)
		}
		got += body.State.Cents
	}
	if got != want {
		t.Errorf("the balances are %d in all; the answers say %d", got, want)
	}
	t.Logf("%d answers, %d kills", answers, kills)
}

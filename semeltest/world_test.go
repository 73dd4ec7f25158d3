package semeltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

func yes() (string, error) { return "yes", nil }

// Each fault gives its caller what it says, and leaves in the books what it
// says.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault    semeltest.Fault
		kind     semel.Kind
		happened int
	}{
		{semeltest.NoFault, 0, 1},
		{semeltest.LoseReply, semel.KindUnknown, 1},
		{semeltest.LoseCall, semel.KindUnknown, 0},
		{semeltest.Refuse, semel.KindNotDone, 0},
		{semeltest.TimeOut, semel.KindUnknown, 1},
	} {
		bank := semeltest.NewWorld().Service("bank")
		bank.Faults(func(semeltest.Record) semeltest.Fault { return c.fault })
		ctx, cancel := context.WithCancel(t.Context())
		did := func() (string, error) {
			if c.fault == semeltest.TimeOut {
				cancel() // the deadline passes while the bank is at it
			}
			return yes()
		}
		_, err := semeltest.Call(ctx, bank, "k", 5, did)
		cancel()
		if semel.KindOf(err) != c.kind || bank.Happened("k") != c.happened || bank.Count() != c.happened {
			t.Errorf("fault %d: %v, and it happened %d times", c.fault, err, bank.Happened("k"))
		}
		if c.fault == semeltest.TimeOut && !errors.Is(err, context.Canceled) {
			t.Errorf("a timeout is told as %v", err)
		}
		if _, err := semeltest.Find[string](t.Context(), bank, "k"); (err == nil) != (c.happened == 1) {
			t.Errorf("fault %d: a probe is told %v", c.fault, err)
		}
	}
}

// What services promise, and what the World says of it.
func TestServices(t *testing.T) {
	t.Parallel()
	world := semeltest.NewWorld()
	strict, loose := world.Service("strict", semeltest.Deduplicates), world.Service("loose")
	rates := world.Service("rates", semeltest.ChangesNothing)
	n := 0
	count := func() (int, error) { n++; return n, nil }
	for _, s := range []*semeltest.Service{strict, loose, rates} {
		var got []int
		for range 2 {
			v, err := semeltest.Call(t.Context(), s, "k", map[string]int{"cents": 5}, count)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
		if same := got[0] == got[1]; same != (s == strict) {
			t.Errorf("a call and its repetition are answered %v", got)
		}
	}
	if strict.Happened("k") != 1 || loose.Happened("k") != 2 || rates.Happened("k") != 0 || loose.Happened("other") != 0 {
		t.Errorf("they happened %d, %d and %d times", strict.Happened("k"), loose.Happened("k"), rates.Happened("k"))
	}
	if err := strict.ExactlyOnce(); err != nil {
		t.Error(err)
	}
	want := `the call with key k of service "loose" happened 2 times, with the key k`
	if err := world.AtMostOnce(); err == nil || err.Error() != want {
		t.Errorf("the World says %v, want %s", err, want)
	}
	if err := rates.ExactlyOnce(); err == nil || !strings.Contains(err.Error(), "did not happen") {
		t.Errorf("of what never happened it says %v", err)
	}
	records := world.Records()
	if len(records) != 3 || records[1].Service != "loose" || records[1].Calls != 2 || records[1].Bodies[0] != `{"cents":5}` {
		t.Errorf("the records are %+v", records)
	}
	no := semel.Reject("declined", "no")
	for range 2 { // a refusal is remembered too
		_, err := semeltest.Call(t.Context(), strict, "refused", 5, func() (string, error) { n++; return "", no })
		if semel.KindOf(err) != semel.KindRejected {
			t.Errorf("a refusal is told as %v", err)
		}
	}
	if n != 1+2+2+1 || strict.ExactlyOnce() != nil {
		t.Errorf("%d answers were made; %v", n, strict.ExactlyOnce())
	}
}

// Over HTTP a service is the same service.
func TestTransport(t *testing.T) {
	t.Parallel()
	bank := semeltest.NewWorld().Service("bank", semeltest.Deduplicates)
	served := 0
	client := &http.Client{Transport: bank.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodGet && bank.Happened(r.URL.Query().Get("key")) == 0:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet:
		case string(body) == "no":
			http.Error(w, "declined", http.StatusPaymentRequired)
		case string(body) == "oh":
			w.WriteHeader(http.StatusBadGateway)
		default:
			served++
			w.Header().Set("Served", fmt.Sprint(served))
			fmt.Fprintf(w, "paid %s", body)
		}
	}))}
	send := func(method, key, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://bank.example/?key="+key, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(semeltest.KeyHeader, key)
		resp, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Served"), " ", string(b)))
	}
	for _, c := range []struct{ method, key, body, want string }{
		{"GET", "a", "", "404"},
		{"POST", "a", "5", "200 1 paid 5"},
		{"POST", "a", "5", "200 1 paid 5"},
		{"GET", "a", "", "200"},
		{"POST", "b", "no", "402  declined"},
		{"POST", "b", "no", "402  declined"},
		{"POST", "c", "oh", "502"},
	} {
		if got := send(c.method, c.key, c.body); got != c.want {
			t.Errorf("%s %s %s is answered %q, want %q", c.method, c.key, c.body, got, c.want)
		}
	}
	if served != 1 || bank.Count() != 1 || bank.Happened("a") != 1 {
		t.Errorf("the bank served %d, and did %d", served, bank.Count())
	}
	bank.Faults(func(semeltest.Record) semeltest.Fault { return semeltest.LoseReply })
	if got := send("POST", "d", "7"); !strings.Contains(got, "the connection broke") || bank.Happened("d") != 1 {
		t.Errorf("a lost answer is %q", got)
	}
}

// A doubt is settled as the workload says, if it says so.
func TestJudge(t *testing.T) {
	t.Parallel()
	judged := 0
	w := func(r *semeltest.Run) {
		bank := r.World.Service("bank")
		shop := NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
			id, err := semeltest.Call(ctx, bank, call.Key, cents, func() (int, error) { return 7, nil })
			return Receipt{fmt.Sprint("r-", id)}, err
		}, semel.Ask)
		r.World.Judge(func(rec semeltest.Record) semel.Resolution {
			judged++
			if rec.Happened == 0 {
				return semel.ResolveNotDone()
			}
			return semel.ResolveDone(Receipt{"r-7"})
		})
		r.Call(shop.Place.Request("o-1", 500, semel.Key("k1")))
	}
	semeltest.EveryCrash(t, w)
	if judged == 0 {
		t.Error("nothing was ever in doubt")
	}
}

// With the machine's clock the kit finds the same.
func TestRealTime(t *testing.T) {
	t.Parallel()
	semeltest.EveryCrash(t, shopWith(recognizingBank, semel.Keyed), semeltest.RealTime())
	semeltest.Duplicate(t, shopWith(recognizingBank, semel.Keyed), semeltest.RealTime(), semeltest.Limit(5))
	r := record(t)
	semeltest.EveryCrash(r, shopWith(forgetfulBank, semel.Keyed), semeltest.RealTime())
	r.fails(`effect "charge" of order/o-1 at service "bank" happened 2 times`)
}

// A key is for one request, and no key is none.
func TestKeys(t *testing.T) {
	t.Parallel()
	bank := semeltest.NewWorld().Service("bank", semeltest.Deduplicates)
	for range 2 {
		if _, err := semeltest.Call(t.Context(), bank, "", 5, yes); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := semeltest.Find[string](t.Context(), bank, ""); bank.Count() != 2 || semel.KindOf(err) != semel.KindNotDone {
		t.Errorf("two calls without a key happened %d times, and a probe is told %v", bank.Count(), err)
	}
	if r := bank.Records()[0]; len(r.Keys) != 0 {
		t.Errorf("they came with the keys %q", r.Keys)
	}
	pay := func(key string, cents int) error {
		_, err := semeltest.Call(t.Context(), bank, key, cents, yes)
		return err
	}
	if err := errors.Join(pay("a", 5), pay("a", 5), pay("b", 5)); err != nil {
		t.Error(err)
	}
	if err := pay("a", 6); semel.KindOf(err) != semel.KindRejected || !strings.Contains(err.Error(), "the key a was used for another request") {
		t.Errorf("a key that comes with another request is answered %v", err)
	}
	client := &http.Client{Transport: bank.Transport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
	send := func(method, path string) error {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://bank.example/"+path, strings.NewReader("5"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(semeltest.KeyHeader, "c")
		resp, err := client.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if err := errors.Join(send("POST", "pay"), send("POST", "pay")); err != nil {
		t.Error(err)
	}
	if send("PUT", "pay") == nil || send("POST", "refund") == nil {
		t.Error("a request of another method, or to another address, is answered as the one that the key is of")
	}
	if bank.Happened("a") != 1 || bank.Happened("b") != 1 || bank.Happened("c") != 1 || bank.Happened("") != 2 {
		t.Errorf("they happened %d, %d, %d and %d times", bank.Happened("a"), bank.Happened("b"), bank.Happened("c"), bank.Happened(""))
	}
}

// How often something happened is counted by its key, also if one effect uses
// several.
func TestHappenedIsOfAKey(t *testing.T) {
	t.Parallel()
	semeltest.EveryCrash(t, func(r *semeltest.Run) {
		bank := recognizingBank(r)
		NewShop(r.App, func(ctx context.Context, call semel.EffectCall, cents int64) (Receipt, error) {
			if _, err := semeltest.Call(ctx, bank, call.Agent.ID+"/authorize", cents, yes); err != nil {
				return Receipt{}, err
			}
			return semeltest.Call(ctx, bank, call.Agent.ID+"/capture", cents, func() (Receipt, error) { return receipt(cents) })
		}, semel.Keyed).buy(r)
		r.Check(func(context.Context) error {
			if a, c := bank.Happened("o-1/authorize"), bank.Happened("o-1/capture"); a != 1 || c != 1 {
				return fmt.Errorf("it was authorized %d times and captured %d times", a, c)
			}
			return nil
		})
	}, semeltest.Limit(5))
}

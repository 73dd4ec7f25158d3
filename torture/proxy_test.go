package torture

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// The network does all that it should not, about as often as it was told, and
// when it is calm nothing of the kind.
func TestProxyFates(t *testing.T) {
	t.Parallel()
	p := &proxy{proxyConfig: proxyConfig{LostReplies: 10}, rng: rand.New(rand.NewPCG(1, 1))}
	seen := make(map[string]int)
	const n = 20_000
	for range n {
		what, _ := p.fate()
		seen[what]++
	}
	for what, percent := range map[string]float64{check.FaultLostReply: 10, check.FaultCut: cutRate, check.FaultDelay: delayRate, check.FaultDuplicate: duplicateRate} {
		if got := 100 * float64(seen[what]) / n; got < percent/2 || got > percent*2 {
			t.Errorf("%s: %.2f %% instead of %.2f", what, got, percent)
		}
	}
	p.calm.Store(true)
	for range n {
		if what, wait := p.fate(); what != "" || wait != 0 {
			t.Fatalf("a calm network does %s", what)
		}
	}
}

// A lost reply has arrived at the server, and a server that is gone is a broken
// connection: the client hears of neither.
func TestProxyLosesReplies(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		w.Header().Set("Idempotent-Replayed", r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	rec, err := newRecorder(filepath.Join(t.TempDir(), "proxy.jsonl"), time.Now().UnixNano())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{proxyConfig: proxyConfig{Targets: []string{server.URL}, LostReplies: 100}, rec: rec, rng: rand.New(rand.NewPCG(1, 1)), client: &http.Transport{}}
	defer p.client.CloseIdleConnections()
	front := httptest.NewServer(p)
	defer front.Close()
	send := func() (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, front.URL+"/x", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "true")
		req.GetBody = nil
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return res, err
	}
	if _, err := send(); err == nil || arrived.Load() != 1 {
		t.Errorf("the reply came (%v), or the request did not arrive (%d)", err, arrived.Load())
	}
	p.calm.Store(true)
	if res, err := send(); err != nil || res.StatusCode != http.StatusTeapot || res.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("through a calm network: %v, %v", res, err)
	}
	server.Close()
	if _, err := send(); err == nil {
		t.Error("a server that is gone answers")
	}
}

// What befalls a batch befalls the keys of all its calls, in one line: it is one
// fault.
func TestWhatBefallsABatch(t *testing.T) {
	t.Parallel()
	alone := httptest.NewRequest(http.MethodPost, "/v1/agents/account/a/credit", nil)
	alone.Header.Set("Idempotency-Key", `"k"`)
	if r := befell(check.FaultCut, alone, []byte(`[{"key":"a"}]`)); r.Type != check.Fault || r.Fault != check.FaultCut || r.Key != "k" || r.Keys != nil {
		t.Errorf("a call: %+v", r)
	}
	batch := httptest.NewRequest(http.MethodPost, batchPath, nil)
	if r := befell(check.FaultLostReply, batch, []byte(`[{"key":"a"},{"key":"b"}]`)); r.Key != "" || !slices.Equal(r.Keys, []string{"a", "b"}) {
		t.Errorf("a batch: %+v", r)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := func() Options { return Options{Operations: 10, Kills: 1, Clients: 1, Duplicates: 20, LostReplies: 10} }
	if o := good(); o.Check() != nil {
		t.Error(o.Check())
	}
	for name, spoil := range map[string]func(*Options){
		"--operations":       func(o *Options) { o.Operations = 0 },
		"--kills":            func(o *Options) { o.Kills = -1 },
		"--clients":          func(o *Options) { o.Clients = 0 },
		"--duplicates":       func(o *Options) { o.Duplicates = 101 },
		"--lost-replies":     func(o *Options) { o.LostReplies = 95 },
		"--duration":         func(o *Options) { o.Duration = -1 },
		"exclude each other": func(o *Options) { o.Exec, o.Target = []string{"x"}, "http://x" },
		"--kill-with":        func(o *Options) { o.KillWith = "x" },
		"is not killed":      func(o *Options) { o.Target = "http://x" },
		"--effects":          func(o *Options) { o.Policies = []string{"read_only"} },
	} {
		o := good()
		if spoil(&o); o.Check() == nil || !strings.Contains(o.Check().Error(), name) {
			t.Errorf("%s: %v", name, o.Check())
		}
	}
}

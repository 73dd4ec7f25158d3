package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func dialed(t testing.TB, h http.HandlerFunc) *client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(conn, s.Listener.Addr().String())
}

func TestTheClientSendsWhatItIsTold(t *testing.T) {
	t.Parallel()
	type seen struct{ path, key, body, contentType string }
	got := make(chan seen, 2)
	c := dialed(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.URL.Path, r.Header.Get("Idempotency-Key"), string(b), r.Header.Get("Content-Type")}
		_, _ = w.Write(b)
	})
	for _, key := range []string{"k-1", ""} { // on one connection
		if err := c.call("account", "a7", "credit", key, `{"cents":1}`); err != nil {
			t.Fatal(err)
		}
		want := seen{"/v1/agents/account/a7/credit", "", `{"cents":1}`, "application/json"}
		if key != "" {
			want.key = `"` + key + `"`
		}
		if g := <-got; g != want {
			t.Errorf("the server saw %+v, not %+v", g, want)
		}
	}
}

func TestTheClientTellsWhatItWasAnswered(t *testing.T) {
	t.Parallel()
	c := dialed(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"code":"overloaded"}`, http.StatusTooManyRequests)
	})
	err := c.call("account", "a", "credit", "k", "{}")
	if err == nil || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "overloaded") {
		t.Errorf("the error is %v", err)
	}
}

func TestABatchIsOneRequest(t *testing.T) {
	t.Parallel()
	answer := `[{"status":200,"replayed":false,"reply":{}},{"status":200,"replayed":false,"reply":{}}]`
	var body string
	c := dialed(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = r.URL.Path + string(b)
		_, _ = io.WriteString(w, answer)
	})
	batch := func() error {
		c.beginBatch()
		c.addToBatch("account", "a1", "credit", "k1", `{"cents":1}`)
		c.addToBatch("account", "a2", "credit", "", `{"cents":2}`)
		return c.callBatch(2)
	}
	if err := batch(); err != nil {
		t.Fatal(err)
	}
	const want = `/v1/calls[{"agent":"account/a1","action":"credit","key":"k1","body":{"cents":1}},{"agent":"account/a2","action":"credit","body":{"cents":2}}]`
	if body != want {
		t.Errorf("the server saw\n%s\nnot\n%s", body, want)
	}
	answer = `[{"status":200,"replayed":false,"reply":{}},{"status":429,"replayed":false,"problem":{"code":"overloaded"}}]`
	if err := batch(); err == nil || !strings.Contains(err.Error(), "call 1 of a batch") || !strings.Contains(err.Error(), "overloaded") {
		t.Errorf("a refused call of a batch: %v", err)
	}
	answer = `[{"status":200,"replayed":false,"reply":{}}]`
	if err := batch(); err == nil || !strings.Contains(err.Error(), "1 answers") {
		t.Errorf("a batch that lacks an answer: %v", err)
	}
}

// BenchmarkClients tells what a request costs with each client, of a server
// that does nothing: both ends, 64 connections.
func BenchmarkClients(b *testing.B) {
	body := fmt.Sprintf(`{"cents":1,"memo":%q}`, memo)
	reply := []byte(`{"cents":1}`)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(reply)
	}))
	defer s.Close()
	address := s.Listener.Addr().String()
	b.Run("by hand", func(b *testing.B) {
		defer reportCPU(b)()
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			for c := newClient(conn, address); p.Next(); {
				if err := c.call("account", "a1", "credit", "0190b0c0-0000-7000-8000-000000000000", body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("net/http", func(b *testing.B) {
		defer reportCPU(b)()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
		defer client.CloseIdleConnections()
		var failed atomic.Bool
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() && !failed.Load() {
				r, _ := http.NewRequest(http.MethodPost, s.URL+"/v1/agents/account/a1/credit", bytes.NewReader([]byte(body)))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", `"0190b0c0-0000-7000-8000-000000000000"`)
				answer, err := client.Do(r)
				if err != nil {
					failed.Store(true)
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		})
	})
}

// reportCPU reports the processor time of an operation, which says more than
// the time that passes where others use the machine.
func reportCPU(b *testing.B) func() {
	before := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op") }
}

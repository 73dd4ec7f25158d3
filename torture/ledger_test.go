package torture

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// world is an outside world within the test, and what it wrote.
type world struct {
	t    *testing.T
	url  string
	addr string
	file string
	rec  *recorder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, file: filepath.Join(t.TempDir(), "ledger.jsonl")}
	var err error
	if w.rec, err = newRecorder(w.file, time.Now().UnixNano()); err != nil {
		t.Fatal(err)
	}
	l := &ledger{rec: w.rec, order: newOrder(), sync: newSyncer(w.rec), known: make(map[string]*deed)}
	srv := httptest.NewUnstartedServer(l.handler())
	srv.Config.ConnContext = l.order.context
	srv.Config.SetKeepAlivesEnabled(false)
	srv.Listener = l.order.listen(srv.Listener)
	srv.Start()
	t.Cleanup(srv.Close)
	w.url, w.addr = srv.URL, srv.Listener.Addr().String()
	return w
}

// call is one call of an effect; status 0 is a connection that was closed.
func (w *world) call(policy, key, how string) (status int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/effects/"+policy, strings.NewReader(fmt.Sprintf(`{"op":"op of %s","cents":7,"how":%q}`, key, how)))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (w *world) get(path string) (status int, body string) {
	w.t.Helper()
	res, err := http.Get(w.url + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (w *world) records() []check.Record {
	w.t.Helper()
	return written(w.t, w.file)
}

// The outside world keeps what its policy says, no more: under keyed it does
// things once a key, under the others as often as it is called.
func TestLedgerKeepsWhatThePolicyPromises(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy, how string
		first       int // the status of the first call
		effects     int // after two
		told        string
	}{
		{check.Keyed, howDone, 200, 1, "done done"},
		{check.Keyed, howLose, 0, 1, "nothing done"},
		{check.Keyed, howDrop, 0, 1, "nothing done"},
		{check.Ask, howDone, 200, 2, "done done"},
		{check.Ask, howSlow, 200, 2, "done done"},
		{check.Ask, howLose, 0, 2, "nothing done"},
		{check.Ask, howDrop, 0, 1, "nothing done"},
		{check.AtMostOnce, howDecline, 402, 1, "declined done"},
	} {
		t.Run(c.policy+" "+c.how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			status, first := w.call(c.policy, "k", c.how)
			if status != c.first {
				t.Errorf("the first call was answered %d %s", status, first)
			}
			again, second := w.call(c.policy, "k", c.how)
			if again != http.StatusOK || c.policy == check.Keyed && c.first == 200 && second != first {
				t.Errorf("the second call was answered %d %s, the first %s", again, second, first)
			}
			effects, told := 0, []string{}
			for _, r := range w.records() {
				if told = append(told, r.Told); r.Type == check.Effect {
					effects++
				}
				if r.Key != "op of k" || r.EffectKey != "k" || r.Cents != 7 || r.Policy != c.policy {
					t.Errorf("it wrote %+v", r)
				}
			}
			if effects != c.effects || strings.Join(told, " ") != c.told {
				t.Errorf("it did %d things and told %q", effects, told)
			}
			if status, body := w.get("/probe/k"); status != http.StatusOK || !strings.Contains(body, "receipt") {
				t.Errorf("the probe was answered %d %s", status, body)
			}
			if status, _ := w.get("/books/other"); status != http.StatusNotFound {
				t.Errorf("an unknown key is answered %d", status)
			}
		})
	}
}

// FAULTS 3a, at the outside world: a question does not overtake a call that was
// sent before, however slowly that is read.
func TestAQuestionWaitsForEarlierCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"op":"o","cents":7,"how":"done"}`
	request := fmt.Sprintf("POST /effects/ask HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if _, err := io.WriteString(conn, request[:len(request)-1]); err != nil {
		t.Fatal(err)
	}
	found := make(chan int, 1)
	go func() {
		res, err := http.Get(w.url + "/books/k")
		if err != nil {
			found <- 0
			return
		}
		_ = res.Body.Close()
		found <- res.StatusCode
	}()
	select {
	case status := <-found:
		t.Fatalf("the question was answered %d before the call was there", status)
	case <-time.After(50 * time.Millisecond): // long for what must not come
	}
	if _, err := io.WriteString(conn, request[len(request)-1:]); err != nil {
		t.Fatal(err)
	}
	if status := <-found; status != http.StatusOK {
		t.Errorf("the question was answered %d", status)
	}
	// A call that never comes does not hold up anybody for ever.
	gone, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	if status, _ := w.get("/books/other"); status != http.StatusNotFound {
		t.Errorf("an unknown key is answered %d", status)
	}
}

// A call of another run, whose ledger this one is not, is answered by nothing that
// says what was done, and is none of this history.
func TestLedgerKnowsItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, body := range []string{`{"run":"other","op":"a","how":"done"}`, `{"run":"other","op":"a","how":"decline"}`} {
		res, err := http.Post(w.url+"/effects/ask", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the answer is %s", res.Status)
		}
	}
	if all := w.records(); len(all) != 0 {
		t.Errorf("it was written down: %+v", all)
	}
}

package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/torture/check"
)

// shared is a server with doubts and dead letters of this run, of another one, and
// of people who never heard of a torture.
type shared struct {
	mu       sync.Mutex
	resolved []string
}

func (s *shared) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const doubt = `{"doubt":%q,"effect":%q,"agent":%q,"key":%q,"request":%s}`
	const letter = `{"dead_letter":%q,"agent":%q,"key":%q,"body":%s}`
	id := func(n int) string { return fmt.Sprintf("%032x", n) }
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPost:
		s.mu.Lock()
		s.resolved = append(s.resolved, strings.TrimLeft(strings.TrimPrefix(r.URL.Path, "/v1/doubts/"), "0"))
		s.mu.Unlock()
		fmt.Fprint(w, `{"resolution":"not_done","by":"me"}`)
	case r.URL.Path == "/v1/doubts":
		fmt.Fprintf(w, `{"doubts":[%s]}`, strings.Join([]string{
			fmt.Sprintf(doubt, id(1), "charge", "effects/charge", "key-1", `{"op":"charge-customer-17","cents":500}`),
			fmt.Sprintf(doubt, id(2), "torture-ask", "effects/torture-ask", "key-2", `{"run":"other","op":"a"}`),
			fmt.Sprintf(doubt, id(3), "torture-ask", "effects/torture-ask", "key-3", `{"run":"ours","op":"b"}`),
			fmt.Sprintf(doubt, id(4), "charge", "effects/charge", "key-4", `{"run":"ours","op":"c"}`),
			fmt.Sprintf(doubt, id(5), "torture-ask", "effects/torture-ask", "key-5", `"text"`),
			fmt.Sprintf(doubt, id(6), "torture-ask", "effects/torture-ask", "key-6", `{"op":"of a version before"}`),
		}, ","))
	case r.URL.Path == "/v1/dead":
		fmt.Fprintf(w, `{"dead_letters":[%s]}`, strings.Join([]string{
			fmt.Sprintf(letter, id(1), "account/alice", "letter-1", `{}`),
			fmt.Sprintf(letter, id(2), "account/ours-0-1", "letter-2", `{}`),
			fmt.Sprintf(letter, id(3), "account/other-0-1", "letter-3", `{}`),
			fmt.Sprintf(letter, id(4), "effects/torture-ask", "letter-4", `{"run":"ours"}`),
			fmt.Sprintf(letter, id(5), "effects/torture-ask", "letter-5", `{"run":"other"}`),
		}, ","))
	default:
		http.NotFound(w, r) // of the ledger's books: it knows nothing
	}
}

// The operator says a word about the doubts of this run and about no others: its
// books know of nothing else, and a stranger's charge that is called not done is
// charged again. What is left at the end is told the same way.
func TestTheOperatorMindsItsOwnBusiness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shared bool
		left   []string
	}{
		{true, []string{"key-3", "letter-2", "letter-4"}},
		{false, []string{"key-1", "key-2", "key-3", "key-4", "key-5", "key-6", "letter-1", "letter-2", "letter-3", "letter-4", "letter-5"}},
	} {
		s := &shared{}
		server := httptest.NewServer(s)
		defer server.Close()
		file := filepath.Join(t.TempDir(), "conductor.jsonl")
		rec, err := newRecorder(file, time.Now().UnixNano())
		if err != nil {
			t.Fatal(err)
		}
		people, err := client.New(server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := &operator{recorder: rec, client: people, ledger: server.URL, run: "ours", shared: c.shared, done: make(map[string]bool)}
		done := make(chan struct{})
		close(done)
		if err := o.settle(t.Context(), done); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.resolved, []string{"3"}) {
			t.Errorf("a word was said about the doubts %q", s.resolved)
		}
		if err := o.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		var left []string
		looked := false
		for _, r := range written(t, file) {
			switch r.Type {
			case check.Doubt:
				left = append(left, r.EffectKey)
			case check.Dead:
				left = append(left, r.Key)
			case check.Looked:
				looked = true
			}
		}
		if !slices.Equal(left, c.left) || !looked {
			t.Errorf("shared %v: left are %q", c.shared, left)
		}
		if err := rec.close(); err != nil {
			t.Error(err)
		}
	}
}

// written is what is in a file of a history now.
func written(t *testing.T, name string) (all []check.Record) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var r check.Record
		if err := d.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

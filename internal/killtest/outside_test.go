package killtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
)

// entry is a line in the books of the outside world. Its books are a file,
// synced before anything is answered; they are the only judge.
type entry struct {
	What   string // "call": it arrived; "charge": money moved; "probe"; "not_done": so a probe was told
	Policy string
	Key    string
	Cents  int64
}

// runOutside is the outside world: it takes calls and probes, and charges once
// per key where the policy says that it recognizes keys. How it behaves next
// is the test's choice: "reply"; "record": note the call, tell the test, and
// never answer; "hold": tell the test before anything is noted, and forget the
// call when its caller is gone.
func runOutside() error {
	f, err := os.OpenFile(os.Getenv("BOOKS"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	charged := make(map[string]int64)
	how := os.Getenv("HOW")
	note := func(e entry) {
		b, err := json.Marshal(e)
		if err == nil {
			_, err = f.Write(append(b, '\n'))
		}
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			panic(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/how", func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		how = r.FormValue("how")
	})
	mux.HandleFunc("/call", func(w http.ResponseWriter, r *http.Request) {
		e := entry{What: "call", Policy: r.FormValue("policy"), Key: r.FormValue("key")}
		_, _ = fmt.Sscan(r.FormValue("cents"), &e.Cents)
		mu.Lock()
		now := how
		if now != "hold" {
			note(e)
			if _, known := charged[e.Key]; !known || e.Policy != "keyed" && e.Policy != "read_only" {
				charged[e.Key] = e.Cents
				if e.Policy != "read_only" {
					e.What = "charge"
					note(e)
				}
			}
		}
		mu.Unlock()
		if now != "reply" {
			say(now)
			<-r.Context().Done() // until its caller is dead
			return
		}
		writeJSON(w, "receipt for "+e.Key)
	})
	mux.HandleFunc("/probe", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		e := entry{What: "probe", Policy: r.FormValue("policy"), Key: r.FormValue("key")}
		note(e)
		if _, known := charged[e.Key]; !known {
			e.What = "not_done"
			note(e)
			http.NotFound(w, r)
			return
		}
		writeJSON(w, "receipt for "+e.Key)
	})
	return listenAndSay(mux)
}

// books reads what the outside world noted.
func books(t *testing.T, path string) (entries []entry) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		var e entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return entries
}

package killtest

import (
	"path/filepath"
	"testing"
	"time"
)

// scene is an outside world with its books, and a data directory.
type scene struct {
	t       *testing.T
	outside *child
	books   string
	data    string
}

func newScene(t *testing.T, how string) *scene {
	s := &scene{t: t, books: filepath.Join(t.TempDir(), "books"), data: filepath.Join(t.TempDir(), "data")}
	s.outside = spawn(t, "outside", "BOOKS="+s.books, "HOW="+how)
	return s
}

// program starts the program, which is killed at the latest when the test ends.
func (s *scene) program(env ...string) *child {
	s.t.Helper()
	return spawn(s.t, "program", append(env, "DATA="+s.data, "OUTSIDE="+s.outside.url)...)
}

// dies starts a payment, and kills the program when someone says the word.
func (s *scene) dies(policy, word string, env ...string) {
	s.t.Helper()
	p := s.program(env...)
	cut := make(chan error, 1)
	go func() { cut <- p.get("/pay", args("policy", policy, "key", "k"), nil) }()
	if word == "asked" {
		p.expect(word)
	} else {
		s.outside.expect(word)
	}
	p.kill()
	if err := <-cut; err == nil {
		s.t.Fatal("the payment was answered before the program was killed")
	}
	s.outside.must("/how", args("how", "reply"), nil)
}

// pay repeats the payment with its key.
func (s *scene) pay(p *child, policy string) (r reply) {
	s.t.Helper()
	p.must("/pay", args("policy", policy, "key", "k"), &r)
	return r
}

// count is how often something stands in the books. All entries have one key,
// which count checks.
func (s *scene) count(what string) (n int) {
	s.t.Helper()
	entries := books(s.t, s.books)
	for _, e := range entries {
		if e.Key != entries[0].Key || len(e.Key) != 32 {
			s.t.Fatalf("the books have more than one key: %+v", entries)
		}
		if e.What == what {
			n++
		}
	}
	return n
}

func (s *scene) wantBooks(calls, charges int) {
	s.t.Helper()
	if s.count("call") != calls || s.count("charge") != charges {
		s.t.Errorf("the outside world noted %+v; want %d calls and %d charges", books(s.t, s.books), calls, charges)
	}
}

// wantPaid checks a payment that is done, that it is replayed, and that the
// agent counted it once.
func (s *scene) wantPaid(p *child, policy, receipt string) {
	s.t.Helper()
	first := s.pay(p, policy)
	if first.Status != "done" || string(first.Reply) != `"`+receipt+`"` {
		s.t.Errorf("the payment was answered %+v %s; want %q", first, first.Reply, receipt)
	}
	if again := s.pay(p, policy); string(again.Reply) != string(first.Reply) || !again.Replayed {
		s.t.Errorf("the repetition was answered %+v, at first %+v", again, first)
	}
	var paid int64
	if p.must("/paid", nil, &paid); paid != 7 {
		s.t.Errorf("the agent paid %d, not once 7", paid)
	}
}

func (s *scene) receipt() string {
	return "receipt for " + books(s.t, s.books)[0].Key
}

// FAULTS 3: the process is killed after the outside world noted the call and
// before the result is recorded.
func TestKilledAfterTheCall(t *testing.T) {
	t.Parallel()
	run := func(policy string, check func(t *testing.T, s *scene, p *child)) {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "record")
			s.dies(policy, "record")
			check(t, s, s.program())
		})
	}
	run("keyed", func(t *testing.T, s *scene, p *child) {
		s.wantPaid(p, "keyed", s.receipt())
		s.wantBooks(2, 1)
	})
	run("read_only", func(t *testing.T, s *scene, p *child) {
		s.wantPaid(p, "read_only", s.receipt())
		s.wantBooks(2, 0)
	})
	run("probe", func(t *testing.T, s *scene, p *child) {
		s.wantPaid(p, "probe", s.receipt())
		s.wantBooks(1, 1)
		if n := s.count("probe"); n != 1 {
			t.Errorf("%d probes", n)
		}
	})
	run("at_most_once", func(t *testing.T, s *scene, p *child) {
		for life := range 2 {
			for range 2 {
				if r := s.pay(p, "at_most_once"); r.Code != "outcome_unknown" || r.Kind != "unknown" || !r.Replayed {
					t.Errorf("life %d: the payment was answered %+v", life, r)
				}
			}
			p.kill()
			p = s.program()
		}
		s.wantBooks(1, 1)
	})
	run("ask", func(t *testing.T, s *scene, p *child) {
		key := books(t, s.books)[0].Key
		for range 2 { // it stays in doubt, through another kill too
			if r := s.pay(p, "ask"); r.Code != "in_doubt" || r.Kind != "unknown" || r.Ref != key {
				t.Fatalf("the payment was answered %+v; want in_doubt %s", r, key)
			}
			var doubts []string
			if p.must("/doubts", nil, &doubts); len(doubts) != 1 || doubts[0] != key {
				t.Fatalf("in doubt are %v; want %s", doubts, key)
			}
			p.kill()
			p = s.program()
		}
		resolve := func(as string) (r reply) {
			p.must("/resolve", args("id", key, "as", as, "reply", "seen in the books"), &r)
			return r
		}
		if r := resolve("done"); r.Status != "done" {
			t.Fatalf("the resolution was answered %+v", r)
		}
		p.kill() // right after the word was given
		p = s.program()
		for range 2 {
			if r := resolve("not_done"); r.Code != "already_resolved" || r.Kind != "not_done" {
				t.Errorf("another resolution was answered %+v", r)
			}
			if r := resolve("done"); r.Status != "done" {
				t.Errorf("the same resolution again was answered %+v", r)
			}
			s.wantPaid(p, "ask", "seen in the books")
			p.kill()
			p = s.program()
		}
		var doubts []string
		if p.must("/doubts", nil, &doubts); len(doubts) != 0 {
			t.Errorf("still in doubt: %v", doubts)
		}
		s.wantBooks(1, 1)
	})
}

// FAULTS 3: the process is killed while its call is under way and has not been
// noted: nothing happened, but the process cannot know.
func TestKilledBeforeTheCallArrived(t *testing.T) {
	t.Parallel()
	run := func(policy string, check func(t *testing.T, s *scene, p *child)) {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "hold")
			s.dies(policy, "hold")
			if entries := books(t, s.books); len(entries) != 0 {
				t.Fatalf("the outside world noted %+v", entries)
			}
			check(t, s, s.program())
		})
	}
	run("keyed", func(t *testing.T, s *scene, p *child) {
		s.pay(p, "keyed")
		s.wantPaid(p, "keyed", s.receipt())
		s.wantBooks(1, 1)
	})
	run("probe", func(t *testing.T, s *scene, p *child) {
		s.pay(p, "probe")
		s.wantPaid(p, "probe", s.receipt())
		s.wantBooks(1, 1)
		if e := books(t, s.books); e[0].What != "probe" || e[1].What != "not_done" {
			t.Errorf("the outside world noted %+v; want the probe first", e)
		}
	})
	run("at_most_once", func(t *testing.T, s *scene, p *child) {
		if r := s.pay(p, "at_most_once"); r.Code != "outcome_unknown" {
			t.Errorf("the payment was answered %+v", r)
		}
		s.wantBooksEmpty()
	})
	run("ask", func(t *testing.T, s *scene, p *child) {
		r := s.pay(p, "ask")
		if r.Code != "in_doubt" {
			t.Fatalf("the payment was answered %+v", r)
		}
		s.wantBooksEmpty()
		var resolved reply
		early := 0
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); early++ {
			if p.must("/resolve", args("id", r.Ref, "as", "not_done"), &resolved); resolved.Code != "too_early" {
				break
			}
			time.Sleep(20 * time.Millisecond) // a call of the killed process may still arrive
		}
		if resolved.Status != "done" || early == 0 {
			t.Fatalf("after %d that came too early the resolution was answered %+v", early, resolved)
		}
		s.wantPaid(p, "ask", "receipt for "+r.Ref) // under the same key
		s.wantBooks(1, 1)
	})
}

func (s *scene) wantBooksEmpty() {
	s.t.Helper()
	if e := books(s.t, s.books); len(e) != 0 {
		s.t.Errorf("the outside world noted %+v; it should not have been called", e)
	}
}

// FAULTS 3: the process is killed when the effect was asked, durably, and not
// started: it is called once, whatever its policy, without doubt or probe.
func TestKilledBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "reply")
			s.dies(policy, "asked", "GATE=asked")
			s.wantBooksEmpty()
			p := s.program()
			s.pay(p, policy)
			s.wantPaid(p, policy, s.receipt())
			charges := 1
			if policy == "read_only" {
				charges = 0
			}
			s.wantBooks(1, charges)
			if n := s.count("probe"); n != 0 {
				t.Errorf("%d probes", n)
			}
		})
	}
}

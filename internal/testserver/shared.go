package testserver

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/semel-dev/semel/internal/need"
)

// Shared is a server that the tests of one binary share, started when it is first
// asked for.
type Shared[S any] struct {
	Name    string                      // in SEMEL_REQUIRE
	DSN     string                      // the environment variable that names a server to use instead
	Missing func() error                // why none can be started, or nil
	Open    func(dsn string) (S, error) // dsn is empty: start one
	Remove  func(S) error               // ends what Open started, and no other

	mu      sync.Mutex
	server  S
	err     error
	started bool
	around  bool // somebody will stop it
}

// Get is the server. The test is skipped where there can be none.
func (s *Shared[S]) Get(t testing.TB) S {
	t.Helper()
	dsn := os.Getenv(s.DSN)
	if dsn == "" {
		if err := s.Missing(); err != nil {
			need.Skip(t, s.Name, err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.around {
		t.Fatalf("%s: TestMain must run the tests by Around(m).Run()", s.Name)
	}
	if !s.started {
		s.started = true
		s.server, s.err = s.Open(dsn)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Runner runs the tests, as *testing.M does.
type Runner interface{ Run() int }

// Around returns what runs the tests and stops the server after them.
func (s *Shared[S]) Around(m Runner) Runner { return around[S]{s, m} }

type around[S any] struct {
	s *Shared[S]
	m Runner
}

func (a around[S]) Run() int {
	s := a.s
	s.mu.Lock()
	s.around = true
	s.mu.Unlock()
	code := a.m.Run()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && s.err == nil {
		if err := s.Remove(s.server); err != nil {
			fmt.Fprintf(os.Stderr, "%s: stop the shared server: %v\n", s.Name, err)
			return max(code, 1)
		}
	}
	return code
}

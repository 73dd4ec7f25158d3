package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/torture/check"
)

// torturedCluster tortures three servers on a database.
func torturedCluster(t *testing.T, dsn string, rounds int, more ...string) {
	t.Helper()
	args := append([]string{"--store", dsn, "--nodes", "3", "--kills", strconv.Itoa(rounds), "--operations", "1000"}, more...)
	r, code, printed := tortured(t, args...)
	c := r.Counts
	if code != exitOK || r.Verdict != check.Clean {
		t.Fatalf("exit code %d, verdict %s, %q\n%.3000s", code, r.Verdict, r.Lacking, printed)
	}
	if c.Faults[check.FaultPause] != rounds || c.Faults[check.FaultRestart] != 3*rounds || c.Takeovers[check.FaultKill].Times != rounds {
		t.Errorf("the counts are %+v", c)
	}
	if tx := c.Transactions; tx != nil {
		t.Logf("transactions: %+v", tx)
	}
	t.Logf("%d operations, %v, %d answers that were lost; no account waited longer than %v", c.Operations, c.Faults, c.Lost, time.Duration(c.Longest).Round(time.Millisecond))
	for fault, took := range c.Takeovers {
		t.Logf("takeover after %s: %v (median of %d), %v at most", fault, time.Duration(took.Median).Round(time.Millisecond), took.Times, time.Duration(took.Most).Round(time.Millisecond))
	}
}

// FAULTS 1, 26: three servers that share a database are killed, paused for
// longer than their lease and restarted in order, 100 times; judged from outside,
// nothing is lost and nothing done twice.
func TestTortureOfACluster(t *testing.T) {
	if os.Getenv("SEMEL_SOAK") == "" {
		t.Skip("it takes half an hour; TestTortureThroughAFailover is one round")
	}
	torturedCluster(t, pgtest.Start(t).Database(t), 100)
}

// FAULTS 42 to 46: the same with transactions across the shards of the three. The
// owner of a coordinator is killed or paused, and so are those of its participants.
func TestTortureTransactionsOfACluster(t *testing.T) {
	if os.Getenv("SEMEL_SOAK") == "" {
		t.Skip("it takes minutes; TestTortureTransactions is a short run on one server")
	}
	torturedCluster(t, pgtest.Start(t).Database(t), 15, "--operations", "3000", "--transactions", "60%")
}

// FAULTS 1, 26, 38: a round of the same, and half-way the database's primary is killed and its
// synchronous standby promoted.
func TestTortureThroughAFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, "CREATE DATABASE semel")
	standby := s.Standby(t)
	s.Synchronous(t, standby)
	// The torture asks by a file, and goes on when it is gone.
	asked := filepath.Join(t.TempDir(), "asked")
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			if _, err := os.Stat(asked); err == nil {
				break
			}
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		s.Kill(t)
		standby.Promote(t)
		_ = os.Remove(asked)
	}()
	torturedCluster(t, pgtest.Either("semel", s, standby), 1, "--midway", fmt.Sprintf("touch %s; while [ -e %s ]; do sleep 0.01; done", asked, asked))
}

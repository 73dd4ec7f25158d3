package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
)

// startNode runs a server that shares a database.
func startNode(t *testing.T, dsn string) *process {
	t.Helper()
	return start(t, t.TempDir(), "--store", dsn, "--store-shards", "12", "--store-lease", "1s", "--node-secret", "a secret of the nodes")
}

// list reads /v1/nodes or /v1/shards.
func (p *process) list(path string, into any) error {
	r, err := p.client.Get(p.url + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}

// settled waits until as many nodes share the shards equally.
func settled(t *testing.T, nodes []*process) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var doc struct{ Nodes []struct{ Shards []int } }
		err := nodes[0].list("/v1/nodes", &doc)
		even := err == nil && len(doc.Nodes) == len(nodes)
		for _, n := range doc.Nodes {
			even = even && len(n.Shards) == 12/len(nodes)
		}
		if even {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the nodes do not come to share the shards: %+v, %v", doc, err)
		}
	}
}

// load credits accounts, each time under a key of its own, at random nodes, and
// repeats what is not decided. It says what was refused for good, and the
// longest that a call took until it was decided.
type load struct {
	mu      sync.Mutex
	nodes   []*process
	done    [8]atomic.Int64
	longest atomic.Int64
}

func (l *load) node() *process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[rand.IntN(len(l.nodes))]
}

func (l *load) replace(i int, p *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[i] = p
}

func (l *load) run(ctx context.Context, t *testing.T, caller int) {
	for n := 0; ctx.Err() == nil; n++ {
		account, key, began := n%len(l.done), fmt.Sprintf("%d-%d", caller, n), time.Now()
		for try := 0; ; try++ {
			p := l.node()
			req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/v1/agents/account/load-%d/credit", p.url, account), strings.NewReader(`{"cents":1}`))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Idempotency-Key", key)
			req.Header.Set("Content-Type", "application/json")
			r, err := p.client.Do(req)
			if err != nil {
				continue // the node is dead; the next may know
			}
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
			if r.StatusCode < 500 && r.StatusCode != http.StatusConflict {
				t.Errorf("call %s: %s", key, r.Status)
				return
			}
		}
		l.done[account].Add(1)
		for took := int64(time.Since(began)); ; {
			if longest := l.longest.Load(); took <= longest || l.longest.CompareAndSwap(longest, took) {
				break
			}
		}
	}
}

// FAULTS 1, 13, 26-29: servers that share a database are killed, paused and
// restarted in order under load; each call counts once, whoever was asked.
func TestServersShareADatabase(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Start(t).Database(t)
	nodes := []*process{startNode(t, dsn), startNode(t, dsn), startNode(t, dsn)}
	settled(t, nodes)
	l := &load{nodes: append([]*process(nil), nodes...)}
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() { l.run(ctx, t, i) })
	}
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		for i, how := range []string{"kill", "pause", "stop"} {
			old := nodes[i]
			switch how {
			case "kill":
				old.signal(syscall.SIGKILL)
				old.wait()
				nodes[i] = startNode(t, dsn)
			case "pause":
				old.signal(syscall.SIGSTOP)
				settled(t, []*process{nodes[0], nodes[2]})
				old.signal(syscall.SIGCONT)
			case "stop":
				old.signal(syscall.SIGTERM)
				if code := old.wait(); code != 0 {
					t.Errorf("a server that stops exits with %d\n%s", code, old.stderr)
				}
				nodes[i] = startNode(t, dsn)
			}
			l.replace(i, nodes[i])
			settled(t, nodes)
		}
	}
	stop()
	callers.Wait()
	total := int64(0)
	for i := range l.done {
		var account struct{ State struct{ Cents int64 } }
		if err := nodes[rand.IntN(3)].list(fmt.Sprintf("/v1/agents/account/load-%d", i), &account); err != nil {
			t.Fatal(err)
		}
		if got, want := account.State.Cents, l.done[i].Load(); got != want {
			t.Errorf("account %d has %d cents after %d credits", i, got, want)
		}
		total += l.done[i].Load()
	}
	t.Logf("%d calls, the longest took %v", total, time.Duration(l.longest.Load()).Round(time.Millisecond))

	var shards struct {
		Shards []struct {
			Shard   int
			Node    string
			Epoch   uint64
			Problem string
		}
	}
	if err := nodes[0].list("/v1/shards", &shards); err != nil || len(shards.Shards) != 12 {
		t.Fatalf("%+v, %v", shards, err)
	}
	for i, sh := range shards.Shards {
		if sh.Shard != i || sh.Node == "" || sh.Epoch == 0 || sh.Problem != "" {
			t.Errorf("shard %d: %+v", i, sh)
		}
	}
}

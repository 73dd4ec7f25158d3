package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/internal/pgtest"
)

// shardStatus is a shard as GET /v1/shards tells of it.
type shardStatus struct {
	Shard   int
	Node    string
	Unit    uint64
	Problem string
}

func (p *process) shards(t *testing.T) []shardStatus {
	t.Helper()
	var doc struct{ Shards []shardStatus }
	if err := p.list("/v1/shards", &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Shards
}

// eventually waits until the shards are as they are wanted.
func (p *process) eventually(t *testing.T, what string, ok func(shardStatus) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		var doc struct{ Shards []shardStatus }
		err := p.list("/v1/shards", &doc)
		fine := err == nil
		for _, sh := range doc.Shards {
			fine = fine && ok(sh)
		}
		if fine {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s: %+v, %v\n%s", what, doc.Shards, err, p.stderr)
		}
	}
}

// FAULTS 38: three servers are at work when an asynchronous standby without the
// last commits is promoted. Each shard that lost something is refused, which the
// operator is told with how much, and goes on when a person has accepted it; the
// others go on at once.
func TestServersRefuseWhatAFailoverLost(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t)
	primary.Exec(t, "CREATE DATABASE semel")
	nodes := []*process{startNode(t, primary.DSN("semel"))} // makes the tables
	standby := primary.Standby(t)
	either := pgtest.Either("semel", primary, standby)
	nodes = []*process{startNode(t, either), startNode(t, either), startNode(t, either), nodes[0]}
	nodes[3].signal(syscall.SIGTERM)
	nodes[3].wait()
	nodes = nodes[:3]
	settled(t, nodes)
	work := func(calls int) {
		ctx, stop := context.WithCancel(t.Context())
		l := &load{nodes: nodes}
		var callers sync.WaitGroup
		for i := range 4 {
			callers.Go(func() { l.run(ctx, t, time.Now().Nanosecond()+i) })
		}
		for total := int64(0); total < int64(calls); time.Sleep(time.Millisecond) {
			total = 0
			for i := range l.done {
				total += l.done[i].Load()
			}
		}
		stop()
		callers.Wait()
	}
	work(200)
	primary.CaughtUp(t, standby)
	standby.Kill(t)
	before := nodes[0].shards(t)
	work(200) // of which the standby has nothing
	after := nodes[0].shards(t)
	primary.Kill(t)
	standby.Restart(t)
	standby.Promote(t)

	lost := make(map[int]uint64)
	for i := range after {
		if n := after[i].Unit - before[i].Unit; n > 0 {
			lost[i] = n
		}
	}
	if len(lost) == 0 || len(lost) == 12 {
		t.Fatalf("%d of 12 shards are to be without their last units", len(lost))
	}
	nodes[1].eventually(t, "what lost something is refused, and the rest goes on", func(sh shardStatus) bool {
		if n := lost[sh.Shard]; n > 0 {
			return strings.Contains(sh.Problem, fmt.Sprintf("%d units, ", n))
		}
		return sh.Problem == "" && sh.Node != ""
	})
	refused := 0
	for i := range 8 {
		r, err := nodes[i%3].client.Post(fmt.Sprintf("%s/v1/calls", nodes[i%3].url), "application/json",
			strings.NewReader(fmt.Sprintf(`{"agent":"account/load-%d","action":"credit","key":"after %d","body":{"cents":1}}`, i, i)))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused != 8 { // every one of these accounts had been credited
		t.Errorf("%d of 8 calls are refused", refused)
	}
	for shard := range lost {
		out, err := exec.Command(binary, "store", "accept", fmt.Sprint(shard), "--store", either).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "goes on") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	nodes[2].eventually(t, "all go on", func(sh shardStatus) bool { return sh.Problem == "" && sh.Node != "" })
	work(50)
}

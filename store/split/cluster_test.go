package split_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
	"github.com/semel-dev/semel/store/split"
)

const lease = time.Second

// tally counts what came to an agent.
type tally struct{ N int }

// node is one process of a cluster: senders pass on what they are told to counters.
type node struct {
	*semel.App
	pass     *semel.Action[string, int]
	senders  *semel.Agent[tally]
	counters *semel.Agent[tally]
}

// nodes find each other without a network.
type nodes struct {
	mu   sync.Mutex
	byID map[string]*node
	all  []*node
}

func (ns *nodes) ask(ctx context.Context, address string, question []byte) ([]byte, error) {
	ns.mu.Lock()
	n := ns.byID[address]
	ns.mu.Unlock()
	if n == nil {
		return nil, semel.ErrNodeNotAsked
	}
	return n.AnswerNode(ctx, question), nil
}

func (ns *nodes) start(t *testing.T, o store.Opener) *node {
	t.Helper()
	address := fmt.Sprint("node-", len(ns.all))
	app, err := semel.Open(background, o, &semel.Config{
		Owner: address, Cluster: &semel.Cluster{Address: address, Ask: ns.ask}, BackoffMax: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{App: app, senders: semel.NewAgent[tally](app, "sender"), counters: semel.NewAgent[tally](app, "counter")}
	add := semel.On(n.counters, "add", func(c *tally, _ *semel.Step, n int) (int, error) {
		c.N += n
		return c.N, nil
	})
	n.pass = semel.On(n.senders, "pass", func(c *tally, s *semel.Step, to string) (int, error) {
		c.N++
		add.Send(s, to, 1)
		return c.N, nil
	})
	if err := app.Start(background); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(background, 20*time.Second)
		defer cancel()
		if err := app.Close(ctx); err != nil {
			t.Errorf("close %s: %v", address, err)
		}
	})
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.byID == nil {
		ns.byID = make(map[string]*node)
	}
	ns.byID[address], ns.all = n, append(ns.all, n)
	return n
}

// any is one of the nodes.
func (ns *nodes) any() *node {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.all[rand.IntN(len(ns.all))]
}

// idsIn are names of agents whose shards are in each of the two parts.
func idsIn(typ string, each int) (a, b []string) {
	for i := 0; len(a) < each || len(b) < each; i++ {
		id := fmt.Sprint(typ, i)
		s := message.ShardOf(message.Agent{Tenant: "default", Type: typ, ID: id}, 8)
		if s < 4 && len(a) < each {
			a = append(a, id)
		} else if s >= 4 && len(b) < each {
			b = append(b, id)
		}
	}
	return a, b
}

// passer asks senders to pass things on until each call is decided.
type passer struct {
	*nodes
	next atomic.Int64
	sent atomic.Int64
}

// pass reports how long it took, and whether it was done at all.
func (p *passer) pass(ctx context.Context, from, to string) (time.Duration, bool) {
	key, began := fmt.Sprint("key-", p.next.Add(1)), time.Now()
	for ctx.Err() == nil {
		if _, err := p.any().pass.Call(ctx, from, to, semel.Key(key)); err == nil {
			p.sent.Add(1)
			return time.Since(began), true
		}
	}
	return 0, false
}

// await polls for what becomes true, as long as it takes within a minute.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	defer func() { t.Log(what, time.Since(began)) }()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came to this: ", what)
		}
	}
}

// FAULTS 1, 13, 23: while the server of one part is dead, the shards of the other
// go on, nodes start, and messages to and from it wait. When it is back, each
// arrives once.
func TestOneServerDies(t *testing.T) {
	t.Parallel()
	one, two := pgtest.Start(t), pgtest.Start(t)
	opt := postgres.Options{Shards: 8, Lease: lease, Patience: 5 * time.Second}
	o := split.Of(
		split.Part{Name: "a", Shards: split.Range(0, 3), Opener: postgres.At(one.Database(t), opt)},
		split.Part{Name: "b", Shards: split.Range(4, 7), Opener: postgres.At(two.Database(t), opt)},
	)
	ns := &nodes{}
	first := ns.start(t, o)
	ns.start(t, o)
	fromA, fromB := idsIn("sender", 4)
	toA, toB := idsIn("counter", 4)
	senders, counters := append(fromA, fromB...), append(toA, toB...)
	p := &passer{nodes: ns}

	ctx, stop := context.WithCancel(background)
	defer stop()
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for ctx.Err() == nil {
				// It is decided, whatever it takes: the test counts what was sent.
				p.pass(background, senders[rand.IntN(len(senders))], counters[rand.IntN(len(counters))])
			}
		})
	}
	await(t, "messages from every sender", func() bool { return p.sent.Load() > 500 })

	two.Kill(t)
	killed := p.sent.Load()
	var longest time.Duration
	for i := range 100 { // the other part goes on
		took, ok := p.pass(background, fromA[i%len(fromA)], append(toA, toB...)[i%8])
		if longest = max(longest, took); !ok {
			t.Fatal("a call was not decided")
		}
	}
	t.Logf("while one server was dead, 100 calls of the other part took %v at most", longest)
	if longest > 10*lease {
		t.Errorf("a call of the other part took %v", longest)
	}
	await(t, "the nodes are ready without it", func() bool { return first.Ready() == nil })
	third := ns.start(t, o)
	await(t, "a node that came since has shards", func() bool {
		all, err := third.Nodes(background)
		for _, n := range all {
			if err == nil && n.Self && len(n.Shards) > 0 {
				return true
			}
		}
		return false
	})
	before := sum(t, first.counters, toA)
	p.pass(background, fromA[0], toA[0])
	await(t, "messages within the part", func() bool { return sum(t, first.counters, toA) > before })

	two.Restart(t)
	back := time.Now()
	for _, from := range fromB {
		p.pass(background, from, toA[0])
	}
	t.Logf("%v after the server was back its shards took calls", time.Since(back))
	stop()
	load.Wait()
	sent := int(p.sent.Load())
	await(t, "every message arrived", func() bool { return sum(t, first.counters, counters) >= sent })
	t.Logf("%d messages, %d of them after the kill, by %v after the server was back", sent, sent-int(killed), time.Since(back))
	if got := sum(t, first.counters, counters); got != sent {
		t.Errorf("%d messages arrived of %d", got, sent)
	}
	if got := sum(t, first.senders, senders); got != sent {
		t.Errorf("senders sent %d, want %d", got, sent)
	}
	await(t, "all nodes are ready", func() bool {
		for _, n := range ns.all {
			if n.Ready() != nil {
				return false
			}
		}
		return true
	})
}

// sum adds up what agents have counted.
func sum(t *testing.T, of *semel.Agent[tally], ids []string) (n int) {
	t.Helper()
	for _, id := range ids {
		state, _, err := of.Get(background, id)
		if err != nil && semel.KindOf(err) != semel.KindNotDone {
			t.Fatal(err)
		}
		n += state.N
	}
	return n
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
)

// nodes are Apps on one database: one, or several that share its shards and ask
// each other over HTTP on the loopback address, as servers on machines of their
// own do.
type nodes struct {
	benches []*Bench
	servers []*httpBench
	client  *http.Client

	steps, units uint64 // that were counted before
}

// nodeSecret is what the nodes of one run prove themselves by.
const nodeSecret = "of this run, on the loopback address"

// openNodes opens n nodes, and waits until each has its part of the shards.
func openNodes(ctx context.Context, on store.Opener, n int, cfg semel.Config) (*nodes, error) {
	all := &nodes{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	for range n {
		if err := all.join(ctx, on, cfg, n > 1); err != nil {
			return nil, errors.Join(err, all.close())
		}
	}
	if err := all.share(ctx); err != nil {
		return nil, errors.Join(err, all.close())
	}
	return all, nil
}

func (p Postgres) at(schema string) store.Opener {
	return postgres.At(p.DSN, postgres.Options{Schema: schema, Shards: p.Shards})
}

func (all *nodes) join(ctx context.Context, on store.Opener, cfg semel.Config, cluster bool) error {
	if !cluster {
		b, err := OpenOn(ctx, on, &cfg)
		if err == nil {
			all.benches = append(all.benches, b)
		}
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := "http://" + listener.Addr().String()
	cfg.Owner = address
	cfg.Cluster = &semel.Cluster{Address: address, Ask: server.AskNodes(nodeSecret, all.client)}
	b, err := OpenOn(ctx, on, &cfg)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	all.benches = append(all.benches, b)
	all.servers = append(all.servers, serveOn(listener, b, server.Options{NodeSecret: nodeSecret}))
	return nil
}

// share waits until every node knows all, and each has as many shards as the
// others, or one less.
func (all *nodes) share(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		even := true
		for _, b := range all.benches {
			known, err := b.App.Nodes(ctx)
			if err != nil {
				return err
			}
			held := 0
			for _, n := range known {
				even = even && len(n.Shards) > 0
				held += len(n.Shards)
			}
			least := held / len(all.benches)
			for _, n := range known {
				even = even && len(n.Shards) >= least
			}
			even = even && len(known) == len(all.benches) && held == b.App.Stats().Shards
		}
		if even {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d nodes never came to share the shards: %w", len(all.benches), ctx.Err())
		}
	}
}

// run offers a load of exactly-once calls; each group asks any of the nodes.
func (all *nodes) run(l Load) (Result, error) {
	var callers []func(c, n int) error
	for _, b := range all.benches {
		callers = append(callers, b.caller(l, b.Exactly, b.CallerKeys))
	}
	return run(l, func(c, n int) error { return callers[rand.IntN(len(callers))](c, n) })
}

// stepsOfUnit is how many steps the units since the last question had on average.
func (all *nodes) stepsOfUnit() int {
	var steps, units uint64
	for _, b := range all.benches {
		s := b.App.Stats()
		steps, units = steps+s.Steps, units+s.UnitBytes.Count
	}
	more, of := steps-all.steps, units-all.units
	all.steps, all.units = steps, units
	if of == 0 {
		return 1
	}
	return max(int((more+of/2)/of), 1)
}

// close closes the nodes at once, so that none takes over what another gives up
// for long, and then their servers.
func (all *nodes) close() error {
	closed := make(chan error, len(all.benches))
	for _, b := range all.benches {
		go func() { closed <- b.Close() }()
	}
	var errs []error
	for range all.benches {
		errs = append(errs, <-closed)
	}
	all.client.CloseIdleConnections()
	for _, s := range all.servers {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

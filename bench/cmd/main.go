// Command cmd measures this machine: the engine beside raw Pebble and the bare
// disk, in one run; or the engine on PostgreSQL beside what one would write by
// hand; or transactions beside those of DTM. See docs/benchmarks.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/bench"
)

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure() error {
	p := bench.Plan{Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }}
	flag.StringVar(&p.Dir, "dir", "", "where stores are made and removed; the system's temporary directory")
	flag.DurationVar(&p.Round, "round", 4*time.Second, "length of one measurement; 3s with -postgres, 10s with -transactions")
	flag.IntVar(&p.Rounds, "rounds", 3, "measurements of each row, in turns with its baseline")
	flag.IntVar(&p.Agents, "agents", 10000, "agents, chosen uniformly")
	flag.IntVar(&p.Store.Shards, "shards", 0, "shards of the stores that are made; the store's default")
	flag.IntVar(&p.Store.UnitsInFlight, "units", 0, "units in flight of a shard; the store's default")
	only := flag.String("only", "", "measure only the rows whose name contains this")
	flag.BoolVar(&p.Alone, "alone", false, "without the baselines, for a profile of the engine itself")
	keys := flag.Int("keys", 0, "instead: fill the dedup log with this many keys, then measure lookups")
	soak := flag.Duration("soak", 0, "instead: call for this long and sample memory")
	var pg server
	flag.Var(&pg, "postgres", "instead: measure on PostgreSQL, beside what one would write by hand; with -keys, what a large dedup log costs there. A `URL` (-postgres=URL, or the last argument) names an empty database; without one a server is started")
	var tx transactions
	flag.BoolVar(&tx.chosen, "transactions", false, "instead: measure sagas and two-phase commits beside those of DTM, which is built; with -postgres on it, too")
	flag.StringVar(&tx.dtm, "dtm", "bench/dtm", "with -transactions: the directory of the module that builds DTM's server")
	flag.Var(&tx.callers, "callers", "with -transactions: numbers of callers at once, with commas between them")
	html := flag.String("html", "", "with -postgres: write a page to this file, too")
	asJSON := flag.Bool("json", false, "print JSON")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the process to this file")
	flag.Parse()

	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	switch {
	case tx.chosen:
		if !given("round") {
			p.Round = 10 * time.Second
		}
		return measureTransactions(tx, pg, p.Dir, *html, *asJSON, bench.Transactions{
			Dir: p.Dir, Round: p.Round, Rounds: p.Rounds, Shards: p.Store.Shards, Alone: p.Alone, Only: *only, Progress: p.Progress,
		})
	case pg.chosen:
		if !given("round") {
			p.Round = 3 * time.Second // there is more to be measured
		}
		on := bench.Postgres{Round: p.Round, Rounds: p.Rounds, Agents: p.Agents, Shards: p.Store.Shards, Only: *only, Progress: p.Progress}
		measure := bench.Postgres.Compare
		if *keys > 0 {
			measure = func(on bench.Postgres, ctx context.Context) (*bench.Sheet, error) { return on.Keys(ctx, *keys) }
		}
		return measurePostgres(pg, p.Dir, *html, *asJSON, on, measure)
	case *soak > 0:
		return measureSoak(p, *soak, *asJSON)
	case *keys > 0:
		return print(p.Dedup, *keys, *asJSON)
	}
	return print(func(int) ([]bench.Row, error) { return p.Compare(*only) }, 0, *asJSON)
}

func print(rows func(int) ([]bench.Row, error), n int, asJSON bool) error {
	table, err := rows(n)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(table)
	}
	return bench.Table(os.Stdout, table)
}

func measureSoak(p bench.Plan, total time.Duration, asJSON bool) error {
	dir, err := os.MkdirTemp(p.Dir, "semel-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := bench.Open(dir, p.Store, &semel.Config{Retention: max(total/4, time.Minute)})
	if err != nil {
		return err
	}
	samples, err := p.Soak(b, total)
	if e := b.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(samples)
	}
	return nil
}

// given says whether a flag is on the command line.
func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

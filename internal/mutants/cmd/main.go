// Command cmd plants bugs and runs the tests that are to find them (make
// mutants). It exits with 1 when one of them survives, or when nothing can be
// said of it because its tests do not build or fail anyhow.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"

	"github.com/semel-dev/semel/internal/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	survived, err := run(ctx)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case survived > 0:
		fmt.Fprintf(os.Stderr, "%d mutants survived\n", survived)
		os.Exit(1)
	}
}

func run(ctx context.Context) (survived int, err error) {
	opt := mutants.Options{}
	flag.StringVar(&opt.Root, "root", ".", "the root of the module")
	flag.IntVar(&opt.Runs, "runs", 5, "runs of the simulation for each mutant, from seeds of their own")
	flag.Uint64Var(&opt.Seeds, "seeds", 1000, "seeds in each of them, at most")
	flag.DurationVar(&opt.Timeout, "timeout", 2*time.Minute, "of one test; one that takes longer hangs, and has found its mutant")
	flag.BoolVar(&opt.Trust, "trust", false, "do not see first that the tests pass without the mutants")
	only := flag.String("only", "", "a regular expression: mutants with such names")
	within := flag.Duration("within", 0, "begin no other mutant after this time; each day begins with others")
	day := flag.Int("day", int(time.Now().Unix()/86400), "the day, for -within")
	try := flag.String("try", "", "a package: run all of its tests instead, to see which find the mutants")
	asJSON := flag.Bool("json", false, "print results as JSON")
	flag.Parse()

	match, err := regexp.Compile(*only)
	if err != nil {
		return 0, err
	}
	var todo []mutants.Mutant
	for _, m := range mutants.All() {
		if match.MatchString(m.Name) {
			todo = append(todo, m)
		}
	}
	if len(todo) == 0 {
		return 0, fmt.Errorf("no mutant has such a name")
	}
	if *within > 0 {
		todo = mutants.Turn(todo, *day)
	}
	r, err := mutants.NewRunner(opt)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	began := time.Now()
	var results []mutants.Result
	for i := range todo {
		if *within > 0 && time.Since(began) > *within {
			break
		}
		fmt.Fprintf(os.Stderr, "%d of %d: %s: %s\n", i+1, len(todo), todo[i].Name, todo[i].Fault)
		var res mutants.Result
		if *try != "" {
			res = r.Try(ctx, &todo[i], *try)
		} else {
			res = r.Run(ctx, &todo[i])
		}
		if ctx.Err() != nil {
			return survived, ctx.Err()
		}
		fmt.Fprintln(os.Stderr, "  ", res.How())
		if !res.Found {
			survived++
		}
		results = append(results, res)
	}
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return survived, enc.Encode(results)
	}
	if err := mutants.Print(os.Stdout, results); err != nil {
		return survived, err
	}
	fmt.Printf("%d mutants, %d found, %d survived\n", len(results), len(results)-survived, survived)
	return survived, nil
}

// Command pools allocates units of two pools for a job: of both, or of none. The
// second job finds too few licences, and so it has no GPUs either.
//
//	go run ./examples/pools
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
)

func main() {
	dir, err := os.MkdirTemp("", "pools")
	if err == nil {
		err = run(context.Background(), os.Stdout, filepath.Join(dir, "data"))
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string) (err error) {
	app, err := semel.Open(ctx, pebble.At(dir), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, app.Close(ctx)) }()
	pools, co := allocation.Register(app), twopc.New(app, nil)

	for pool, capacity := range map[string]int64{"gpus": 8, "licences": 3} {
		if _, err := pools.Configure.Call(ctx, pool, allocation.Configure{Capacity: capacity}, semel.Key("setup")); err != nil {
			return err
		}
	}
	for _, j := range []job{{"job-1", 4, 2}, {"job-2", 2, 2}, {"job-3", 4, 1}} {
		if err := j.allocate(ctx, out, pools, co); err != nil {
			return err
		}
	}
	for _, pool := range []string{"gpus", "licences"} {
		p, _, err := pools.Get(ctx, pool)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d of %d are free\n", pool, p.Free, p.Capacity)
	}
	return nil
}

// job is what needs units of both pools.
type job struct {
	name           string
	gpus, licences int64
}

// allocate reserves what the job needs, in one transaction. Its key is the job's
// name: asked again, it gets the same reservations.
func (j job) allocate(ctx context.Context, out io.Writer, pools *allocation.Pools, co *twopc.Coordinator) error {
	r, err := co.Run(ctx, j.name, []twopc.Part{
		twopc.Do(pools.Reserve.Ref, "gpus", allocation.Reserve{Units: j.gpus, Holder: j.name}),
		twopc.Do(pools.Reserve.Ref, "licences", allocation.Reserve{Units: j.licences, Holder: j.name}),
	})
	var no *semel.Rejection
	if errors.As(err, &no) {
		who, _ := twopc.RefusedOf(err)
		fmt.Fprintf(out, "%s: nothing, %s says %s\n", j.name, who.At, no.Code)
		return nil
	}
	if err != nil {
		return err
	}
	for i, pool := range []string{"gpus", "licences"} {
		got, err := twopc.Reply[allocation.Reserved](r, i)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d %s\n", j.name, got.Units, pool)
	}
	return heard(ctx, co, r.Tx)
}

// heard waits until both pools have heard of the decision, for those who read
// them right afterwards: who calls them need not wait.
func heard(ctx context.Context, co *twopc.Coordinator, tx string) error {
	for {
		info, err := co.Get(ctx, tx)
		if err != nil || !info.InDoubt() {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

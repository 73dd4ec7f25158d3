package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/internal/demo"
)

type demoOptions struct {
	demo.Options
	asJSON bool
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See payments made once while the server is killed",
		Long: `See payments made once while the server is killed.

A server and a small payment provider run as processes of their own. Payments are
sent by several clients at once, and the server is killed with SIGKILL at the
worst instants: before the commit, after it and before the reply, after the
provider's charge and before its record. The provider's own ledger is the judge.

It needs no network and takes a few seconds. Exit code 0: every payment was
made once; 1: not, or it could not be played.`,
		Example: `  semel demo
  semel demo --payments 100 --keep demo-run
  semel demo --json | jq .verdict`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.IntVar(&o.Payments, "payments", 24, fmt.Sprintf("`how many` payments, 1 to %d; 8 or more show every instant", demo.MaxPayments))
	f.Uint64Var(&o.Seed, "seed", 0, "`number` that chooses amounts and moments; the default is a random one")
	f.StringVar(&o.Dir, "keep", "", "keep data, ledger, configuration and log in this `directory`, which is new or empty")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON document at the end instead")
	f.BoolVar(&o.Broken, "break", false, "")
	_ = f.MarkHidden("break") // it is defined
	cmd.RunE = verb(func(cmd *cobra.Command) error {
		if !cmd.Flags().Changed("seed") {
			o.Seed = uint64(rand.Uint32())
		}
		return runDemo(cmd.Context(), o, newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.asJSON))
	})
	return cmd
}

func runDemo(ctx context.Context, o demoOptions, p *printer) (err error) {
	if o.Payments < 1 || o.Payments > demo.MaxPayments {
		return usageError{fmt.Errorf("--payments %d: between 1 and %d", o.Payments, demo.MaxPayments)}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, unhook := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer unhook()
	defer context.AfterFunc(ctx, unhook)() // a second signal ends the process
	if o.Binary, err = os.Executable(); err != nil {
		return err
	}
	remove, err := runDir("demo", "--keep", &o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = remove(err) }()
	text := demo.Text{Out: p.out, Color: p.color}
	tell := demoTeller(&o, p, &text)
	r, err := demo.Run(ctx, o.Options)
	o.Progress(0, 0, "")
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	if p.json {
		err = r.WriteJSON(p.out)
	} else {
		err = errors.Join(tell(), text.Report(r))
	}
	if err == nil && !r.Clean() {
		err = errors.New("the promise was not kept")
	}
	return err
}

// demoTeller has the story told while it happens, and progress where there is a
// terminal. It returns what went wrong in telling.
func demoTeller(o *demoOptions, p *printer, text *demo.Text) func() error {
	o.Progress = func(int, int, string) {}
	if terminal(p.err) && !p.json {
		o.Progress = func(done, total int, what string) {
			fmt.Fprint(p.err, "\r\x1b[K")
			if total > 0 {
				fmt.Fprintf(p.err, "%3d %%  %s", 100*done/total, what)
			}
		}
	}
	o.Tell = func(demo.Scene) {}
	if p.json {
		return func() error { return nil }
	}
	err := text.Opening(o.Options)
	o.Tell = func(s demo.Scene) {
		o.Progress(0, 0, "") // the line is needed
		err = text.Scene(s)
	}
	return func() error { return err }
}

var errInterrupted = errors.New("interrupted")

// demoProviderCommand is the provider's process of the demo.
func demoProviderCommand() *cobra.Command {
	var broken bool
	cmd := &cobra.Command{
		Use:    demo.ProviderVerb + " LEDGER",
		Short:  "The payment provider of the demo",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A terminal's interrupt goes to all processes; the demo decides when this one ends.
			signal.Ignore(os.Interrupt)
			var in io.Reader = cmd.InOrStdin()
			if err := demo.Provide(args[0], broken, in, cmd.OutOrStdout()); err != nil {
				return failure{err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&broken, "broken", false, "")
	return cmd
}

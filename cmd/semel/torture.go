package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/torture"
	"github.com/semel-dev/semel/torture/check"
)

// torturePage is the page beside a history.
const torturePage = "page.html"

type tortureOptions struct {
	torture.Options
	exec                string
	duplicates, replies percent
	transactions        percent
	asJSON              bool
}

// percent is a flag such as 20%.
type percent float64

func (p *percent) String() string { return strconv.FormatFloat(float64(*p), 'g', -1, 64) + "%" }
func (p *percent) Type() string   { return "percent" }

func (p *percent) Set(s string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || n < 0 || n > 100 {
		return errors.New("it is a number from 0% to 100%")
	}
	*p = percent(n)
	return nil
}

func tortureCommand() *cobra.Command {
	o := tortureOptions{duplicates: 20, replies: 10}
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Attack a server and have its exactly-once judged from outside",
		Long: `Attack a server and have its exactly-once judged from outside.

Clients, a proxy that cuts, delays and doubles requests and loses replies, and an
outside world with its own synced ledger run as processes of their own. The
server is killed with SIGKILL, paused and started again. Everything is written
down as a history, which a checker that shares no code with the server judges.

Exit code 0: clean; 1: the promise was broken, and the least that shows it is
printed; 2: too little happened to say so, or it could not be played.`,
		Example: `  semel torture
  semel torture --operations 100000 --kills 300 --dir torture-run
  semel torture --transactions 40% --kills 100
  semel torture --exec './semel-of-today serve --config {config} --data {data} --listen {addr}'
  semel torture --store postgres:///scratch?host=/run/postgresql --nodes 3 --kills 10
  semel torture --target https://staging.example --kills 0
  semel torture check torture-run`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.IntVar(&o.Operations, "operations", 20_000, "`how many` operations at least")
	f.IntVar(&o.Kills, "kills", 40, "`how often` the server is killed; 0 of a --target")
	f.DurationVar(&o.Duration, "duration", 0, "go on for `so long` at least, and spread the kills over it")
	f.IntVar(&o.Clients, "clients", 32, "`how many` clients send at once")
	f.Uint64Var(&o.Seed, "seed", 0, "`number` that chooses operations and faults; the default is a random one")
	f.StringVar(&o.Dir, "dir", "", "keep the history, the page and the data in this `directory`, which is new or empty")
	f.Var(&o.duplicates, "duplicates", "`part` of the operations that are sent twice at once")
	f.Var(&o.replies, "lost-replies", "`part` of the requests whose reply is lost")
	f.Var(&o.transactions, "transactions", "`part` of the operations that are transactions among the 100 accounts of a bank")
	f.StringVar(&o.exec, "exec", "", "`command` that serves; {config}, {data} and {addr} stand for what it needs (default: this binary)")
	f.StringVar(&o.Store, "store", "", "`URL` of a PostgreSQL database that several servers share; the run makes a schema in it")
	f.IntVar(&o.Nodes, "nodes", 3, "`how many` servers share the --store")
	f.DurationVar(&o.Lease, "lease", 2*time.Second, "a server that is not heard of for `so long` loses its shards")
	f.StringVar(&o.Midway, "midway", "", "shell `command` that is run once, when half of the faults are over; it may promote a standby")
	f.StringVar(&o.Target, "target", "", "`URL` of a server that is running already")
	f.StringVar(&o.Token, "token", "", "`token` to send; it is written nowhere")
	f.StringVar(&o.KillWith, "kill-with", "", "shell `command` that kills the --target and starts it again")
	f.StringSliceVar(&o.Policies, "effects", nil, "`policies` of the effects torture-POLICY that a --target has configured")
	f.StringVar(&o.LedgerAddr, "ledger", "", "`address` where the outside world listens for the effects of a --target")
	f.BoolVar(&o.asJSON, "json", false, "print the report as one JSON document")
	cmd.RunE = proving(func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("seed") {
			o.Seed = uint64(rand.Uint32())
		}
		if o.Target != "" && !cmd.Flags().Changed("kills") {
			o.Kills = 0
		}
		if o.Store == "" && !cmd.Flags().Changed("nodes") {
			o.Nodes = 1
		}
		return runTorture(cmd.Context(), o, newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.asJSON))
	})
	cmd.AddCommand(tortureCheckCommand())
	return cmd
}

func runTorture(ctx context.Context, o tortureOptions, p *printer) (err error) {
	o.Exec, o.Duplicates, o.LostReplies = strings.Fields(o.exec), float64(o.duplicates), float64(o.replies)
	o.Transactions = float64(o.transactions)
	if err := o.Check(); err != nil {
		return usageError{err}
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
	kept := o.Dir != ""
	remove, err := runDir("torture", "--dir", &o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = remove(err) }()
	o.Progress = tortureProgress(p)
	began := time.Now()
	history, played := torture.Run(ctx, o.Options)
	o.Progress(0, 0, "")
	if ctx.Err() != nil {
		played = errInterrupted
	}
	if !history {
		return played
	}
	p.note("played with --seed %d in %v", o.Seed, time.Since(began).Round(time.Second))
	page := filepath.Join(o.Dir, torturePage)
	if kept {
		p.note("the page with the timeline is %s", page)
	}
	err = judge(o.Dir, check.Options{}, page, p)
	switch {
	case played == nil:
		return err
	case errors.Is(err, errPromise): // whatever came between
		return fmt.Errorf("%w; it was not played to its end: %v", err, played)
	}
	return errors.Join(played, err)
}

// tortureProgress shows on a terminal how far it is.
func tortureProgress(p *printer) func(done, total int, what string) {
	if p.json || !terminal(p.err) {
		return func(int, int, string) {}
	}
	var last time.Time
	return func(done, total int, what string) {
		switch {
		case what == "":
			fmt.Fprint(p.err, "\r\x1b[K")
		case total == 0:
			fmt.Fprintf(p.err, "\r\x1b[K%s", what)
		case time.Since(last) > 100*time.Millisecond:
			last = time.Now()
			fmt.Fprintf(p.err, "\r\x1b[K%3d %%  %s", min(100*done/total, 100), what)
		}
	}
}

// errPromise is the verdict.
var errPromise = errors.New("the promise was broken")

// inconclusive is an error that says that nothing was proved.
type inconclusive struct{ error }

func (e inconclusive) Unwrap() error { return e.error }

// proving marks the errors of a verb that proves something: whatever is not the
// verdict that the promise was broken is no proof.
func proving(work func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := work(cmd, args)
		var usage usageError
		switch {
		case err == nil || errors.As(err, &usage):
			return err
		case errors.Is(err, errPromise):
			return failure{err}
		}
		return failure{inconclusive{err}}
	}
}

// judge checks a history, prints the verdict and makes an error of it.
func judge(dir string, o check.Options, page string, p *printer) error {
	r, err := check.Dir(dir, o)
	if err != nil {
		return err
	}
	var verdict error
	switch r.Verdict {
	case check.Violated:
		verdict = errPromise
	case check.Inconclusive:
		verdict = errors.New("too little happened to say that the promise was kept")
	}
	if p.json {
		err = r.WriteJSON(p.out)
	} else {
		err = r.WriteText(p.out)
	}
	if page != "" {
		err = errors.Join(err, writePage(page, r))
	}
	return errors.Join(verdict, err) // that nobody can be told of it does not change the verdict
}

func writePage(name string, r *check.Report) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteHTML(f), f.Close())
}

type tortureCheckOptions struct {
	check.Options
	selfTest, asJSON bool
	page             string
}

func tortureCheckCommand() *cobra.Command {
	var o tortureCheckOptions
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Judge the history of a torture",
		Long: `Judge the history of a torture, offline: the files alone.

The checker shares no code with the server. With --self-test it judges no
directory but itself: doctored histories, each of which must be refused for the
right reason.

Exit code 0: clean; 1: the promise was broken; 2: too little happened to say so,
or the history cannot be read.`,
		Example: `  semel torture check torture-run
  semel torture check torture-run --html page.html --json
  semel torture check --self-test`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.selfTest {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Operations, "operations", 0, "`how many` make it conclusive (default: what the run was asked for)")
	f.IntVar(&o.Kills, "kills", 0, "`how many` make it conclusive (default: what the run was asked for)")
	f.StringVar(&o.page, "html", "", "write the page with the timeline to this `file`")
	f.BoolVar(&o.selfTest, "self-test", false, "judge the checker by doctored histories")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON document")
	cmd.RunE = proving(func(cmd *cobra.Command, args []string) error {
		p := newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.asJSON)
		if o.selfTest {
			return selfTest(p)
		}
		return judge(args[0], o.Options, o.page, p)
	})
	return cmd
}

func selfTest(p *printer) error {
	all, err := check.SelfTest()
	if err != nil {
		return err
	}
	wrong := 0
	t := p.table("HISTORY", "MUST BE", "FOUND", "")
	for _, r := range all {
		word := "right"
		if !r.OK {
			wrong++
			word = "WRONG"
		}
		if err == nil && !p.json {
			err = t.row(r.Name, r.Want, strings.Join(r.Got, ", "), word)
		}
	}
	if p.json {
		err = p.object(all)
	} else {
		err = errors.Join(err, t.flush())
	}
	if err == nil && wrong > 0 {
		err = fmt.Errorf("%w: %d of %d histories are judged wrongly", errPromise, wrong, len(all))
	}
	return err
}

// torturePartCommand is the processes of a torture.
func torturePartCommand() *cobra.Command {
	return &cobra.Command{
		Use:    torture.PartVerb + " PART",
		Short:  "A process of the torture",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A terminal's interrupt goes to all processes; the torture decides when this
			// one ends. If it is killed, nobody reads what we say, and our file is ended
			// all the same.
			signal.Ignore(os.Interrupt, syscall.SIGPIPE)
			if err := torture.Part(args[0], cmd.InOrStdin(), cmd.OutOrStdout()); err != nil {
				return failure{err}
			}
			return nil
		},
	}
}

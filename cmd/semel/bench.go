package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/bench"
)

type benchOptions struct {
	study         bench.Study
	quick, asJSON bool
	html, profile string
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what each delivery guarantee costs on this machine",
		Long: `Measure what each delivery guarantee costs on this machine.

The same workload runs exactly-once, at-least-once and at-most-once, in process
and over HTTP, with several numbers of callers, beside the storage engine alone
and the bare disk. The stores are made in a temporary directory below --data and
removed. The table goes to standard output, and a page with plots to a file.

Ratios within one run mean something. Absolute figures of two machines, or two
runs on a busy one, cannot be compared.`,
		Example: `  semel bench --quick
  semel bench --data /mnt/disk --callers 1,64 --html disk.html
  semel bench --only 'over HTTP, 64' --json`,
		Args: cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command) error {
			if o.quick {
				if !cmd.Flags().Changed("round") {
					o.study.Round = 300 * time.Millisecond
				}
				if !cmd.Flags().Changed("rounds") {
					o.study.Rounds = 1
				}
			}
			return runBench(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.study.Dir, "data", ".", "the `directory` on the disk that is to be measured; a temporary one is made in it, and removed")
	f.BoolVar(&o.quick, "quick", false, "one short round of each: about 20 seconds, and rough")
	f.DurationVar(&o.study.Round, "round", 2*time.Second, "how `long` one measurement takes")
	f.IntVar(&o.study.Rounds, "rounds", 3, "how `often` each is measured, in turns with what it is compared with")
	f.IntSliceVar(&o.study.Callers, "callers", []int{1, 16, 64, 256}, "`numbers` of callers at once")
	f.IntVar(&o.study.Batch, "batch", 512, "`calls` in a batch, which 8 callers send at once; 0 for no batches")
	f.IntVar(&o.study.Agents, "agents", 10000, "`number` of agents, chosen uniformly")
	f.StringVar(&o.study.Only, "only", "", "measure only the points whose name contains this `text`, such as \"in process\" or \"HTTP, 64\"")
	f.BoolVar(&o.asJSON, "json", false, "print JSON, with whole distributions, instead of the table")
	f.StringVar(&o.html, "html", "semel-bench.html", "the `file` to write the page to; an empty name for none")
	f.StringVar(&o.profile, "cpuprofile", "", "write a profile of the processor's time to this `file`")
	return cmd
}

func (o *benchOptions) check() error {
	switch s := &o.study; {
	case s.Round <= 0:
		return fmt.Errorf("--round %v: it must be positive", s.Round)
	case s.Rounds < 1:
		return fmt.Errorf("--rounds %d: at least 1", s.Rounds)
	case s.Agents < 1:
		return fmt.Errorf("--agents %d: at least 1", s.Agents)
	case s.Batch < 0 || s.Batch > bench.MaxBatch:
		return fmt.Errorf("--batch %d: between 0 and %d", s.Batch, bench.MaxBatch)
	}
	for _, n := range o.study.Callers {
		if n < 1 || n > bench.MaxCallers {
			return fmt.Errorf("--callers %d: between 1 and %d", n, bench.MaxCallers)
		}
	}
	_, err := o.study.Points()
	return err
}

func runBench(ctx context.Context, o benchOptions, stdout, stderr io.Writer) (err error) {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, unhook := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer unhook()
	defer context.AfterFunc(ctx, unhook)() // a second signal ends the process
	page, err := newPage(o.html)
	if err != nil {
		return err
	}
	defer page.discard()
	stop, err := profileTo(o.profile)
	if err != nil {
		return err
	}
	started := time.Now()
	o.study.Progress = progressTo(stderr)
	report, err := o.study.Run(ctx)
	o.study.Progress(bench.Progress{})
	if err = errors.Join(err, stop()); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted; nothing was written")
		}
		return err
	}
	report.Started, report.Semel, report.Command = started.UTC().Truncate(time.Second), readBuildInfo().Version, commandLine(os.Args)
	for _, w := range report.Warnings {
		fmt.Fprintln(stderr, "semel: warning:", w)
	}
	if err := page.write(report); err != nil {
		return err
	}
	if o.asJSON {
		err = report.WriteJSON(stdout)
	} else {
		err = report.WriteText(stdout)
	}
	if err == nil && o.html != "" {
		fmt.Fprintln(stderr, "semel: the page with plots is", o.html)
	}
	return err
}

// benchPage is the page's file. It is made before anything is measured, so that
// a name that cannot be written fails at once, and takes its place at the end.
type benchPage struct {
	name string
	file *os.File
}

func newPage(name string) (*benchPage, error) {
	if name == "" {
		return &benchPage{}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".semel-bench-*.html")
	if err != nil {
		return nil, fmt.Errorf("--html %s: %w", name, err)
	}
	return &benchPage{name: name, file: f}, nil
}

func (p *benchPage) write(r *bench.Report) error {
	if p.file == nil {
		return nil
	}
	if err := errors.Join(r.WriteHTML(p.file), p.file.Chmod(0o644), p.file.Close()); err != nil {
		return err
	}
	return os.Rename(p.file.Name(), p.name)
}

func (p *benchPage) discard() {
	if p.file != nil {
		_ = p.file.Close()           // twice, after write
		_ = os.Remove(p.file.Name()) // gone, after write
	}
}

// profileTo begins a profile, if there is a name; stop ends it.
func profileTo(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// progressTo shows how far the study came in one line of a terminal, and
// nothing anywhere else. The zero Progress clears the line.
func progressTo(w io.Writer) func(bench.Progress) {
	f, ok := w.(*os.File)
	if !ok {
		return func(bench.Progress) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(bench.Progress) {}
	}
	return func(p bench.Progress) {
		fmt.Fprint(w, "\r\033[K")
		if p.Total > 0 {
			fmt.Fprintf(w, "%3d %%  %s left  %s", 100*p.Done/p.Total, p.Left.Round(time.Second), p.Now)
		}
	}
}

// commandLine is what a person would type: what needs quoting is quoted for a
// POSIX shell.
func commandLine(args []string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+@%"
	words := []string{filepath.Base(args[0])}
	for _, a := range args[1:] {
		if a == "" || strings.Trim(a, plain) != "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

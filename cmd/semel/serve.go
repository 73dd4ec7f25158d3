package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// drainTime bounds an orderly stop. Orchestrators commonly kill after 30 s.
const drainTime = 25 * time.Second

type serveOptions struct {
	data, listen string
	public       bool
	hosts        []string
	wait         time.Duration
}

func serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve agents over HTTP from a data directory",
		Long: `Serve agents over HTTP from a data directory.

When the server is ready it prints one line on standard output: its address.
Everything else goes to standard error. SIGTERM or SIGINT stops it in order; a
second one stops it at once, which loses nothing that was acknowledged.`,
		Example: `  semel serve
  curl http://127.0.0.1:7075/v1/agents/account/alice/credit \
       -H 'Idempotency-Key: "pay-1"' --json '{"cents":1000}'`,
		Args: cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "semel-data", "the data `directory`; it is created if it does not exist")
	f.StringVar(&o.listen, "listen", "127.0.0.1:7075", "the `address` to listen on; port 0 chooses a free one")
	f.BoolVar(&o.public, "insecure-public", false, "allow an address that other machines can reach, although nothing authenticates callers")
	f.StringSliceVar(&o.hosts, "host", nil, "a `name` under which a proxy on this machine asks for the server, besides localhost; repeat it for more")
	f.DurationVar(&o.wait, "wait", 10*time.Second, "how `long` a call waits for its outcome before it is answered 409 in_flight")
	return cmd
}

func serve(ctx context.Context, o serveOptions, stdout, stderr io.Writer) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if o.wait <= 0 {
		return usageError{fmt.Errorf("--wait %v: it must be positive", o.wait)}
	}
	// From here on the first signal ends ctx.
	ctx, unhook := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer unhook()
	// And the next one, in whatever phase, finds its default action again: it
	// ends the process.
	defer context.AfterFunc(ctx, unhook)()

	log := slog.New(slog.NewTextHandler(stderr, nil))
	dir, err := filepath.Abs(o.data)
	if err != nil {
		return fmt.Errorf("data directory %q: %w", o.data, err)
	}
	log.Info("opening", "data", dir, "version", readBuildInfo().Version)
	listener, err := listen(ctx, o.listen, o.public)
	if err != nil {
		return err
	}
	defer listener.Close()
	app, err := open(ctx, dir, log)
	if err != nil {
		return err
	}
	var stopping atomic.Bool
	srv := newServer(server.Handler(app, server.Options{
		Wait: o.wait, Hosts: o.hosts, Logger: log,
		Ready: func() error {
			if stopping.Load() {
				return errors.New("shutting down")
			}
			return nil
		},
	}), o.wait, log)

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	log.Info("serving", "data", dir, "address", listener.Addr().String())
	if _, err := fmt.Fprintln(stdout, baseURL(listener)); err != nil {
		log.Warn("the address could not be printed", "error", err)
	}
	select {
	case err = <-failed:
		err = fmt.Errorf("listen on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
		unhook() // done for certain before we say so
		log.Info("stopping: waiting for what is under way; a second signal stops at once")
		err = nil
	}
	stopping.Store(true)
	return errors.Join(err, drain(srv, app, log))
}

// open opens and starts the App with the agents that are built in.
func open(ctx context.Context, dir string, log *slog.Logger) (*semel.App, error) {
	app, err := semel.Open(ctx, pebble.At(dir, pebble.Options{Logger: log}), &semel.Config{Logger: log})
	if err != nil {
		if errors.Is(err, store.ErrLocked) {
			return nil, fmt.Errorf("%s is in use by another process: stop that one, or choose another directory with --data: %w", dir, err)
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	allocation.Register(app)
	ledger.Register(app)
	if err := app.Start(ctx); err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
		log.Error("the store cannot be used; closing it", "error", err) // before anything that may take time
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		return nil, errors.Join(err, app.Close(ctx))
	}
	return app, nil
}

// newServer bounds what a slow or hostile client can hold (FAULTS 63).
func newServer(h http.Handler, wait time.Duration, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      wait + 60*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.Background() },
	}
}

// drain answers what is under way, then closes the store. What was accepted
// and is not finished when the time is over goes on at the next start.
func drain(srv *http.Server, app *semel.App, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Warn("some connections were cut", "error", err)
		_ = srv.Close() // they are cut either way
	}
	err := app.Close(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("not everything under way was finished; it goes on at the next start", "error", err)
		if onlyLate(err) {
			err = nil
		}
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// onlyLate says whether an error, with all that is joined in it, says nothing
// but that the time was over.
func onlyLate(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if !onlyLate(err) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return onlyLate(e.Unwrap())
	}
	return err == context.DeadlineExceeded
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/allocation"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/webeffect"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve agents over HTTP from a data directory",
		Long: `Serve agents over HTTP from a data directory.

Flags count before SEMEL_* variables, those before the file of --config. Who may
call (auth.principals), and effects, are only in the file: see semel config.

When the server is ready it prints one line on standard output: its address; with
--json an object that has the directory too.
Everything else goes to standard error. SIGHUP reloads who may call, and the
certificate. SIGTERM or SIGINT stops it in order; a second one stops it at once,
which loses nothing that was acknowledged.`,
		Example: `  semel serve
  curl http://127.0.0.1:7075/v1/agents/account/alice/credit \
       -H 'Idempotency-Key: "pay-1"' --json '{"cents":1000}'`,
		Args: cobra.NoArgs,
	}
	var asJSON bool
	addSettings(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the address as JSON; for the log there is log.format")
	cmd.RunE = verb(func(cmd *cobra.Command) error {
		return serve(cmd.Context(), commandSource(cmd.Flags()), asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	return cmd
}

// printAddress says where the server is.
func printAddress(w io.Writer, url, dir string, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintln(w, url)
		return err
	}
	return json.NewEncoder(w).Encode(struct {
		URL  string `json:"url"`
		Data string `json:"data"`
	}{url, dir})
}

func serve(ctx context.Context, s source, asJSON bool, stdout, stderr io.Writer) error {
	if ctx == nil {
		ctx = context.Background()
	}
	// From here on the first signal ends ctx.
	ctx, unhook := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer unhook()
	// And the next one, in whatever phase, finds its default action again: it
	// ends the process.
	defer context.AfterFunc(ctx, unhook)()
	// Whose default action is to end us, even while the store is opened.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	u, err := configure(ctx, s)
	if err != nil {
		return usageError{err}
	}
	log := newLog(stderr, u.Log)
	u.warn(log)
	dir, err := filepath.Abs(u.Data)
	if err != nil {
		return fmt.Errorf("data directory %q: %w", u.Data, err)
	}
	log.Info("opening", "data", u.place(dir), "version", readBuildInfo().Version)
	listener, err := listen(ctx, u.loaded)
	if err != nil {
		return err
	}
	defer listener.Close()
	traces, err := startTraces(ctx, u.OTLP, log)
	if err != nil {
		return err
	}
	defer traces.stop()
	app, err := open(ctx, dir, &u.config, u.cluster(listener), false, traces.provider, log)
	if err != nil {
		return err
	}
	live := newLive(s, u, log)
	stopping := make(chan struct{})
	opts := u.handlerOptions(app, log)
	opts.Hosts, opts.Auth, opts.Stopping = u.Hosts, live.auth, stopping
	srv := newServer(server.Handler(app.App, opts), u.Wait, log)

	failed := make(chan error, 1)
	go func() { failed <- live.serve(srv, listener) }()
	go live.run(ctx, hangup)
	go app.watch(ctx)
	log.Info("serving", "data", u.place(dir), "address", listener.Addr().String(), "tls", live.certs != nil, "principals", len(u.Auth.Principals))
	if err := printAddress(stdout, baseURL(listener, live.certs != nil), dir, asJSON); err != nil {
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
	close(stopping)
	return errors.Join(err, drain(srv, app.App, log))
}

// handlerOptions are those that a server and a directory opened without one
// have in common.
func (u *usable) handlerOptions(app *opened, log *slog.Logger) server.Options {
	return server.Options{
		Transactions: app.transactions, Sagas: app.sagas,
		Wait: u.Wait, MaxBody: int64(u.MaxBody), Backups: u.Backups, Effects: slices.Sorted(maps.Keys(u.Effects)),
		Version: readBuildInfo().Version, Logger: log, NodeSecret: string(u.Node.Secret),
	}
}

// serve answers connections until the server is shut down.
func (v *live) serve(srv *http.Server, l net.Listener) error {
	if v.certs == nil {
		return srv.Serve(l)
	}
	srv.TLSConfig = v.certs.config()
	return srv.ServeTLS(l, "", "")
}

// opened is an App with what is built in.
type opened struct {
	*semel.App
	transactions *twopc.Coordinator
	sagas        *saga.Registry
}

// sweepEvery is how often participants are asked what they have prepared.
const sweepEvery = time.Minute

// watch resolves, until ctx ends, what was prepared outside and forgotten.
func (o *opened) watch(ctx context.Context) {
	_ = o.transactions.Watch(ctx, sweepEvery) // what fails is logged
}

// open opens and starts the App with the agents that are built in. A guest
// looks into a directory without the server's file: it knows neither its
// effects nor its retention, and must not make doubts of what waits for the
// ones, nor forget by another.
//
// With a cluster it opens the database instead.
func open(ctx context.Context, dir string, c *config, cluster *semel.Cluster, guest bool, traces trace.TracerProvider, log *slog.Logger) (*opened, error) {
	st := pebble.At(dir, pebble.Options{Logger: log, MemTableBytes: uint64(c.MemtableBytes)})
	owner := ""
	if cluster != nil {
		st, dir, owner = c.database(), "the database", cluster.Address
	}
	app, err := semel.Open(ctx, st, &semel.Config{
		Retention: c.Retention, Skew: c.Skew,
		CacheBytes: int(c.CacheBytes), MaxInFlight: c.MaxInFlight, MaxState: int(c.MaxState), MaxBody: int(c.MaxBody),
		MaxAttempts: c.MaxAttempts, EffectsRunning: c.EffectsRunning, Logger: log,
		ChangeFeed: c.ChangeFeed, TracerProvider: traces, Guest: guest, Cluster: cluster, Owner: owner,
	})
	if err != nil {
		if errors.Is(err, store.ErrLocked) {
			return nil, fmt.Errorf("%s is in use by another process: stop that one, or choose another directory with --data: %w", dir, err)
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	allocation.Register(app)
	ledger.Register(app)
	transactions := twopc.New(app, &twopc.Config{Logger: log})
	sagas := saga.Register(app, &saga.Config{Logger: log})
	// Also without effects: what is left of those that there were can be settled.
	err = errors.Join(webeffect.Register(app, c.specs(), nil), c.defineSagas(sagas), c.registerParticipants(transactions))
	if err == nil {
		err = app.Start(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", dir, err)
		log.Error("the store cannot be used; closing it", "error", err) // before anything that may take time
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		return nil, errors.Join(err, app.Close(ctx))
	}
	return &opened{app, transactions, sagas}, nil
}

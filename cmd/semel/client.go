package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
)

const (
	defaultServer = "http://127.0.0.1:7075"
	envServer     = "SEMEL_SERVER"
	envToken      = "SEMEL_TOKEN"
)

// clientCommands are the verbs that speak the HTTP API, and restore.
func clientCommands() []*cobra.Command {
	return []*cobra.Command{
		callCommand(), getCommand(), listCommand(), keysCommand(), explainCommand(), effectsCommand(), doubtsCommand(),
		deadCommand(), transactionsCommand(), sagasCommand(), retentionCommand(), nodesCommand(), shardsCommand(), deleteCommand(), changesCommand(), backupCommand(), restoreCommand(),
	}
}

// remote says whom a verb talks to, and how it prints.
type remote struct {
	server, token, data string
	json                bool
}

func (o *remote) flags(f *pflag.FlagSet) {
	f.StringVar(&o.server, "server", "", "the server's `URL`; else $"+envServer+", else "+defaultServer)
	f.StringVar(&o.token, "token", "", "the `token` that says who calls; else $"+envToken+", which no list of processes shows")
	f.StringVar(&o.data, "data", "", "open this data `directory` instead, which no server has open")
	f.BoolVar(&o.json, "json", false, "print JSON, one object a line")
}

// session is what a verb works with.
type session struct {
	*client.Client
	*printer
	app  *semel.App // with --data; else nil
	what string     // the server or the directory
}

// do is a verb that works with a session. An error of the work is told with
// what to do next; with --json also as an object on standard output.
func (o *remote) do(work func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, unhook := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
		defer unhook()
		defer context.AfterFunc(ctx, unhook)() // a second signal ends the process
		p := newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), o.json)
		return p.fail(o.work(ctx, p, args, work))
	}
}

func (o *remote) work(ctx context.Context, p *printer, args []string, work func(context.Context, *session, []string) error) (err error) {
	s := &session{printer: p}
	opts := client.Options{Token: o.token}
	if opts.Token == "" {
		opts.Token = os.Getenv(envToken)
	}
	if s.what = o.server; s.what == "" {
		s.what = os.Getenv(envServer)
	}
	if s.what == "" {
		s.what = defaultServer
	}
	if terminal(p.err) {
		opts.OnRetry = func(err error, wait time.Duration) {
			p.note("again in %v: %s", wait.Round(time.Millisecond), printable(strings.TrimPrefix(err.Error(), "semel: ")))
		}
	}
	base := s.what
	if o.data != "" {
		if o.server != "" {
			return usageError{errors.New("--server and --data exclude each other: a directory that a server has open is the server's")}
		}
		var u *usable
		var app *opened
		if app, u, err = openData(ctx, o.data); err != nil {
			return err
		}
		s.app = app.App
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			defer cancel()
			if closing := s.app.Close(ctx); closing != nil && !onlyLate(closing) { // what is late goes on at the next start
				err = closed(err, closing)
			}
		}()
		log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelError}))
		s.what, base = o.data, "http://localhost"
		opts.HTTP = &http.Client{Transport: inProcess{server.Handler(s.app, u.handlerOptions(app, log))}}
	}
	if s.Client, err = client.New(base, &opts); err != nil {
		return usageError{err}
	}
	return work(ctx, s, args)
}

// openData opens a directory that exists. A typing error must not make one.
func openData(ctx context.Context, dir string) (*opened, *usable, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(filepath.Join(abs, "SEMEL")); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, nextStep{fmt.Errorf("%s holds no store", dir), "check the directory; `semel serve --data " + dir + "` would make a store there"}
		}
		return nil, nil, err
	}
	settings := pflag.NewFlagSet("data", pflag.ContinueOnError)
	addSettings(settings)
	u, err := configure(ctx, commandSource(settings))
	if err != nil {
		return nil, nil, usageError{err}
	}
	guest := os.Getenv("SEMEL_CONFIG") == ""
	app, err := open(ctx, abs, &u.config, nil, guest, nil, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if errors.Is(err, store.ErrLocked) {
		return nil, nil, nextStep{fmt.Errorf("%s is in use by another process", dir), "if that is a server, ask it: --server URL instead of --data"}
	}
	return app, u, err
}

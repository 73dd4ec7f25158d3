package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/semel-dev/semel/bench"
	"github.com/semel-dev/semel/internal/pgtest"
)

// server is the flag that says which PostgreSQL is measured: with no value one is
// started.
type server struct {
	chosen bool
	url    string
}

func (s *server) String() string   { return s.url }
func (s *server) IsBoolFlag() bool { return true }

func (s *server) Set(value string) error {
	s.chosen = value != "false"
	if s.url = value; value == "true" || value == "false" {
		s.url = ""
	}
	return nil
}

// defaults are PostgreSQL's own, where a server for tests has others, and room for
// the connections of all that is compared.
var defaults = []pgtest.Option{
	pgtest.Set("shared_buffers", "128MB"),
	pgtest.Set("autovacuum_naptime", "1min"),
	pgtest.Set("max_prepared_transactions", "0"),
	pgtest.Set("max_connections", "300"),
}

// measurePostgres runs a benchmark on a server, and prints and writes its sheet.
func measurePostgres(s server, dir, html string, asJSON bool, p bench.Postgres, measure func(bench.Postgres, context.Context) (*bench.Sheet, error)) error {
	return s.with(dir, defaults, func(ctx context.Context, dsn string) error {
		p.DSN = dsn
		return write(html, asJSON, func() (*bench.Sheet, error) { return measure(p, ctx) })
	})
}

// with runs something on the server, which is started if it is not named.
func (s *server) with(dir string, settings []pgtest.Option, do func(ctx context.Context, dsn string) error) (err error) {
	ctx, unhook := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer unhook()
	dsn := s.url
	if dsn == "" {
		dsn = flag.Arg(0)
	}
	if dsn == "" {
		if dir != "" {
			if err := os.Setenv("TMPDIR", dir); err != nil {
				return err
			}
		}
		own, stop, err := pgtest.Alone(settings...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		dsn = own.DSN("postgres")
	}
	return do(ctx, dsn)
}

// write prints and writes the sheet of a benchmark.
func write(html string, asJSON bool, measure func() (*bench.Sheet, error)) error {
	started := time.Now()
	sheet, err := measure()
	if err != nil {
		return err
	}
	sheet.Started, sheet.Command = started.UTC().Truncate(time.Second), "go run ./bench/cmd "+redacted(os.Args[1:])
	if html != "" {
		f, err := os.Create(html)
		if err != nil {
			return err
		}
		if err := errors.Join(sheet.WriteHTML(f), f.Close()); err != nil {
			return err
		}
	}
	if asJSON {
		return sheet.WriteJSON(os.Stdout)
	}
	return sheet.WriteText(os.Stdout)
}

// redacted are the arguments without a DSN, which may have a password in it.
func redacted(args []string) string {
	shown := slices.Clone(args)
	for i, a := range shown {
		if name, _, given := strings.Cut(a, "="); given && strings.TrimLeft(name, "-") == "postgres" {
			shown[i] = name + "=URL"
		}
	}
	return strings.Join(shown, " ")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/internal/migrate"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/store/postgres"
)

// migration is the command line of `semel migrate`.
type migration struct {
	from, to             string
	fromSchema, toSchema string
	shards               int
	lease                time.Duration
	undo, print, json    bool
}

func migrateCommand() *cobra.Command {
	var m migration
	cmd := &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "Move a store into another one, also with another number of shards",
		Long: `Move a store into another one, also with another number of shards.

FROM and TO are each a data directory or the URL of a PostgreSQL database. TO is
new: a directory that is empty or does not exist, or a schema without a store.
Stop all servers of FROM first.

Servers refuse FROM from the first moment, and TO until all of it is there and was
compared with FROM. A move that was interrupted is completed by the same command.
Until TO is served, --undo takes the move back. What moves is everything but
the positions of the change feed: its followers list all agents again.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case m.print && len(args) != 0:
				return errors.New("--print needs no stores")
			case !m.print && len(args) != 2:
				return fmt.Errorf("two stores are needed, from which and to which it moves; there are %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return verb(func(cmd *cobra.Command) error {
				if m.print {
					return printSchema(cmd, m.toSchema)
				}
				m.from, m.to = args[0], args[1]
				return m.run(cmd)
			})(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.fromSchema, "from-schema", "", "the `name` of FROM's schema; semel if it is not given")
	f.StringVar(&m.toSchema, "to-schema", "", "the `name` of TO's schema; semel if it is not given")
	f.IntVar(&m.shards, "shards", 0, "how many shards TO has; as many as FROM if it is not given")
	f.DurationVar(&m.lease, "from-lease", 0, "the lease of the servers that had FROM's database, if it is not the default: so long none of them may call an effect any more")
	f.BoolVar(&m.undo, "undo", false, "take the move back; only until TO is served")
	f.BoolVar(&m.print, "print", false, "print the SQL that makes the tables, for people who change their database themselves, and do nothing")
	f.BoolVar(&m.json, "json", false, "print JSON")
	return cmd
}

func printSchema(cmd *cobra.Command, schema string) error {
	text, err := postgres.MigrationSQL(schema)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

func (m *migration) run(cmd *cobra.Command) error {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, unhook := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer unhook()
	// A second signal finds its default action again: what is interrupted is as
	// good as what is killed.
	defer context.AfterFunc(ctx, unhook)()
	if m.shards < 0 || m.shards > 1<<16 {
		return usageError{fmt.Errorf("--shards %d: choose 1 to 65536", m.shards)}
	}
	p := newPrinter(cmd.OutOrStdout(), cmd.ErrOrStderr(), m.json)
	from, err := openOld(ctx, m.from, m.fromSchema, m.lease)
	if err != nil {
		return p.fail(err)
	}
	to, err := m.openNew(ctx, from.Store.Shards())
	if err != nil {
		return p.fail(errors.Join(err, from.Close()))
	}
	report, err := m.work(ctx, p, from, to)
	if err != nil {
		next := ""
		switch {
		case ctx.Err() == nil:
		case m.undo:
			next = "run the same again to go on"
		default:
			next = "run the same again to go on, or with --undo to take it back"
		}
		return p.fail(nextStep{err, next})
	}
	return p.fail(printed(m.tell(p, from.Name, to.Name, report)))
}

// work moves, or moves back; then there is no report. It closes both stores.
func (m *migration) work(ctx context.Context, p *printer, from, to migrate.Side) (*migrate.Report, error) {
	if m.undo {
		return nil, migrate.Undo(ctx, from, to, migrate.Options{})
	}
	show, stop := p.moving()
	defer stop()
	return migrate.Run(ctx, from, to, migrate.Options{Progress: show})
}

func (m *migration) tell(p *printer, from, to string, r *migrate.Report) error {
	if r == nil {
		if p.json {
			return p.object(map[string]any{"from": from, "to": to, "undone": true})
		}
		return p.line("%s is served again; %s is good for nothing and can be removed", printable(from), printable(to))
	}
	if p.json {
		return p.object(map[string]any{
			"from": from, "to": to, "from_shards": r.FromShards, "to_shards": r.ToShards,
			"rows": r.Rows, "bytes": r.Bytes, "unclean": r.Unclean, "resumed": r.Resumed, "already": r.Already,
		})
	}
	if r.Already {
		return p.line("%s was moved to %s before: serve that", printable(from), printable(to))
	}
	if r.Unclean {
		p.note("its last server did not end in order: the next one tries alone what may have ended it")
	}
	p.note("serve it with `semel serve` and %s", m.served())
	return p.line("%s (%d shards) is moved to %s (%d shards): %d rows, %d bytes, read twice and compared",
		printable(from), r.FromShards, printable(to), r.ToShards, r.Rows, r.Bytes)
}

func (m *migration) served() string {
	if !isDatabase(m.to) {
		return "--data " + quoteArg(m.to)
	}
	return "--store, as the guide of clusters says"
}

// isDatabase tells a database's URL from a directory.
func isDatabase(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://")
}

// there says whether a directory holds a store.
func there(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "SEMEL"))
	return err == nil
}

// openOld opens a store that must be there.
func openOld(ctx context.Context, place, schema string, lease time.Duration) (migrate.Side, error) {
	if !isDatabase(place) && !there(place) {
		return migrate.Side{}, fmt.Errorf("%s is no data directory: nothing is stored there", printable(place))
	}
	return openAt(ctx, place, postgres.Options{Schema: schema, Lease: lease, Existing: true})
}

// openNew opens the store that is moved into. What is there knows how many shards
// it has; else it is made, unless the move is to be taken back.
func (m *migration) openNew(ctx context.Context, shards int) (migrate.Side, error) {
	if m.undo {
		return openOld(ctx, m.to, m.toSchema, 0)
	}
	switch {
	case m.shards != 0:
		shards = m.shards
	case isDatabase(m.to):
		side, err := openOld(ctx, m.to, m.toSchema, 0)
		if !errors.Is(err, postgres.ErrNoStore) {
			return side, err
		}
	case there(m.to):
		shards = 0
	}
	return openAt(ctx, m.to, postgres.Options{Schema: m.toSchema, Shards: shards})
}

// openAt opens a store, or makes one. For a directory it is the number of shards
// that counts.
func openAt(ctx context.Context, place string, opt postgres.Options) (migrate.Side, error) {
	side := migrate.Side{Name: place}
	var o store.Opener
	switch {
	case isDatabase(place):
		if opt.Schema == "" {
			opt.Schema = "semel"
		}
		u, err := url.Parse(place)
		if err != nil {
			return side, errors.New("the URL of the database cannot be read") // it may have a password
		}
		side.Name = u.Scheme + "://" + u.Host + u.Path + " schema " + opt.Schema
		o = postgres.At(place, opt)
	default:
		if abs, err := filepath.Abs(place); err == nil {
			side.Name = abs
		}
		o = pebble.At(place, pebble.Options{Shards: opt.Shards})
	}
	var err error
	if side.Store, err = o.OpenStore(ctx); err != nil {
		return side, fmt.Errorf("%s: %w", printable(side.Name), err)
	}
	return side, nil
}

// moving shows on a terminal how far a move is, until stop is called.
func (p *printer) moving() (show func(migrate.Progress), stop func()) {
	if p.json || !terminal(p.err) {
		return nil, func() {}
	}
	var last time.Time
	show = func(at migrate.Progress) {
		if time.Since(last) < 500*time.Millisecond {
			return
		}
		last = time.Now()
		fmt.Fprintf(p.err, "\r\x1b[K%s: %d rows, %d MiB", at.Phase, at.Rows, at.Bytes>>20)
	}
	return show, func() { fmt.Fprint(p.err, "\r\x1b[K") }
}

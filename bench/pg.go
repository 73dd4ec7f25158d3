package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres measures the store for many nodes on a PostgreSQL server, beside what
// one would write by hand on the same server. What is compared takes turns in
// short rounds, so that it has the same noise. The client's process and the
// server share the machine if the DSN is of a server on it.
type Postgres struct {
	DSN      string        // a URL of a database, in which schemas are made and dropped
	Round    time.Duration // of one measurement, after a fifth of it to warm up
	Rounds   int           // of each
	Agents   int           // chosen uniformly
	Batch    Load          // how steps are offered in batches; 16 callers, batches of 512
	Shards   int           // of the engine's stores; the store's default
	Only     string        // measures only the groups whose name contains this
	Progress func(string)
}

// batchLoad is what Postgres.Batch is without another: enough steps that all
// shards have full units, and less than the engine takes at once.
var batchLoad = Load{Callers: 16, Group: 512}

// pgRun is one run of it.
type pgRun struct {
	Postgres
	ctx     context.Context
	server  *pgx.Conn
	schemas []string
	sheet   *Sheet

	connections int // with which a transaction for each operation does best; 0 until that is known
}

// maxConnections is how many the contenders have: 16 for each node, and what the
// others try; and as many again that the group before has just closed.
const maxConnections = 2*(4*16+mostConnections) + 10

// Compare measures. The sheet has no command and no time of its start: the
// caller knows them.
func (p Postgres) Compare(ctx context.Context) (*Sheet, error) {
	return p.run(ctx, "Semel on PostgreSQL, beside what one would write by hand", func(r *pgRun) error {
		if err := r.room(); err != nil {
			return err
		}
		r.sheet.note("every contender's client runs in this process, beside the server; three nodes ask each other over HTTP on the loopback address, and each group of calls asks any of them")
		r.sheet.note("keys carry their time (UUIDv7), and those of now are known to be new without a look; those without a time (UUIDv4) are looked up once a shard's node is younger than its log")
		groups := []struct {
			name    string
			measure func(name string) error
		}{
			{"batches", r.batches},
			{"1 caller", func(name string) error { return r.callers(name, 1) }},
			{"64 callers", func(name string) error { return r.callers(name, 64) }},
			{"256 callers", func(name string) error { return r.callers(name, 256) }},
			{"keys without a time", r.timeless},
			{"outbox, 1 writer", func(name string) error { return r.outbox(name, 1) }},
			{"outbox, 16 writers", func(name string) error { return r.outbox(name, 16) }},
		}
		for _, g := range groups {
			if !strings.Contains(g.name, p.Only) {
				continue
			}
			if err := g.measure(g.name); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			if err := r.drop(); err != nil {
				return err
			}
		}
		return nil
	})
}

// run does it with a connection to the server, and drops what was made.
func (p Postgres) run(ctx context.Context, title string, measure func(*pgRun) error) (sheet *Sheet, err error) {
	began := time.Now()
	if p.Batch == (Load{}) {
		p.Batch = batchLoad
	}
	server, err := pgx.Connect(ctx, p.DSN)
	if err != nil {
		return nil, err
	}
	r := &pgRun{Postgres: p, ctx: ctx, server: server, sheet: &Sheet{Title: title}}
	defer func() { err = errors.Join(err, r.drop(), server.Close(context.WithoutCancel(ctx))) }()
	if err := r.look(); err != nil {
		return nil, err
	}
	r.sheet.Machine = r.machine()
	if err := measure(r); err != nil {
		return nil, err
	}
	r.sheet.Took = time.Since(began)
	return r.sheet, nil
}

// schema makes the name of a schema of this run, which is dropped after it.
func (r *pgRun) schema(what string) string {
	name := "semel_bench_" + what + "_" + strings.ToLower(rand.Text()[:6])
	r.schemas = append(r.schemas, name)
	return name
}

// create is schema, and makes it.
func (r *pgRun) create(what string) (string, error) {
	name := r.schema(what)
	_, err := r.server.Exec(r.ctx, "CREATE SCHEMA "+name)
	return name, err
}

func (r *pgRun) drop() error {
	var errs []error
	for _, name := range r.schemas {
		_, err := r.server.Exec(context.WithoutCancel(r.ctx), "DROP SCHEMA IF EXISTS "+name+" CASCADE")
		errs = append(errs, err)
	}
	r.schemas = nil
	return errors.Join(errs...)
}

// turns measures contenders in turns.
func (r *pgRun) turns(name string, rounds int, each time.Duration, all ...*contender) error {
	return turns{ctx: r.ctx, agents: r.Agents, progress: r.Progress}.take(name, rounds, each, all...)
}

// best is the one of several ways that does most, by rounds of half the length.
// What was tried is told.
func (r *pgRun) best(name string, all ...*contender) (*contender, error) {
	top, tried, err := turns{ctx: r.ctx, agents: r.Agents, progress: r.Progress}.best(name, r.Round/2, all...)
	if err == nil {
		r.sheet.note("%s", tried)
	}
	return top, err
}

// add puts a row on the sheet: one contender, beside another if that is not nil.
func (r *pgRun) add(c, beside *contender, g goal) { r.sheet.add(c, beside, g) }

var (
	unitsGoal = goal{0.7}
	eachGoal  = goal{3}
)

// machine is this one, with the file system that the server is on: if it is on
// this machine, and the user may know where.
func (r *pgRun) machine() Machine {
	m := thisMachine(".")
	m.FileSystem, m.Device = "", ""
	var dir string
	if err := r.server.QueryRow(r.ctx, "SELECT current_setting('data_directory')").Scan(&dir); err == nil {
		m.FileSystem, m.Device = FileSystem(dir)
	}
	return m
}

// look asks the server what it is.
func (r *pgRun) look() error {
	for _, name := range []string{
		"server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "max_connections",
		"wal_sync_method", "autovacuum_naptime", "synchronous_standby_names",
	} {
		var value string
		if err := r.server.QueryRow(r.ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return err
		}
		if value != "" {
			r.sheet.Server = append(r.sheet.Server, Setting{name, value})
		}
	}
	return nil
}

// room refuses a server with too few connections for all contenders.
func (r *pgRun) room() error {
	var room int
	if err := r.server.QueryRow(r.ctx, "SELECT current_setting('max_connections')::int").Scan(&room); err != nil {
		return err
	}
	if room < maxConnections {
		return fmt.Errorf("the server takes %d connections, and the contenders have up to %d: raise max_connections", room, maxConnections)
	}
	return nil
}

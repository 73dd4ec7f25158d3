package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"github.com/semel-dev/semel/store"
)

// DefaultShards is the number of shards of a store that is created without
// saying how many. It is more than an embedded store's, because shards are what
// nodes share among them.
const DefaultShards = 32

// maxConns is how many connections a process has at most, unless the DSN says
// pool_max_conns.
const maxConns = 16

// leaseConns is how many more connections a node of a cluster has, for its lease.
const leaseConns = 2

// Options of a store. The zero value of a field means its default.
type Options struct {
	// Schema is the schema that the tables are in, created if need be; "semel".
	Schema string
	// Shards is fixed when the store is created; the default is DefaultShards.
	// When an existing store is opened, zero takes what it has and any other
	// number than that is an error.
	Shards int
	// Existing makes nothing: where there is no store, the error wraps ErrNoStore.
	Existing bool
	// Lease is how long a former owner of a shard may go on believing that it
	// is; 10 s. All nodes should have the same.
	Lease time.Duration
	// MaxUnitBytes is the largest unit; 16 MiB.
	MaxUnitBytes int
	// Patience is how long one statement may take until it is given up, a unit's
	// as UNKNOWN; 30 s. It must be longer than the database's own failover.
	Patience time.Duration
	// UnsafeServer takes a server on which what is acknowledged may be lost:
	// with fsync, full_page_writes or synchronous_commit off. It is for tests
	// and demonstrations.
	UnsafeServer bool

	// dial is for tests.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ErrNoStore: there is no store in the schema, and Options.Existing asks for one.
var ErrNoStore = errors.New("there is no store")

// schemas need no quotes: what the schema is called in SQL is what it is
// called in the catalog.
var schemas = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func (o Options) withDefaults() Options {
	if o.Schema == "" {
		o.Schema = "semel"
	}
	if o.Lease == 0 {
		o.Lease = 10 * time.Second
	}
	if o.MaxUnitBytes == 0 {
		o.MaxUnitBytes = 16 << 20
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	return o
}

func (o Options) validate() error {
	switch {
	case !schemas.MatchString(o.Schema):
		return fmt.Errorf("options: the schema %q; choose lower-case letters, digits and _, at most 40", o.Schema)
	case o.Shards < 0 || o.Shards > 1<<16:
		return fmt.Errorf("options: %d shards; choose 1 to 65536, or 0 for the default", o.Shards)
	case o.Lease < time.Second:
		return fmt.Errorf("options: a lease of %v; choose a second or more", o.Lease)
	case o.MaxUnitBytes < 64<<10 || o.MaxUnitBytes > 256<<20:
		return fmt.Errorf("options: MaxUnitBytes is %d; choose 64 KiB to 256 MiB", o.MaxUnitBytes)
	case o.Patience < 0:
		return fmt.Errorf("options: a patience of %v", o.Patience)
	}
	return nil
}

// At names a database by its DSN, a URL or "host=… dbname=…" as libpq takes it,
// with pgx's own parameters such as pool_max_conns and default_query_exec_mode.
// The tables are made when the store is opened for the first time. At most one
// Options may be given.
func At(dsn string, options ...Options) store.Opener {
	o := opener{dsn: dsn, extra: len(options) > 1}
	if len(options) > 0 {
		o.opt = options[0]
	}
	return o
}

type opener struct {
	dsn   string
	opt   Options
	extra bool
}

// OpenStore connects, migrates the tables if need be, and checks the server.
func (o opener) OpenStore(ctx context.Context) (store.Store, error) {
	st, err := o.openAny(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.charter) > 0 {
		return nil, errors.Join(fmt.Errorf("open the PostgreSQL store: %w", errPart), st.Close())
	}
	return st, nil
}

// openAny opens the database, whether or not it is a part of something.
func (o opener) openAny(ctx context.Context) (*Store, error) {
	if o.extra {
		return nil, errors.New("open the PostgreSQL store: at most one Options may be given")
	}
	opt := o.opt.withDefaults()
	if err := opt.validate(); err != nil {
		return nil, fmt.Errorf("open the PostgreSQL store: %w", err)
	}
	st, err := open(ctx, o.dsn, opt)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL store: %w", err)
	}
	return st, nil
}

package outbox

import (
	"fmt"
	"regexp"
	"time"
)

// Outbox writes to its tables in the transactions of its callers. It has no
// state but its configuration, and is safe for concurrent use.
type Outbox struct {
	dialect   Dialect
	prefix    string
	parts     int
	retention time.Duration
	q         queries
}

// Config of an Outbox. All programs that share its tables must agree on it. The
// zero value is good.
type Config struct {
	// Prefix begins the names of all tables. It may begin with a schema:
	// "billing.semel_". Letters, digits and underscores in lower case, 40 bytes
	// at most without the schema. The default is "semel_".
	Prefix string
	// Retention is how long a key of Once is remembered after it was claimed:
	// no retry may come later than that. The default is 7 days, at least 1 hour.
	Retention time.Duration
	// Partitions is how many relays can deliver at the same time. It is written
	// by the first migration and fixed by it. The default is 8, at most 256.
	Partitions int
}

const (
	defaultPrefix     = "semel_"
	defaultRetention  = 7 * 24 * time.Hour
	leastRetention    = time.Hour
	defaultPartitions = 8
	mostPartitions    = 256
	mostPrefix        = 40
)

var validPrefix = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,62}\.)?[a-z_][a-z0-9_]*$`)

// New checks the configuration; nil is its zero value. It does not touch the
// database: see Migrate.
func New(d Dialect, cfg *Config) (*Outbox, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.Retention == 0 {
		c.Retention = defaultRetention
	}
	if c.Partitions == 0 {
		c.Partitions = defaultPartitions
	}
	switch {
	case !d.known():
		return nil, fmt.Errorf("outbox: %v is no dialect of this package", d)
	case !validPrefix.MatchString(c.Prefix) || len(unqualified(c.Prefix)) > mostPrefix:
		return nil, fmt.Errorf("outbox: the prefix %q must be lower-case letters, digits and underscores, %d bytes at most, after an optional schema", c.Prefix, mostPrefix)
	case c.Retention < leastRetention:
		return nil, fmt.Errorf("outbox: a retention of %v is shorter than %v", c.Retention, leastRetention)
	case c.Partitions < 1 || c.Partitions > mostPartitions:
		return nil, fmt.Errorf("outbox: %d partitions are not between 1 and %d", c.Partitions, mostPartitions)
	}
	o := &Outbox{dialect: d, prefix: c.Prefix, parts: c.Partitions, retention: c.Retention}
	o.q = queriesOf(d, c.Prefix)
	return o, nil
}

// Dialect is what New was told.
func (o *Outbox) Dialect() Dialect { return o.dialect }

package outbox

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect is the database that an Outbox writes to.
type Dialect uint8

// The databases. MySQL 8 is close enough to MariaDB to be tried under that
// name; the tests run MariaDB only.
const (
	PostgreSQL Dialect = iota + 1 // 15 or newer
	MariaDB                       // 10.6 or newer, InnoDB
	SQLite                        // 3.42 or newer
)

func (d Dialect) known() bool { return d >= PostgreSQL && d <= SQLite }

// String is the dialect's name.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "PostgreSQL"
	case MariaDB:
		return "MariaDB"
	case SQLite:
		return "SQLite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// now is the database's own clock as an expression: microseconds since 1970. All
// times in the tables are such integers: sessions differ in their time zones, and
// drivers in what they make of a timestamp.
func (d Dialect) now() string {
	switch d {
	case PostgreSQL:
		return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	case MariaDB:
		return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	default:
		return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	}
}

// rebind numbers the placeholders of a statement for PostgreSQL. No statement of
// this package has a question mark in a literal.
func (d Dialect) rebind(query string) string {
	if d != PostgreSQL {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 32)
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = after
	}
}

// hex is a literal of bytes.
func (d Dialect) hex(b []byte) string {
	if d == PostgreSQL {
		return fmt.Sprintf(`'\x%x'`, b)
	}
	return fmt.Sprintf("x'%x'", b)
}

// pairs is a condition that the row is one of n, each given by ordering key and
// number. MariaDB looks up a list of alternatives by the index, a list of pairs
// it does not.
func (d Dialect) pairs(n int) string {
	switch d {
	case PostgreSQL:
		return "(okey, n) IN (VALUES " + list("(?::bytea, ?::bigint)", n) + ")"
	case MariaDB:
		return "(" + strings.Repeat("okey = ? AND n = ? OR ", n-1) + "okey = ? AND n = ?)"
	default:
		return "(okey, n) IN (VALUES " + list("(?, ?)", n) + ")"
	}
}

// list repeats an element with commas between.
func list(element string, n int) string {
	return strings.Repeat(element+", ", n-1) + element
}

// unqualified is a name without its schema.
func unqualified(name string) string {
	if _, rest, found := strings.Cut(name, "."); found {
		return rest
	}
	return name
}

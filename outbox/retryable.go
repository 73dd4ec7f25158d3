package outbox

import (
	"reflect"
	"strings"
	"unicode/utf8"
)

// Retryable says that a driver's error, of a statement or of a commit, means: it
// was not done, roll back and run the transaction again. It knows the errors of
// pgx, lib/pq, go-sql-driver/mysql, modernc.org/sqlite and mattn/go-sqlite3
// without importing them.
//
// An error of a commit that is not retryable leaves unknown whether it was
// committed, unless the driver knows better. Run the transaction again with the
// same key of Once: it finds the outcome, or runs.
func Retryable(err error) bool {
	return anyOf(err, func(err error) bool {
		switch e := err.(type) {
		case interface{ SQLState() string }: // PostgreSQL
			switch e.SQLState() {
			case "40001", // serialization_failure
				"40P01", // deadlock_detected
				"55P03": // lock_not_available: lock_timeout
				return true
			}
		case interface{ Code() int }: // modernc.org/sqlite
			return busy(int64(e.Code()))
		}
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			return false
		}
		switch v.Type().Name() {
		case "MySQLError":
			if n := v.FieldByName("Number"); n.CanUint() {
				switch n.Uint() {
				case 1213, // deadlock; the server has rolled all of it back
					1205, // lock wait timeout; the server has rolled back the statement only
					1020: // a row changed since the snapshot (innodb_snapshot_isolation)
					return true
				}
			}
		case "Error": // mattn/go-sqlite3
			if n := v.FieldByName("ExtendedCode"); n.CanInt() {
				return busy(n.Int())
			}
		}
		return false
	})
}

// busy says that a result code of SQLite is SQLITE_BUSY, in any of its extended
// forms (BUSY_SNAPSHOT is a deferred transaction that read before others wrote),
// or SQLITE_LOCKED, which is the same between connections that share a cache.
func busy(code int64) bool {
	primary := code & 0xff
	return primary == 5 || primary == 6
}

// anyOf says whether an error, or one that it wraps, is such.
func anyOf(err error, such func(error) bool) bool {
	if err == nil {
		return false
	}
	if such(err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return anyOf(e.Unwrap(), such)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if anyOf(err, such) {
				return true
			}
		}
	}
	return false
}

// cut shortens a text to n bytes, makes it valid UTF-8 and takes out what
// PostgreSQL does not store in a text.
func cut(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) <= n {
		return s
	}
	for s = s[:n]; !utf8.ValidString(s); {
		s = s[:len(s)-1]
	}
	return s
}

package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// badDSN says what is wrong with a DSN, in words of this package's own. The
// driver's quote what they could not read, and in a DSN that is malformed that
// may be a part of the password: of postgres://me:a/b@host it takes a for the
// port. So its error is not wrapped either.
func badDSN(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return fmt.Errorf("the DSN names a file that cannot be read: %w", file)
	}
	said := err.Error()
	said = said[max(0, strings.LastIndex(said, "`: ")):] // what comes before is the DSN
	for _, c := range dsnCauses {
		if strings.Contains(said, c.says) {
			return errors.New("the DSN " + c.cause)
		}
	}
	return errors.New("the DSN cannot be understood; write postgres://user:password@host:5432/database, or host=… user=… password=… dbname=…")
}

// dsnCauses are the driver's words, the more special ones first.
var dsnCauses = []struct{ says, cause string }{
	{"failed to parse as URL", "is no URL; in a user or a password write %2F for /, %3F for ?, %23 for #, %40 for @ and %25 for %"},
	{"failed to parse as keyword/value", "is neither a URL that begins with postgres://, nor pairs of keyword=value; quote values that have spaces: password='…'"},
	{"invalid port", "has a port that is none; in a password of a URL write %2F for /, %3F for ?, %23 for # and %3A for :"},
	{"port numbers to", "has another number of ports than of hosts"},
	{"sslmode is invalid", "has an sslmode that is none; choose disable, allow, prefer, require, verify-ca or verify-full"},
	{"failed to configure TLS", "has settings for TLS that do not fit: look at sslmode, sslcert, sslkey and sslrootcert"},
	{"target_session_attrs", "has a target_session_attrs that is none; choose read-write for the primary"},
	{"connect_timeout", "has a connect_timeout that is no number of seconds"},
	{"failed to read service", "names a service that cannot be read"},
	{"pool_max_conns", "has a pool_max_conns that is no number above 0"},
	{"pool_", "has a parameter pool_… that is none"},
	{"default_query_exec_mode", "has a default_query_exec_mode that is none; choose exec behind a pooler"},
}

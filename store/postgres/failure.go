package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/store"
)

// The SQLSTATEs that mean something here.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	noTable              = "42P01"
	diskFull             = "53100"
	readOnly             = "25006"
	noLock               = "55P03"
	noStatement          = "26000"
	planChanged          = "0A000"
)

// refusal returns the error by which the server says that it rolled the
// statement's transaction back; nil if err proves nothing of the kind.
//
// Only an ERROR does: it is answered by a server that goes on, after it rolled
// back. FATAL and PANIC end a backend, anywhere in a commit. Of the codes, some
// are about a connection or a shutdown, or say that the end is not known; and
// proxies make up errors of their own, in the classes 08, 58 and XX, of
// statements that they have sent on.
func refusal(err error) *pgconn.PgError {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return nil
	}
	severity := said.SeverityUnlocalized
	if severity == "" {
		severity = said.Severity
	}
	if severity != "ERROR" || len(said.Code) != 5 || said.Code == "40003" {
		return nil
	}
	for _, class := range []string{"08", "57P", "58", "XX"} {
		if strings.HasPrefix(said.Code, class) {
			return nil
		}
	}
	return said
}

// again says whether a transaction that was rolled back for this reason may do
// better if it is repeated (FAULTS 40).
func again(said *pgconn.PgError) bool {
	switch said.Code {
	case serializationFailure, deadlockDetected, noStatement, planChanged:
		return true
	}
	return false
}

// unreachable marks errors of connecting, and of connections that broke, for
// operations whose fate does not matter.
func unreachable(err error) error {
	var said *pgconn.PgError
	var server *ServerError
	switch {
	case errors.As(err, &server):
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	case errors.As(err, &said) && refusal(err) != nil && said.Code != readOnly:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

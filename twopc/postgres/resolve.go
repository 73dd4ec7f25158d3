package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Commit implements [twopc.Participant].
func (p *Participant) Commit(ctx context.Context, b twopc.Prepared) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	return p.resolve(ctx, "COMMIT", committed, b)
}

// Abort implements [twopc.Participant]. Without a handle it returns nil only when
// nothing of the branch is prepared and no transaction that would prepare it is
// open.
func (p *Participant) Abort(ctx context.Context, b twopc.Prepared) error {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	if b.Handle != "" {
		return p.resolve(ctx, "ROLLBACK", aborted, b)
	}
	if err := (twopc.Branch{Tx: b.Tx, Name: b.Name}).Validate(); err != nil {
		return semel.NotDone(err)
	}
	all, err := list(ctx, p.pool, branchOf(b.Tx, b.Name))
	for _, one := range all {
		err = errors.Join(err, p.resolve(ctx, "ROLLBACK", aborted, one))
	}
	if err != nil {
		return err
	}
	alone, err := tryLock(ctx, p.pool, b.Tx, b.Name) // and at once it is free again
	if err == nil && !alone {
		err = errors.New("a call that prepares the branch is under way; it ends with its time at the latest")
	}
	if err != nil {
		return semel.NotDone(err)
	}
	return nil
}

// What the server says of a transaction that is over.
const (
	committed = "committed"
	aborted   = "aborted"
)

// resolve ends a prepared transaction. What is not certain is an ordinary error.
func (p *Participant) resolve(ctx context.Context, verb, want string, b twopc.Prepared) error {
	gid, h, err := gidOf(b)
	if err != nil {
		return semel.NotDone(err)
	}
	_, err = p.pool.Exec(ctx, verb+" PREPARED '"+gid+"'")
	switch code := refusal(err); {
	case err == nil:
		return nil
	case code == undefined:
		return p.gone(ctx, gid, h, want)
	case code != "":
		return semel.NotDone(err)
	}
	// Not asked is pgconn.SafeToRetry: of a simple query whose answer was lost it
	// says yes, because what is reported is the second read, of a closed connection.
	return fmt.Errorf("whether %s was resolved is not known: %w", gid, err)
}

// gone finds out what became of a prepared transaction that is not there any more.
func (p *Participant) gone(ctx context.Context, gid string, h handle, want string) error {
	var status *string
	var timeline string
	err := p.pool.QueryRow(ctx, fmt.Sprintf("SELECT pg_xact_status('%d'), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)", h.xid)).Scan(&status, &timeline)
	switch {
	case refusal(err) == invalidParameter: // a number that is still to come: this server never prepared it, whatever it did before it was restored
		if want == aborted {
			return nil
		}
		return semel.Reject(twopc.CodeResolvedOtherwise, "%s is not prepared, and the server has not come to its number: it lost it in a failover or a restore", gid)
	case err != nil:
		return fmt.Errorf("%s is not prepared any more; how it ended could not be asked: %w", gid, err)
	case timeline != h.timeline:
		return semel.OutcomeUnknown("%s is not prepared any more, and the server was promoted or restored since (timeline %s, then %s): "+
			"the number that it had may be another transaction's, so look at the data", gid, h.timeline, timeline)
	case status == nil:
		return semel.OutcomeUnknown("%s is not prepared any more, and the server does not remember how it ended, so long ago it is; look at the data", gid)
	case *status == want:
		return nil
	case *status == committed, *status == aborted:
		return semel.Reject(twopc.CodeResolvedOtherwise, "%s was resolved by somebody else: it is %s", gid, *status)
	}
	return semel.NotDone(fmt.Errorf("%s is being resolved (%s); ask again", gid, *status))
}

// SQLSTATEs.
const (
	undefined        = "42704" // there is no prepared transaction of that gid
	prerequisite     = "55000" // prepared transactions are disabled; a gid is busy
	unsupported      = "0A000" // the transaction did what cannot be prepared
	invalidParameter = "22023"
)

// refusal is the SQLSTATE by which the server refused a statement, having done
// nothing; "" for any other error. Of a connection that it ended (FATAL) that is
// not certain: PREPARE and COMMIT PREPARED can be interrupted while they wait for
// a standby, when they are done.
func refusal(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" {
		return e.Code
	}
	return ""
}

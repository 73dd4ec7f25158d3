package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/twopc"
)

// Recover implements [twopc.Participant]: it lists all gids of this database that
// begin with "semel:". Those that are no branch's are told by the error, which
// names them; nobody but a person resolves them.
func (p *Participant) Recover(ctx context.Context) ([]twopc.Prepared, error) {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	return list(ctx, p.pool, prefix)
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// list lists what is prepared in this database, the oldest first.
func list(ctx context.Context, q querier, begin string) ([]twopc.Prepared, error) {
	// No parameters, here and elsewhere: then pgx prepares no statement, which a
	// pooler may not have on its next connection.
	rows, err := q.Query(ctx, fmt.Sprintf(`SELECT gid, prepared FROM pg_catalog.pg_prepared_xacts
		WHERE database = current_database() AND starts_with(gid, '%s') ORDER BY prepared, gid`, begin))
	if err != nil {
		return nil, fmt.Errorf("list prepared transactions: %w", err)
	}
	defer rows.Close()
	var all []twopc.Prepared
	var odd []error
	for rows.Next() {
		var gid string
		var since time.Time
		if err := rows.Scan(&gid, &since); err != nil {
			return nil, fmt.Errorf("list prepared transactions: %w", err)
		}
		one, err := parseGID(gid)
		if err != nil {
			odd = append(odd, fmt.Errorf("the prepared transaction %q (since %s) is no branch's: %w; "+
				"whoever knows it resolves it by COMMIT PREPARED or ROLLBACK PREPARED", gid, since.UTC().Format(time.RFC3339), err))
			continue
		}
		one.Since = since
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list prepared transactions: %w", err)
	}
	return all, errors.Join(odd...)
}

// tryLock takes the lock of a branch until the end of the transaction, if it is
// free.
func tryLock(ctx context.Context, q querier, tx, name string) (got bool, err error) {
	err = q.QueryRow(ctx, fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", lockKey(tx, name))).Scan(&got)
	return got, err
}

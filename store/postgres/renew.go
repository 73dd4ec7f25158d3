package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ErrRenewed is what Open and Keep say in a process that had the store open when
// Renew made another one of it: what it remembers is of the former store. Nothing
// was done.
var ErrRenewed = errors.New("the store is another one than this process opened: it was renewed after a restore (semel store renew) meanwhile; restart this process")

// sameStore begins a condition that the incarnation is the one that follows.
const sameStore = `EXISTS (SELECT 1 FROM {s}.semel_store WHERE id = 1 AND incarnation = `

func (st *Store) incarnationText() string { return uuid.UUID(st.incarnation).String() }

// Renew makes of a database that was restored from a backup a store of its own:
// with another incarnation, so that nothing issued by the store before can be
// mistaken for it, and with epochs above those of the backup. It is called once,
// after the restore and before any node opens the store; what processes remember
// of the former store counts no more, and one that has it open is refused with
// ErrRenewed. At most one Options may be given.
//
// A backup is the database's own: pg_dump, a base backup, a snapshot; all of them
// are consistent, because a unit is a transaction.
func Renew(ctx context.Context, dsn string, options ...Options) error {
	st, err := At(dsn, options...).(opener).openAny(ctx)
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	// Made twice, it is made: the answer may be lost.
	if err = st.exec(ctx, st.sql.with(takenAtTheirWord+" ON CONFLICT DO NOTHING")); err != nil {
		return errors.Join(fmt.Errorf("renew: %w", err), st.Close())
	}
	err = st.exec(ctx, st.sql.with(`WITH fences AS (
		UPDATE {s}.semel_shard SET epoch = epoch + 1000, era = era + 1, lost = 0, session = NULL, held = true
	), leases AS (
		UPDATE {s}.semel_lease SET holder = '', clean = false
	), given AS (
		DELETE FROM {s}.semel_given WHERE reader >= 0
	) UPDATE {s}.semel_store SET incarnation = $1::uuid`), uuid.NewString())
	if err != nil {
		err = fmt.Errorf("renew: %w", err)
	}
	return errors.Join(err, st.Close())
}

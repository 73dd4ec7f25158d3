package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Letter is a message that was given up.
type Letter struct {
	Message
	DeadID   int64 // by which it is retried or dropped
	DiedAt   time.Time
	Attempts int64
	Unknown  bool   // an attempt may have been delivered
	Error    string // of the last attempt
}

// Dead lists up to limit dead letters, the oldest first, of those behind the
// DeadID after; zero begins at the first one. One whose headers cannot be read has
// none, and says so in its Error.
func (o *Outbox) Dead(ctx context.Context, db Tx, after int64, limit int) ([]Letter, error) {
	q := o.q.sql("SELECT " + columns + ", dead_id, died_at, attempts, unknown, error FROM {p}outbox_dead WHERE dead_id > ? ORDER BY dead_id LIMIT ?")
	var all []Letter
	err := each(ctx, db, q, []any{after, int64(limit)}, func(rows Rows) (err error) {
		var l Letter
		var died, unknown int64
		l.Message, err = scanMessage(rows, &l.DeadID, &died, &l.Attempts, &unknown, &l.Error)
		l.DiedAt, l.Unknown = time.UnixMicro(died).UTC(), unknown != 0
		all = append(all, l)
		return err
	})
	return all, err
}

// RetryDead sends dead letters again, with their ids, in one transaction, and
// returns how many there were. Each goes to the end of its key: the messages
// behind it have long gone on without it. One whose headers cannot be read is an
// error, and nothing is sent: mend them in the table, or drop it.
func (o *Outbox) RetryDead(ctx context.Context, db DB, deadIDs ...int64) (n int, err error) {
	return o.dead(ctx, db, deadIDs, true)
}

// DropDead forgets dead letters for good, and returns how many there were.
func (o *Outbox) DropDead(ctx context.Context, db DB, deadIDs ...int64) (n int, err error) {
	return o.dead(ctx, db, deadIDs, false)
}

func (o *Outbox) dead(ctx context.Context, db DB, deadIDs []int64, again bool) (n int, err error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			n = 0
			ctx, cancel := settling(ctx)
			defer cancel()
			err = errors.Join(err, tx.Rollback(ctx))
		}
	}()
	get := o.q.sql("SELECT " + columns + " FROM {p}outbox_dead WHERE dead_id = ?")
	remove := o.q.sql("DELETE FROM {p}outbox_dead WHERE dead_id = ?")
	var messages []Message
	for _, id := range deadIDs {
		var letter []Message
		if again {
			err := each(ctx, tx, get, []any{id}, func(rows Rows) error {
				m, err := scanMessage(rows)
				if err == nil && m.damage != nil { // sent without them it would be another one
					err = &Error{Op: "retry", What: fmt.Sprintf("dead letter %d", id), Err: m.damage}
				}
				letter = append(letter, m)
				return err
			})
			if err != nil {
				return 0, err
			}
			if len(letter) == 0 {
				continue
			}
		}
		result, err := tx.Exec(ctx, remove, id)
		if err != nil {
			return 0, err
		}
		if result.Affected == 1 { // else another one was faster
			messages = append(messages, letter...)
			n++
		}
	}
	if err := o.Send(ctx, tx, messages...); err != nil {
		return 0, err
	}
	return n, tx.Commit(ctx)
}

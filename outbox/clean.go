package outbox

import (
	"context"
	"errors"
	"time"
)

// Cleaned counts what Clean removed.
type Cleaned struct {
	Keys         int64 // of Once, beyond Config.Retention
	Delivered    int64 // messages that were kept
	OrderingKeys int64 // that nothing was sent with for a while
}

// CleanConfig of Clean. The zero value is good.
type CleanConfig struct {
	Delivered time.Duration // how long delivered messages are kept: 7 days
	Ordering  time.Duration // how long an ordering key is kept after it was used: 1 day, at least 1 hour
}

const cleanChunk = 1000

// Clean removes what is too old, in short statements that each commit by
// themselves. Run it now and then, once an hour for example; several at once do
// no harm. If it fails, what it did is done, and the rest waits for the next time.
func (o *Outbox) Clean(ctx context.Context, db DB, cfg *CleanConfig) (Cleaned, error) {
	c := CleanConfig{}
	if cfg != nil {
		c = *cfg
	}
	if c.Delivered == 0 {
		c.Delivered = defaultRetention
	}
	if c.Ordering == 0 {
		c.Ordering = 24 * time.Hour
	}
	if c.Ordering < time.Hour {
		return Cleaned{}, invalid("clean", "ordering keys are kept for an hour at least")
	}
	var out Cleaned
	var err error
	if out.Keys, err = o.forget(ctx, db); err != nil {
		return out, &Error{Op: "clean", What: "keys", Err: err}
	}
	if out.Delivered, err = o.purge(ctx, db, "outbox_delivered", "okey, n", "delivered_at", "{now} - ?", micros(c.Delivered)); err != nil {
		return out, &Error{Op: "clean", What: "delivered messages", Err: err}
	}
	if out.OrderingKeys, err = o.purgeOrdering(ctx, db, c.Ordering); err != nil {
		return out, &Error{Op: "clean", What: "ordering keys", Err: err}
	}
	return out, nil
}

// forget removes keys of Once behind the horizon, which it moves first, and for
// good: should the clock have been ahead, and go back, then keys that carry a time
// behind it are refused as expired, and do not run a second time. What was claimed
// since the clock went back is as old as the clock says, and stays.
func (o *Outbox) forget(ctx context.Context, db DB) (int64, error) {
	age := micros(o.retention)
	if _, err := db.Exec(ctx, o.q.advance, age, age); err != nil {
		return 0, err
	}
	var horizon int64
	found, err := one(ctx, db, o.q.horizon, []any{age, age}, &horizon)
	if err == nil && !found {
		err = errors.New("the table of the horizon is empty: run Migrate")
	}
	if err != nil {
		return 0, err
	}
	return o.purge(ctx, db, "once", "khash", "claimed_at", "?", horizon)
}

// purge deletes the rows of a table that are older than a time, in chunks: a
// statement that deletes millions holds up others.
func (o *Outbox) purge(ctx context.Context, db DB, table, key, at, before string, arg int64) (int64, error) {
	old := at + " < " + before + " ORDER BY " + at + " LIMIT ?"
	query := "DELETE FROM {p}" + table + " WHERE (" + key + ") IN (SELECT " + key + " FROM {p}" + table + " WHERE " + old + ")"
	if o.dialect == MariaDB {
		query = "DELETE FROM {p}" + table + " WHERE " + old
	}
	query = o.q.sql(query)
	var total int64
	for {
		r, err := db.Exec(ctx, query, arg, int64(cleanChunk))
		if err != nil {
			return total, err
		}
		total += r.Affected
		if r.Affected < cleanChunk {
			return total, nil
		}
	}
}

// purgeOrdering deletes idle ordering keys, one by one: a row may be held by a
// transaction that sends, and who waits for one should not hold others. A key
// that comes back begins at the time, which is beyond where it ended.
func (o *Outbox) purgeOrdering(ctx context.Context, db DB, age time.Duration) (int64, error) {
	idle := o.q.sql("SELECT okey FROM {p}outbox_keys WHERE okey > ? AND used_at < {now} - ? ORDER BY okey LIMIT ?")
	remove := o.q.sql("DELETE FROM {p}outbox_keys WHERE okey = ? AND used_at < {now} - ?" +
		" AND last < {now} AND NOT EXISTS (SELECT 1 FROM {p}outbox_messages AS m WHERE m.okey = {p}outbox_keys.okey)")
	var total int64
	after := []byte{}
	for {
		var found [][]byte
		err := each(ctx, db, idle, []any{after, micros(age), int64(cleanChunk)}, func(rows Rows) error {
			var okey []byte
			err := rows.Scan(&okey)
			found = append(found, okey)
			return err
		})
		if err != nil {
			return total, err
		}
		for _, okey := range found {
			r, err := db.Exec(ctx, remove, okey, micros(age))
			if err != nil {
				return total, err
			}
			total += r.Affected
		}
		if len(found) < cleanChunk {
			return total, nil
		}
		after = found[len(found)-1]
	}
}

// Backlog is what waits.
type Backlog struct {
	Messages int64         // committed and not delivered
	Oldest   time.Duration // the age of the oldest of them, by the database's clock
	Stuck    int64         // keys whose first message failed
	Dead     int64         // dead letters
}

// Backlog counts what waits. It reads all of what is not delivered.
func (o *Outbox) Backlog(ctx context.Context, db Tx) (Backlog, error) {
	var b Backlog
	var age int64
	_, err := one(ctx, db, o.q.sql("SELECT (SELECT COUNT(*) FROM {p}outbox_messages),"+
		" COALESCE((SELECT {now} - MIN(sent_at) FROM {p}outbox_messages), 0),"+
		" (SELECT COUNT(*) FROM {p}outbox_stuck), (SELECT COUNT(*) FROM {p}outbox_dead)"), nil, &b.Messages, &age, &b.Stuck, &b.Dead)
	b.Oldest = max(time.Duration(age)*time.Microsecond, 0)
	return b, err
}

package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Send appends messages in the caller's transaction: they exist when it is
// committed, and are gone if it is not. Messages with the same key keep the order
// of the arguments, and of the calls.
//
// A transaction that sends with a key makes others that send with that key wait
// until it ends, which is what puts them in order. So send late in a transaction.
// PostgreSQL under repeatable read and serializable does not let one that waited
// go on: ErrRetry. Keys of one call are taken in a fixed order; transactions that
// call Send twice with different keys may run into a deadlock: ErrRetry.
//
// After an error roll the transaction back. Nothing was sent.
func (o *Outbox) Send(ctx context.Context, tx Tx, messages ...Message) error {
	rows := make([]row, len(messages))
	for i := range messages {
		var err error
		if rows[i], err = rowOf(&messages[i]); err != nil {
			return &Error{Op: "send", What: fmt.Sprintf("%q", messages[i].ID), Err: err}
		}
	}
	// Whoever takes several keys takes them in one order, and so never waits
	// for somebody who waits for him.
	slices.SortStableFunc(rows, func(a, b row) int { return bytes.Compare(a.okey[:], b.okey[:]) })
	for len(rows) > 0 {
		n := chunk(rows)
		if err := o.append(ctx, tx, rows[:n]); err != nil {
			return failed("send", "", err)
		}
		rows = rows[n:]
	}
	return nil
}

// A statement has as many parameters as SQLite takes (32,766), and as many bytes
// as MariaDB does (max_allowed_packet is 16 MiB, or more than what is set here).
const (
	chunkRows  = 128
	chunkBytes = 4 << 20
)

// chunk is how many of the rows, of which there are some, go into one statement.
func chunk(rows []row) int {
	bytes := 0
	for i := range rows {
		bytes += len(rows[i].body) + len(rows[i].headers) + 4*mostNameBytes
		if i == chunkRows || i > 0 && bytes > chunkBytes {
			return i
		}
	}
	return len(rows)
}

func (o *Outbox) append(ctx context.Context, tx Tx, rows []row) error {
	keys := keysOf(rows)
	if o.dialect == PostgreSQL {
		return o.appendAtOnce(ctx, tx, keys, rows)
	}
	// last is the number of the last message of each key.
	last := make(map[[okeyBytes]byte]int64, len(keys))
	for _, k := range keys {
		n, err := o.take(ctx, tx, k)
		if err != nil {
			return err
		}
		last[k.okey] = n
	}
	args := make([]any, 0, 8*len(rows))
	for i := range rows {
		r := &rows[i]
		n := int64(1)
		if r.ordered {
			n = last[r.okey] - int64(r.position)
		}
		args = append(args, r.okey[:], n, r.id, r.key, r.topic, r.typ, r.headers, r.body)
	}
	_, err := tx.Exec(ctx, o.q.appendRows(len(rows)), args...)
	return err
}

// added is how many messages a statement adds to a key.
type added struct {
	okey  [okeyBytes]byte
	count int64
}

// keysOf counts the messages of each ordered key, in the order of the keys, and
// gives each message its position from the end.
func keysOf(rows []row) []added {
	var keys []added
	for i := len(rows) - 1; i >= 0; i-- {
		r := &rows[i]
		if !r.ordered {
			continue
		}
		if len(keys) == 0 || keys[len(keys)-1].okey != r.okey {
			keys = append(keys, added{okey: r.okey})
		}
		k := &keys[len(keys)-1]
		r.position = int(k.count)
		k.count++
	}
	slices.Reverse(keys)
	return keys
}

// take takes numbers of a key, and its row with them, and returns the last one.
func (o *Outbox) take(ctx context.Context, tx Tx, k added) (int64, error) {
	if o.dialect == MariaDB {
		r, err := tx.Exec(ctx, o.q.take, k.okey[:], k.count, k.count)
		if err == nil && r.LastID <= 0 {
			err = errors.New("the driver does not tell LAST_INSERT_ID")
		}
		return r.LastID, err
	}
	var last int64
	found, err := one(ctx, tx, o.q.take, []any{k.okey[:], k.count, k.count}, &last)
	if err == nil && !found {
		err = errors.New("the key's row is not there after it was written")
	}
	return last, err
}

// appendAtOnce takes the numbers and writes the messages in one statement.
func (o *Outbox) appendAtOnce(ctx context.Context, tx Tx, keys []added, rows []row) error {
	args := make([]any, 0, 2*len(keys)+8*len(rows))
	for _, k := range keys {
		args = append(args, k.okey[:], k.count)
	}
	for i := range rows {
		r := &rows[i]
		args = append(args, r.okey[:], int64(r.position), r.id, r.key, r.topic, r.typ, r.headers, r.body)
	}
	result, err := tx.Exec(ctx, o.q.appendAtOnce(len(keys), len(rows)), args...)
	if err == nil && result.Affected != int64(len(rows)) {
		err = fmt.Errorf("%d of %d messages were written", result.Affected, len(rows))
	}
	return err
}

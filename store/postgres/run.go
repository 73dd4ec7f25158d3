package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// fate is what is known of a statement that was tried.
type fate int

const (
	done    fate = iota // its transaction is committed
	refused             // the server rolled it back, see refusal
	unsent              // nothing of it was sent
	unknown             // all else
)

// query is one statement.
type query struct {
	sql  string
	args []any
	// row is called for each row of the result. When the statement is tried
	// again, begin is called first.
	row   func(pgx.Rows) error
	begin func()
	// pool has the connections that it goes by; nil for those of units and reads.
	pool *pgxpool.Pool
	// harmless: it may be made twice, so an unknown fate is a reason to repeat it.
	harmless bool
}

// tries bounds how often a statement is tried: a serialization failure may come
// again and again, but not for long if each try begins later than the others.
const (
	tries      = 10
	otherTries = 3 // of those that did not reach the server; the caller has more patience
	firstPause = time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// run tries a statement until its fate is one that more tries do not change, or
// until there were enough. It takes no longer than the store's patience. When
// ctx ends the connection is dropped; what was sent goes on in the server.
func (st *Store) run(ctx context.Context, q *query) (fate, error) {
	ctx, cancel := context.WithTimeout(ctx, st.opt.Patience)
	defer cancel()
	for try := 1; ; try++ {
		if q.begin != nil {
			q.begin()
		}
		f, err := st.once(ctx, q)
		repeat := false
		switch f {
		case refused:
			repeat = again(refusal(err)) && try < tries
		case unsent:
			var server *ServerError
			repeat = try < otherTries && !errors.As(err, &server)
		case unknown:
			repeat = q.harmless && try < otherTries
		}
		if !repeat || !pause(ctx, try) {
			return f, err
		}
	}
}

// pause waits before another try: longer each time, and not as long as others
// that failed at the same moment. It reports false when ctx ended.
func pause(ctx context.Context, try int) bool {
	longest := min(firstPause<<(try-1), lastPause)
	t := time.NewTimer(longest/2 + rand.N(longest/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once sends a statement, once, on any connection.
func (st *Store) once(ctx context.Context, q *query) (fate, error) {
	pool := st.pool
	if q.pool != nil {
		pool = q.pool
	}
	c, err := pool.Acquire(ctx)
	if err != nil {
		return unsent, err
	}
	defer c.Release()
	takeUnreplicated(c.Conn()) // what came with a statement before
	rows, err := c.Query(ctx, q.sql, q.args...)
	var misread error
	if err == nil {
		for rows.Next() {
			if q.row != nil && misread == nil {
				misread = q.row(rows)
			}
		}
		// Only the answer that follows the rows says that the transaction ended,
		// and Close reads it.
		rows.Close()
		err = rows.Err()
	}
	switch {
	case err == nil && takeUnreplicated(c.Conn()):
		return unknown, errors.New("it is committed on the primary, and its wait for the synchronous standby was given up: another server may be without it")
	case err == nil && misread != nil:
		return unknown, misread
	case err == nil:
		return done, nil
	case refusal(err) != nil:
		if refusal(err).Code == readOnly { // the primary became a standby
			pool.Reset()
		}
		return refused, err
	case pgconn.SafeToRetry(err):
		return unsent, err
	}
	if ctx.Err() == nil { // the server went away, and with it all connections
		pool.Reset()
	}
	return unknown, err
}

// exec runs a statement that may be made twice and returns no rows.
func (st *Store) exec(ctx context.Context, sql string, args ...any) error {
	f, err := st.run(ctx, &query{sql: sql, args: args, harmless: true})
	return st.harmlessError(ctx, f, err)
}

// harmlessError is the error of a statement whose fate does not matter.
func (st *Store) harmlessError(ctx context.Context, f fate, err error) error {
	switch {
	case f == done:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return unreachable(err)
}

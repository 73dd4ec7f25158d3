package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// beginRead waits until every unit that was submitted is answered: a read that
// is sent then sees them.
func (s *session) beginRead(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.store.enter(); err != nil {
		return s.readError(err)
	}
	s.mu.Lock()
	last, closed := s.last, s.closed
	s.mu.Unlock()
	var err error
	if closed {
		err = store.ErrClosed
	} else if last != nil {
		select {
		case <-last.done:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		s.mu.Lock()
		err = s.err()
		s.mu.Unlock()
	}
	if err != nil {
		s.store.leave()
		return s.readError(err)
	}
	return nil
}

func (s *session) endRead() { s.store.leave() }

func (s *session) readError(err error) error {
	return fmt.Errorf("read shard %d: %w", s.shard, err)
}

// checked begins a statement that reads, and whose every row begins with what
// checkedRow takes: whether the session still has the shard, on a server that
// has all of its units. There is one row at least, whatever is found.
func (s *session) checked(columns string) *statement {
	st := &statement{}
	st.say(`SELECT s.epoch = ?::bigint AND s.session = ?::uuid AND s.seq >= ?::bigint AND s.lost <= s.seq,
s.epoch, s.seq, s.owner, `+columns+`
FROM {s}.semel_shard s LEFT JOIN (`, int64(s.version.Epoch), s.token, int64(s.seen()))
	return st
}

// among ends such a statement.
func (st *statement) among(s *session, order string) {
	st.say(`) u ON true WHERE s.shard = ?::integer`+order, int32(s.shard))
}

// read runs a statement of checked. each takes a row's own columns, nil where
// nothing was found.
func (s *session) read(ctx context.Context, st *statement, begin func(), columns func() (into []any, each func())) error {
	rows, current := 0, false
	var epoch, seq int64
	var owner string
	q := query{sql: s.store.sql.with(st.text.String()), args: st.args, harmless: true}
	q.begin = func() {
		rows = 0
		begin()
	}
	q.row = func(r pgx.Rows) error {
		rows++
		into, each := columns()
		if err := r.Scan(append([]any{&current, &epoch, &seq, &owner}, into...)...); err != nil {
			return err
		}
		each()
		return nil
	}
	f, err := s.store.run(ctx, &q)
	switch {
	case f != done:
		return s.store.harmlessError(ctx, f, err)
	case rows == 0:
		return fmt.Errorf("%w: table semel_shard has no row for the shard", store.ErrCorrupt)
	case !current:
		return fmt.Errorf("%w: the database has epoch %d, unit %d, of owner %q", store.ErrFenced, epoch, seq, owner)
	}
	return nil
}

// missing says whether a table was not there.
func missing(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == noTable
}

// Get returns one value for each key, all of one moment.
func (s *session) Get(ctx context.Context, keys []message.RowKey) ([][]byte, error) {
	if err := s.beginRead(ctx); err != nil {
		return nil, err
	}
	defer s.endRead()
	if len(keys) == 0 {
		return nil, nil
	}
	rows, gens := sortKeys(keys)
	for try := 1; ; try++ {
		values, err := s.get(ctx, len(keys), rows, gens)
		if missing(err) && try < tries {
			if err = s.dropped(ctx, gens.order); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, s.readError(err)
		}
		return values, nil
	}
}

// wanted are keys of a table, and their places among all that are asked for.
type wanted struct {
	places []int32
	tables []int16
	keys   [][]byte
}

type wantedGens struct {
	order []message.Generation
	of    map[message.Generation]*wanted
}

func sortKeys(keys []message.RowKey) (rows wanted, gens wantedGens) {
	for i := range keys {
		k := &keys[i]
		checkTable(k.Table, k.Gen)
		key := k.Key
		if key == nil {
			key = []byte{} // nil would be NULL
		}
		of := &rows
		if k.Table == message.TableDedup {
			if of = gens.of[k.Gen]; of == nil {
				if gens.of == nil {
					gens.of = make(map[message.Generation]*wanted)
				}
				of = &wanted{}
				gens.of[k.Gen], gens.order = of, append(gens.order, k.Gen)
			}
		}
		of.places, of.tables, of.keys = append(of.places, int32(i)), append(of.tables, int16(k.Table)), append(of.keys, key)
	}
	return rows, gens
}

func (s *session) get(ctx context.Context, n int, rows wanted, gens wantedGens) ([][]byte, error) {
	there, err := s.existing(ctx, gens.order)
	if err != nil {
		return nil, err
	}
	st := s.getStatement(rows, gens, there)
	values := make([][]byte, n)
	err = s.read(ctx, st, func() { clear(values) }, func() ([]any, func()) {
		var place *int32
		var value []byte
		return []any{&place, &value}, func() {
			if place != nil {
				values[*place] = value
			}
		}
	})
	return values, err
}

func (s *session) getStatement(rows wanted, gens wantedGens, there []message.Generation) *statement {
	// LIMIT keeps the planner from any other way than to look up key by key. In a
	// join it would go through a table once that has no statistics yet, as every
	// generation is when it begins.
	//
	// A few keys are planned anew each time, because the server counts them. Hidden
	// in a subquery they would have one plan for all times, and be looked up in half
	// of it; but a plan of when the table had a page goes through all of it, until the
	// table is analyzed again.
	st := s.checked("u.place, u.value")
	st.say(`
SELECT k.place, r.value FROM unnest(?::integer[], ?::smallint[], ?::bytea[]) AS k(place, tbl, key)
CROSS JOIN LATERAL (SELECT d.value FROM {s}.semel_row d WHERE d.shard = ?::integer AND d.tbl = k.tbl AND d.key = k.key AND NOT d.gone LIMIT 1) r`,
		rows.places, rows.tables, rows.keys, int32(s.shard))
	for _, gen := range there {
		of := gens.of[gen]
		st.say(fmt.Sprintf(`
UNION ALL SELECT k.place, r.value FROM unnest(?::integer[], ?::bytea[]) AS k(place, key)
CROSS JOIN LATERAL (SELECT d.value FROM {s}.semel_dedup_%[1]d d WHERE d.shard = ?::integer AND d.key = k.key AND d.value IS NOT NULL LIMIT 1) r
WHERE NOT EXISTS (SELECT 1 FROM {s}.semel_retention t WHERE t.shard = ?::integer AND t.below > %[1]d)`, gen),
			of.places, of.keys, int32(s.shard), int32(s.shard))
	}
	st.among(s, "")
	return st
}

// Scan returns up to limit rows of a table, all of one moment, in the order of
// their keys.
func (s *session) Scan(ctx context.Context, r store.Range, limit int) ([]message.Row, error) {
	checkTable(r.Table, r.Gen)
	if err := s.beginRead(ctx); err != nil {
		return nil, err
	}
	defer s.endRead()
	if limit <= 0 {
		return nil, nil
	}
	for try := 1; ; try++ {
		rows, err := s.scan(ctx, r, limit)
		if missing(err) && try < tries && r.Table == message.TableDedup {
			if err = s.dropped(ctx, []message.Generation{r.Gen}); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, s.readError(err)
		}
		return rows, nil
	}
}

func (s *session) scan(ctx context.Context, r store.Range, limit int) ([]message.Row, error) {
	from := r.From
	if from == nil {
		from = []byte{}
	}
	st := s.checked("u.key, u.value")
	if r.Table != message.TableDedup {
		st.say("SELECT key, value FROM {s}.semel_row WHERE shard = ?::integer AND tbl = ?::smallint AND NOT gone AND key >= ?::bytea", int32(s.shard), int16(r.Table), from)
	} else {
		there, err := s.existing(ctx, []message.Generation{r.Gen})
		if err != nil {
			return nil, err
		}
		if len(there) == 0 { // the fence is asked all the same
			st.say("SELECT NULL::bytea AS key, NULL::bytea AS value WHERE false")
			st.among(s, "")
			return nil, s.read(ctx, st, func() {}, func() ([]any, func()) {
				var key, value []byte
				return []any{&key, &value}, func() {}
			})
		}
		st.say(fmt.Sprintf(`SELECT key, value FROM {s}.semel_dedup_%[1]d WHERE shard = ?::integer AND value IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM {s}.semel_retention t WHERE t.shard = ?::integer AND t.below > %[1]d) AND key >= ?::bytea`, r.Gen),
			int32(s.shard), int32(s.shard), from)
	}
	if r.To != nil {
		st.say(" AND key < ?::bytea", r.To)
	}
	st.say(" ORDER BY key LIMIT ?::bigint", int64(limit))
	st.among(s, " ORDER BY u.key")
	var rows []message.Row
	err := s.read(ctx, st, func() { rows = nil }, func() ([]any, func()) {
		var key, value []byte
		return []any{&key, &value}, func() {
			if key != nil {
				rows = append(rows, message.Row{Key: key, Value: value})
			}
		}
	})
	return rows, err
}

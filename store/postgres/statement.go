package postgres

import (
	"fmt"
	"strings"
	"sync"

	"github.com/semel-dev/semel/message"
)

// sqlCache makes SQL for a schema. Statements with the same parts have the same
// text, so that a connection prepares each once.
type sqlCache struct {
	schema string
	texts  sync.Map // what it is made from → text
}

func newSQL(schema string) *sqlCache { return &sqlCache{schema: schema} }

// with puts the schema into a text.
func (c *sqlCache) with(text string) string {
	if made, ok := c.texts.Load(text); ok {
		return made.(string)
	}
	made := strings.ReplaceAll(text, "{s}", c.schema)
	c.texts.Store(text, made)
	return made
}

// statement is SQL that is put together, with its arguments.
type statement struct {
	text strings.Builder
	args []any
}

// say appends text, in which each ? stands for the next of the arguments.
func (s *statement) say(text string, args ...any) {
	for _, arg := range args {
		before, after, _ := strings.Cut(text, "?")
		s.args = append(s.args, arg)
		fmt.Fprintf(&s.text, "%s$%d", before, len(s.args))
		text = after
	}
	s.text.WriteString(text)
}

// unitStatement is the one statement of a unit. It returns one row: whether the
// fence was the one expected, and what it was when the statement began.
//
// Parts that a unit does not need are left out. Those that write have no rows
// when the fence has none.
func (c *sqlCache) unitStatement(s *session, v message.Version, ch *changes) (string, []any) {
	st := &statement{args: make([]any, 0, 16)}
	st.say(`WITH fence AS (
UPDATE {s}.semel_shard SET seq = seq + 1
WHERE shard = ?::integer AND epoch = ?::bigint AND seq = ?::bigint AND session = ?::uuid AND lost <= seq
RETURNING shard)`, int32(s.shard), int64(v.Epoch), int64(v.Seq)-1, s.token)
	if len(ch.keys)+len(ch.bounded)+len(ch.endless) > 0 {
		ch.sayRows(st)
	}
	for _, gen := range ch.dedupOrd {
		d := ch.dedup[gen]
		st.say(fmt.Sprintf(`, dedup_%[1]d AS (
INSERT INTO {s}.semel_dedup_%[1]d (shard, key, value)
SELECT f.shard, u.key, u.value FROM fence f CROSS JOIN unnest(?::bytea[], ?::bytea[]) AS u(key, value)
ON CONFLICT (shard, key) DO UPDATE SET value = excluded.value)`, gen), d.keys, d.values)
	}
	st.say(`
SELECT (SELECT count(*) FROM fence), s.epoch, s.seq, s.era, s.lost, s.owner, s.session = $4::uuid
FROM {s}.semel_shard s WHERE s.shard = $1::integer`)
	return c.with(st.text.String()), st.args
}

// sayRows is the part that writes to semel_row. Rows of a deleted prefix are
// looked for by the same statement: its snapshot has all former units, because
// they were answered before it was sent.
func (ch *changes) sayRows(st *statement) {
	st.say(`, rows AS (
INSERT INTO {s}.semel_row (shard, tbl, key, value, gone)
SELECT f.shard, u.tbl, u.key, u.value, u.value IS NULL
FROM fence f CROSS JOIN unnest(?::smallint[], ?::bytea[], ?::bytea[]) AS u(tbl, key, value)`, ch.tables, ch.keys, ch.values)
	// $5 and $6 are the keys of the unit's own, which are not to be met twice. They
	// are hashed once; as a join they might be gone through for every row.
	const spared = ` AND NOT d.gone
WHERE (d.tbl, d.key) NOT IN (SELECT k.tbl, k.key FROM unnest($5::smallint[], $6::bytea[]) AS k(tbl, key))`
	if len(ch.bounded) > 0 {
		tables, from, to := columns(ch.bounded)
		st.say(`
UNION ALL SELECT f.shard, d.tbl, d.key, NULL, true
FROM fence f CROSS JOIN unnest(?::smallint[], ?::bytea[], ?::bytea[]) AS p(tbl, low, high)
JOIN {s}.semel_row d ON d.shard = $1::integer AND d.tbl = p.tbl AND d.key >= p.low AND d.key < p.high`+spared, tables, from, to)
	}
	if len(ch.endless) > 0 {
		tables, from, _ := columns(ch.endless)
		st.say(`
UNION ALL SELECT f.shard, d.tbl, d.key, NULL, true
FROM fence f CROSS JOIN unnest(?::smallint[], ?::bytea[]) AS p(tbl, low)
JOIN {s}.semel_row d ON d.shard = $1::integer AND d.tbl = p.tbl AND d.key >= p.low`+spared, tables, from)
	}
	st.say(`
ON CONFLICT (shard, tbl, key) DO UPDATE SET value = excluded.value, gone = excluded.gone)`)
}

func columns(spans []span) (tables []int16, from, to [][]byte) {
	for _, s := range spans {
		tables, from, to = append(tables, s.table), append(from, s.from), append(to, s.to)
	}
	return tables, from, to
}

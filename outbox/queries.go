package outbox

import (
	"fmt"
	"strings"
)

// queries are the statements of a dialect on the tables of a prefix. now is the
// database's clock within them.
type queries struct {
	d   Dialect
	p   string
	now string

	claim, claimant, recorded, settle, unclaim string // Once
	take                                       string // Send
	horizon, advance                           string // what is remembered
	fence, page, kill, stuckIn                 string // a relay's turn
	acquire, acquired, leases, release         string // leases
	alive, living, buried                      string // relays
}

func queriesOf(d Dialect, prefix string) queries {
	q := queries{d: d, p: prefix, now: d.now()}
	q.once()
	q.keys()
	q.relay()
	for _, s := range []*string{
		&q.claim, &q.claimant, &q.recorded, &q.settle, &q.unclaim, &q.horizon, &q.advance, &q.take, &q.fence, &q.page, &q.kill, &q.stuckIn,
		&q.acquire, &q.acquired, &q.leases, &q.release, &q.alive, &q.living, &q.buried,
	} {
		*s = q.sql(*s)
	}
	return q
}

// sql fills in the tables' prefix and the clock, and numbers the placeholders.
func (q *queries) sql(text string) string {
	return q.d.rebind(strings.NewReplacer("{p}", q.p, "{now}", q.now).Replace(text))
}

func (q *queries) once() {
	q.claim = "INSERT INTO {p}once (khash, claim, scope, id, fingerprint, status, code, detail, outcome, claimed_at)" +
		" VALUES (?, ?, ?, ?, ?, 0, '', '', NULL, {now})"
	// When it was claimed, and what may have been removed, as the key's own time
	// is judged by them, and by no other clock.
	times := "claimed_at, (SELECT at FROM {p}once_horizon WHERE one = 1)"
	if q.d == MariaDB {
		q.claim += " ON DUPLICATE KEY UPDATE khash = khash"
	} else {
		q.claim += " ON CONFLICT (khash) DO NOTHING RETURNING " + times
	}
	q.claimant = "SELECT claim, " + times + " FROM {p}once WHERE khash = ? FOR UPDATE"
	q.horizon = "SELECT CASE WHEN at < {now} - ? THEN at ELSE {now} - ? END FROM {p}once_horizon WHERE one = 1"
	q.advance = "UPDATE {p}once_horizon SET at = {now} - ? WHERE one = 1 AND at < {now} - ?"
	q.recorded = "SELECT fingerprint, status, code, detail, outcome FROM {p}once WHERE khash = ?"
	if q.d == MariaDB {
		q.recorded += " FOR UPDATE" // it has the lock; a plain read would see an old snapshot
	}
	q.settle = "UPDATE {p}once SET status = ?, code = ?, detail = ?, outcome = ? WHERE khash = ? AND claim = ?"
	q.unclaim = "DELETE FROM {p}once WHERE khash = ? AND claim = ?"
}

// keys: a key that is new begins at the time, see Message.Number.
func (q *queries) keys() {
	switch q.d {
	case MariaDB:
		q.take = "INSERT INTO {p}outbox_keys (okey, last, added, used_at) VALUES (?, LAST_INSERT_ID({now} + ?), 0, {now})" +
			" ON DUPLICATE KEY UPDATE last = LAST_INSERT_ID(last + ?), used_at = {now}"
	case SQLite:
		q.take = "INSERT INTO {p}outbox_keys (okey, last, added, used_at) VALUES (?, {now} + ?, 0, {now})" +
			" ON CONFLICT (okey) DO UPDATE SET last = last + ?, used_at = excluded.used_at RETURNING last"
	}
}

// appendAtOnce is PostgreSQL's statement for messages and the numbers of their
// keys. The keys come sorted, and are locked in that order.
func (q *queries) appendAtOnce(keys, rows int) string {
	var b strings.Builder
	number, join := "1", ""
	if keys > 0 {
		b.WriteString("WITH k AS (INSERT INTO {p}outbox_keys AS t (okey, last, added, used_at)" +
			" SELECT v.okey, {now} + v.c, v.c, {now} FROM (VALUES " + list("(?::bytea, ?::bigint)", keys) + ") AS v (okey, c) ORDER BY v.okey" +
			" ON CONFLICT (okey) DO UPDATE SET last = t.last + EXCLUDED.added, added = EXCLUDED.added, used_at = EXCLUDED.used_at" +
			" RETURNING t.okey, t.last) ")
		number, join = "COALESCE(k.last - m.position, 1)", " LEFT JOIN k ON k.okey = m.okey"
	}
	b.WriteString("INSERT INTO {p}outbox_messages (" + columns + ")" +
		" SELECT m.okey, " + number + ", m.id, m.msg_key, m.topic, m.type, m.headers, m.body, {now} FROM (VALUES " +
		list("(?::bytea, ?::bigint, ?::text, ?::text, ?::text, ?::text, ?::bytea, ?::bytea)", rows) +
		") AS m (okey, position, id, msg_key, topic, type, headers, body)" + join)
	return q.sql(b.String())
}

// appendRows is the statement of the others.
func (q *queries) appendRows(rows int) string {
	return q.sql("INSERT INTO {p}outbox_messages (" + columns + ") VALUES " + list("(?, ?, ?, ?, ?, ?, ?, ?, {now})", rows))
}

func (q *queries) relay() {
	q.fence = "UPDATE {p}outbox_leases SET expires_at = {now} + ?, turns = turns + 1 WHERE part = ? AND owner = ? AND token = ?"
	q.page = "SELECT " + columns + " FROM {p}outbox_messages WHERE okey > ? AND okey < ? ORDER BY okey, n LIMIT ?"
	integer, text := "?", "?"
	if q.d == PostgreSQL {
		integer, text = "?::bigint", "?::text"
	}
	q.kill = "INSERT INTO {p}outbox_dead (" + columns + ", died_at, attempts, unknown, error) SELECT " + columns + ", {now}, " +
		integer + ", " + integer + ", " + text + " FROM {p}outbox_messages WHERE okey = ? AND n = ?"
	q.stuckIn = "SELECT okey, n, attempts, due_at - {now}, unknown FROM {p}outbox_stuck WHERE okey > ? AND okey < ?"

	// Who waits for the row sees the clock of before his wait or of after it;
	// both are right: a lease that another one took meanwhile is not over.
	q.acquire = "UPDATE {p}outbox_leases SET owner = ?, token = token + 1, turns = turns + 1, lasts = ?, expires_at = {now} + ?" +
		" WHERE part = ? AND (expires_at < {now} OR turns = ?)"
	q.acquired = "SELECT token, lo, hi FROM {p}outbox_leases WHERE part = ? AND owner = ?"
	q.leases = "SELECT part, turns, lasts, CASE WHEN expires_at < {now} THEN 1 ELSE 0 END FROM {p}outbox_leases ORDER BY part"
	q.release = "UPDATE {p}outbox_leases SET expires_at = 0, turns = turns + 1 WHERE part = ? AND owner = ? AND token = ?"

	q.alive = "INSERT INTO {p}outbox_relays (owner, seen_at) VALUES (?, {now})"
	if q.d == MariaDB {
		q.alive += " ON DUPLICATE KEY UPDATE seen_at = {now}"
	} else {
		q.alive += " ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at"
	}
	q.living = "SELECT COUNT(*) FROM {p}outbox_relays WHERE seen_at > {now} - ? AND seen_at <= {now} + ?"
	q.buried = "DELETE FROM {p}outbox_relays WHERE seen_at < {now} - ? OR owner = ?"
}

// keep, remove and unstick work on several rows at once.
func (q *queries) keep(n int) string {
	s := "INSERT INTO {p}outbox_delivered (" + columns + ", delivered_at) SELECT " + columns + ", {now} FROM {p}outbox_messages WHERE " + q.d.pairs(n)
	// A number that was there before must not stop deliveries: it may be, where a
	// clock went back by days after a key was cleaned away.
	if q.d == MariaDB {
		return q.sql(s + " ON DUPLICATE KEY UPDATE delivered_at = {now}")
	}
	return q.sql(s + " ON CONFLICT (okey, n) DO NOTHING")
}

func (q *queries) remove(n int) string {
	return q.sql("DELETE FROM {p}outbox_messages WHERE " + q.d.pairs(n))
}

func (q *queries) unstick(n int) string {
	return q.sql("DELETE FROM {p}outbox_stuck WHERE okey IN (" + list("?", n) + ")")
}

// asked are the messages that GiveUp named, of those of some keys.
func (q *queries) asked(n int) string {
	return q.sql("SELECT okey, n FROM {p}outbox_stuck WHERE okey IN (" + list("?", n) + ") AND give_up = n")
}

// stick writes one key's trouble. It leaves give_up as it is, which names the
// message, and may have been written since the message was last tried.
func (q *queries) stick() string {
	s := "INSERT INTO {p}outbox_stuck (okey, n, attempts, due_at, unknown, error, give_up) VALUES (?, ?, ?, {now} + ?, ?, ?, 0)"
	set := "n = %[1]sn%[2]s, attempts = %[1]sattempts%[2]s, due_at = %[1]sdue_at%[2]s, unknown = %[1]sunknown%[2]s, error = %[1]serror%[2]s"
	if q.d == MariaDB {
		return q.sql(s + " ON DUPLICATE KEY UPDATE " + fmt.Sprintf(set, "VALUES(", ")"))
	}
	return q.sql(s + " ON CONFLICT (okey) DO UPDATE SET " + fmt.Sprintf(set, "excluded.", ""))
}

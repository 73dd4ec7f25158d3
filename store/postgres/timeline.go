package postgres

import "context"

// A standby that is promoted begins a timeline. If it was not synchronous, it may
// lack the last claims and renewals: it would give a shard to a node while another
// one's lease, which it never heard of, goes on, and say that nothing is under way
// there. The node's units would be fenced, but it might still begin a call of an
// effect, and settling times count on that it does not.
//
// So nobody keeps a lease before the promotion is noted, by whoever finds another
// timeline first. From then on no shard is claimed for a lease, by when all leases
// that the new server does not know are over, and no shard counts as left clean. A
// node whose lease goes on by the new server's rows goes on with the shards that it
// has there. One whose lease is over has none: another may have claimed them, and
// only the former server knew. A node that lives keeps its lease meanwhile, and so
// marks what it knows to be lost (markLosses) before anybody else can open it.
//
// A claim compares the note with the timeline of the server that answers it, in
// one statement.

// timelineSQL is the timeline that the server writes, 8 hexadecimal digits. Of a
// control file's checkpoint it would be the former one's for a while.
const timelineSQL = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"

// findTimeline looks whether the server tells its timeline. One that knows no such
// thing has none: databases that only speak PostgreSQL's protocol lose nothing in
// a failover. A refusal of another kind says nothing about it.
func (st *Store) findTimeline(ctx context.Context) error {
	st.timeline = timelineSQL
	f, err := st.run(ctx, &query{sql: "SELECT " + timelineSQL, harmless: true})
	if f == refused {
		switch refusal(err).Code {
		case "42883", "42501", "0A000", "55000": // unknown, forbidden, not supported, not with these settings
			st.timeline = "''"
			return nil
		}
	}
	return st.harmlessError(ctx, f, err)
}

// sameTimeline is the condition on the row of semel_store that no other server
// took over since it was noted.
func (st *Store) sameTimeline() string { return "(" + st.timeline + " IN ('', timeline))" }

// settledSQL is the condition of Claim: the server took over long enough ago, or
// never did.
func (st *Store) settledSQL() string {
	return "EXISTS (SELECT 1 FROM {s}.semel_store WHERE id = 1 AND settled <= now() AND " + st.sameTimeline() + ")"
}

// notePromotion notes that another server took over. Of several nodes the first
// does; it may be repeated. It is no part of Keep's statement, which would else
// read every fence.
func (st *Store) notePromotion(ctx context.Context) error {
	return st.lease(ctx, "note that another server took over", &query{
		sql: `WITH promoted AS (
			UPDATE {s}.semel_store SET timeline = ` + st.timeline + `, settled = now() + $1::interval
			WHERE id = 1 AND NOT ` + st.sameTimeline() + `
			RETURNING id
		), leases AS (
			UPDATE {s}.semel_lease AS l SET clean = false, holder = CASE
				WHEN EXISTS (SELECT 1 FROM {s}.semel_node AS n WHERE n.id = l.holder AND n.until > now()) THEN l.holder ELSE '' END
			FROM promoted
		)
		UPDATE {s}.semel_shard SET held = true FROM promoted WHERE NOT held`,
		args: []any{st.opt.Lease},
	})
}

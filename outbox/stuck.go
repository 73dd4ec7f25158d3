package outbox

import (
	"context"
	"slices"
	"time"
)

// StuckMessage is one that failed, is tried again, and keeps its key waiting.
type StuckMessage struct {
	Message
	Attempts int64
	Unknown  bool      // an attempt may have been delivered
	Error    string    // of the last attempt
	DueAt    time.Time // when it is tried again, by the database's clock
	GivenUp  bool      // GiveUp was called: it is tried once more
}

const stuckMessages = " FROM {p}outbox_stuck JOIN {p}outbox_messages USING (okey, n)"

// Stuck lists up to limit messages that failed, those with the most attempts first.
func (o *Outbox) Stuck(ctx context.Context, db Tx, limit int) ([]StuckMessage, error) {
	q := o.q.sql("SELECT " + columns + ", attempts, unknown, error, due_at, give_up" + stuckMessages + " ORDER BY attempts DESC, sent_at LIMIT ?")
	var all []StuckMessage
	err := each(ctx, db, q, []any{int64(limit)}, func(rows Rows) (err error) {
		var s StuckMessage
		var unknown, due, giveUp int64
		s.Message, err = scanMessage(rows, &s.Attempts, &unknown, &s.Error, &due, &giveUp)
		s.Unknown, s.DueAt, s.GivenUp = unknown != 0, time.UnixMicro(due).UTC(), giveUp == s.Number
		all = append(all, s)
		return err
	})
	return all, err
}

// GiveUp says of stuck messages, by their ids, that they are to be dead letters,
// whatever RelayConfig.MaxAttempts is. The relay that has one tries it a last time,
// when it is due anyway: if that fails, it is given up, and its key goes on; if it is
// delivered, it is delivered. So nobody gives up what is on its way, and nothing of
// the key overtakes it.
//
// It returns how many messages this call named: not those that were named before,
// nor those that are not stuck, or not any more. It commits by itself on a DB, and
// with the caller's transaction on that. After an error some may be named; calling
// it again does no harm.
func (o *Outbox) GiveUp(ctx context.Context, db Tx, ids ...string) (n int, err error) {
	find := o.q.sql("SELECT okey, n" + stuckMessages + " WHERE id = ?")
	name := o.q.sql("UPDATE {p}outbox_stuck SET give_up = n WHERE okey = ? AND n = ? AND give_up <> n")
	for _, id := range ids {
		var found []place
		err := each(ctx, db, find, []any{id}, func(rows Rows) error {
			at, err := scanPlace(rows)
			found = append(found, at)
			return err
		})
		if err != nil {
			return n, &Error{Op: "give up", What: id, Err: err}
		}
		for _, at := range found {
			result, err := db.Exec(ctx, name, at.okey[:], at.n)
			if err != nil {
				return n, failed("give up", id, err)
			}
			n += int(result.Affected)
		}
	}
	return n, nil
}

// giveUp makes dead letters of the marks' failures that GiveUp named. It changes the
// marks, so a turn that is repeated, because its end is unknown, says the same when
// the tables do not name them any more.
func (p *partition) giveUp(ctx context.Context, tx Tx, m *marks) error {
	if len(m.stuck) == 0 {
		return nil
	}
	asked := make(map[place]bool)
	n, args := okeys(len(m.stuck), func(i int) []byte { return m.stuck[i].okey[:] })
	err := each(ctx, tx, p.r.o.q.asked(n), args, func(rows Rows) error {
		at, err := scanPlace(rows)
		asked[at] = true
		return err
	})
	if err != nil {
		return err
	}
	m.stuck = slices.DeleteFunc(m.stuck, func(v verdict) bool {
		if !asked[v.place] {
			return false
		}
		m.dead, m.unstuck = append(m.dead, v), append(m.unstuck, v.okey)
		p.release(v.okey)
		return true
	})
	return nil
}

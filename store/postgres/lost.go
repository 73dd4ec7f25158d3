package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// remembered is the furthest that this process knows a shard to have come: what
// was acknowledged to it. A person who accepts a loss begins a new era, so that
// what was remembered before is known to be settled.
type remembered struct {
	era   int64
	epoch message.Epoch
	seq   message.Seq
}

func (r remembered) behind(other remembered) bool {
	return r.era < other.era || r.era == other.era && r.seq < other.seq
}

func (st *Store) remembered(shard message.Shard) remembered {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.known[shard]
}

// remember notes what was acknowledged. Epochs count through eras.
func (st *Store) remember(shard message.Shard, now remembered) {
	st.mu.Lock()
	defer st.mu.Unlock()
	had := st.known[shard]
	now.epoch = max(now.epoch, had.epoch)
	if now.behind(had) {
		now.era, now.seq = had.era, had.seq
	}
	st.known[shard] = now
}

// lost marks a shard whose row is behind what this process remembers, so that no
// process goes on with it, and returns the error that says so. It is also what
// says so of a shard that another process has marked.
func (st *Store) lost(ctx context.Context, shard message.Shard, had remembered) error {
	err := st.exec(ctx, st.sql.with(`UPDATE {s}.semel_shard SET lost = GREATEST(lost, $3::bigint, CASE WHEN era < $2::bigint THEN seq + 1 ELSE 0 END)
		WHERE shard = $1::integer AND (era < $2::bigint OR era = $2::bigint AND seq < $3::bigint) AND `+sameStore+`$4::uuid)`),
		int32(shard), had.era, int64(had.seq), st.incarnationText())
	if err != nil {
		return err
	}
	var seq, lost *int64
	var same *bool
	f, err := st.run(ctx, &query{
		sql:      st.sql.with("SELECT seq, lost, " + sameStore + "$2::uuid) FROM {s}.semel_shard WHERE shard = $1::integer"),
		args:     []any{int32(shard), st.incarnationText()},
		row:      func(r pgx.Rows) error { return r.Scan(&seq, &lost, &same) },
		harmless: true,
	})
	if err := st.harmlessError(ctx, f, err); err != nil {
		return err
	}
	switch {
	case seq == nil:
		return fmt.Errorf("%w: table semel_shard has no row for the shard", store.ErrCorrupt)
	case !*same:
		return ErrRenewed
	case *lost > *seq:
		return &store.LostError{Shard: shard, Had: message.Seq(*lost), Has: message.Seq(*seq)}
	}
	return fmt.Errorf("%w: a loss was accepted just now; try again", store.ErrUnavailable)
}

// AcceptLoss makes a shard usable again that Open refuses with store.ErrLost. It
// may be repeated.
func (st *Store) AcceptLoss(ctx context.Context, shard message.Shard) error {
	if err := st.enter(); err != nil {
		return fmt.Errorf("accept the loss of shard %d: %w", shard, err)
	}
	defer st.leave()
	if err := st.forgetGiven(ctx, shard); err != nil {
		return fmt.Errorf("accept the loss of shard %d: %w", shard, err)
	}
	had := st.remembered(shard)
	// The era is above that of any mark that this or another process may still
	// make: those are of the era in which the units were acknowledged. The epoch
	// leaves room for sessions that nobody here heard of.
	err := st.exec(ctx, st.sql.with(`WITH lease AS (
		UPDATE {s}.semel_lease SET clean = false WHERE shard = $1::integer
	) UPDATE {s}.semel_shard
		SET held = true, lost = 0, era = GREATEST(era, $2::bigint) + 1, epoch = GREATEST(epoch, $3::bigint) + 1000
		WHERE shard = $1::integer AND lost > seq`), int32(shard), had.era, int64(had.epoch))
	if err != nil {
		return fmt.Errorf("accept the loss of shard %d: %w", shard, err)
	}
	return nil
}

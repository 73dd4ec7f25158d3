package postgres

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// outboxKeyLen: destination shard (2 bytes), position (8 bytes).
const outboxKeyLen = 10

func outboxKey(to message.Shard, position uint64) []byte {
	key := binary.BigEndian.AppendUint16(make([]byte, 0, outboxKeyLen), uint16(to))
	return binary.BigEndian.AppendUint64(key, position)
}

// Inbox returns what the sources hold for this shard beyond the cursors. Fewer
// than max messages are all that other sessions have made durable. Every source
// first gets an equal part of max, so that a busy one cannot starve the others;
// what is left over goes to the sources in the order of the cursors.
func (s *session) Inbox(ctx context.Context, from []message.Cursor, max int) ([]message.Delivery, error) {
	for _, c := range from {
		if int(c.Source) >= s.store.shards {
			return nil, fmt.Errorf("inbox of shard %d: there is no source shard %d", s.shard, c.Source)
		}
	}
	if err := s.beginRead(ctx); err != nil {
		return nil, err
	}
	defer s.endRead()
	if len(from) == 0 || max <= 0 {
		return nil, nil
	}
	share := (max + len(from) - 1) / len(from)
	out, err := s.pull(ctx, from, share, max)
	if err != nil {
		return nil, s.readError(err)
	}
	taken := make(map[message.Shard]int)
	for _, d := range out {
		taken[d.Source]++
	}
	for _, c := range from {
		left := max - len(out)
		if left == 0 {
			break
		}
		if n := taken[c.Source]; n == share { // it may have more
			more, err := s.pull(ctx, []message.Cursor{{Source: c.Source, Position: c.Position + uint64(n)}}, left, left)
			if err != nil {
				return nil, s.readError(err)
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// pull takes up to share messages of each source, max in all. Positions have no
// gaps beyond a cursor: what is missing there was lost.
func (s *session) pull(ctx context.Context, from []message.Cursor, share, max int) ([]message.Delivery, error) {
	var places, sources []int32
	var low, high [][]byte
	for i, c := range from {
		if c.Position == ^uint64(0) {
			continue
		}
		places, sources = append(places, int32(i)), append(sources, int32(c.Source))
		low = append(low, outboxKey(s.shard, c.Position+1))
		high = append(high, append(outboxKey(s.shard, ^uint64(0)), 0))
	}
	st := s.checked("u.place, u.key, u.value")
	st.say(fmt.Sprintf(`
SELECT c.place, m.key, m.value FROM unnest(?::integer[], ?::integer[], ?::bytea[], ?::bytea[]) AS c(place, source, low, high)
CROSS JOIN LATERAL (SELECT r.key, r.value FROM {s}.semel_row r
WHERE r.shard = c.source AND r.tbl = %d AND r.key >= c.low AND r.key < c.high AND NOT r.gone ORDER BY r.key LIMIT ?::bigint) m`, message.TableOutbox),
		places, sources, low, high, int64(share))
	st.among(s, " ORDER BY u.place, u.key")
	var out []message.Delivery
	next := make([]uint64, len(from))
	var gap error
	begin := func() {
		out, gap = nil, nil
		for i, c := range from {
			next[i] = c.Position + 1
		}
	}
	err := s.read(ctx, st, begin, func() ([]any, func()) {
		var place *int32
		var key, value []byte
		return []any{&place, &key, &value}, func() {
			if place == nil || gap != nil || len(out) == max {
				return
			}
			want := &next[*place]
			source := from[*place].Source
			if len(key) != outboxKeyLen || binary.BigEndian.Uint64(key[2:]) != *want {
				gap = fmt.Errorf("%w: outbox of shard %d for shard %d: position %d is missing; the next row is %x", store.ErrCorrupt, source, s.shard, *want, key)
				return
			}
			out = append(out, message.Delivery{Source: source, Position: *want, Data: value})
			*want++
		}
	})
	if err == nil {
		err = gap
	}
	return out, err
}

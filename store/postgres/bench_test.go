package postgres

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// benchSteps is how many steps a unit has: each writes a dedup row and a state
// row.
const benchSteps = 512

// benchAgents is among how many agents the steps go.
const benchAgents = 10_000

// unitMaker makes units of steps, the same for everybody who is measured.
type unitMaker struct {
	rng    *rand.Rand
	next   uint64
	writes []message.Write
}

func newUnitMaker() *unitMaker { return &unitMaker{rng: rand.New(rand.NewPCG(1, 2))} }

func (m *unitMaker) make() []message.Write {
	m.writes = m.writes[:0]
	for range benchSteps {
		agent := fmt.Appendf(nil, "account/%07d", m.rng.IntN(benchAgents))
		m.next++
		key := binary.BigEndian.AppendUint64(append([]byte(nil), agent...), m.rng.Uint64())
		outcome, balance := make([]byte, 96), make([]byte, 128)
		binary.BigEndian.PutUint64(outcome, m.next)
		binary.BigEndian.PutUint64(balance, m.next)
		m.writes = append(m.writes,
			message.Write{RowKey: message.RowKey{Table: message.TableDedup, Gen: 1, Key: key}, Value: outcome},
			message.Write{RowKey: message.RowKey{Table: message.TableState, Key: agent}, Value: balance})
	}
	return m.writes
}

// byHand is what a user would write for the same rows: two upserts by unnest in
// one statement, without a fence.
type byHand struct{ c *pgx.Conn }

func newByHand(b *testing.B) *byHand {
	dsn := pgtest.Shared(b).Database(b)
	pgtest.Exec(b, dsn, `CREATE TABLE state (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 85);
		CREATE TABLE dedup (key bytea PRIMARY KEY, value bytea NOT NULL)`)
	return &byHand{connect1(b, dsn)}
}

func (h *byHand) commit(b *testing.B, writes []message.Write) {
	var keys, values, dedupKeys, dedupValues [][]byte
	seen := make(map[string]int)
	for _, w := range writes {
		if w.Table == message.TableDedup {
			dedupKeys, dedupValues = append(dedupKeys, w.Key), append(dedupValues, w.Value)
		} else if i, ok := seen[string(w.Key)]; ok {
			values[i] = w.Value
		} else {
			seen[string(w.Key)] = len(keys)
			keys, values = append(keys, w.Key), append(values, w.Value)
		}
	}
	_, err := h.c.Exec(background, `WITH d AS (
		INSERT INTO dedup SELECT * FROM unnest($3::bytea[], $4::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value)
		INSERT INTO state SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
		keys, values, dedupKeys, dedupValues)
	if err != nil {
		b.Fatal(err)
	}
}

// each commits steps one by one, each in a transaction of its own.
func (h *byHand) each(b *testing.B, writes []message.Write) {
	for ; len(writes) > 0; writes = writes[2:] {
		err := pgx.BeginFunc(background, h.c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(background, "INSERT INTO dedup VALUES ($1, $2)", writes[0].Key, writes[0].Value); err != nil {
				return err
			}
			_, err := tx.Exec(background, "INSERT INTO state VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", writes[1].Key, writes[1].Value)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDue is a shard whose timers fire, 200 a unit, and that looks for the
// next one after each: with marks that are swept as the store does, and without.
func BenchmarkDue(b *testing.B) {
	for _, swept := range []bool{true, false} {
		b.Run(fmt.Sprintf("swept=%v", swept), func(b *testing.B) {
			st := openStore(b, pgtest.Shared(b).Database(b), Options{Shards: 1})
			if !swept {
				st.stop()
			}
			o := own(b, st, 0)
			due := func(n int) message.RowKey {
				return message.RowKey{Table: message.TableDue, Key: binary.BigEndian.AppendUint64(nil, uint64(n))}
			}
			var scans time.Duration
			fired := 0
			for b.Loop() {
				o.at.Seq++
				u := &message.Unit{Version: o.at}
				for range 200 {
					u.Writes = append(u.Writes, message.Write{RowKey: due(fired + 1000), Value: make([]byte, 64)}, message.Write{RowKey: due(fired), Op: message.Delete})
					fired++
				}
				if err := o.Commit(background, u).Wait(); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				if rows, err := o.Scan(background, store.Range{Table: message.TableDue}, 1); err != nil || len(rows) != 1 && fired > 1000 {
					b.Fatalf("%d rows, %v", len(rows), err)
				}
				scans += time.Since(start)
			}
			b.ReportMetric(float64(scans.Microseconds())/float64(b.N), "µs/scan")
		})
	}
}

// BenchmarkUnits compares the store with what a user would write by hand: the
// same units, by turns, so that what else the machine does meets both; and with
// a transaction for each step, of which a few are enough.
func BenchmarkUnits(b *testing.B) {
	const alone = 32
	st := openStore(b, pgtest.Shared(b).Database(b), Options{Shards: 1})
	o, hand, each := own(b, st, 0), newByHand(b), newByHand(b)
	m := newUnitMaker()
	var took [3]time.Duration
	for b.Loop() {
		writes := m.make()
		start := time.Now()
		o.at.Seq++
		if err := o.Commit(background, &message.Unit{Version: o.at, Writes: writes}).Wait(); err != nil {
			b.Fatal(err)
		}
		took[0] += time.Since(start)
		start = time.Now()
		hand.commit(b, writes)
		took[1] += time.Since(start)
		start = time.Now()
		each.each(b, writes[:2*alone])
		took[2] += time.Since(start)
	}
	rate := func(steps int, d time.Duration) float64 { return float64(b.N) * float64(steps) / d.Seconds() }
	b.ReportMetric(rate(benchSteps, took[0]), "store-steps/s")
	b.ReportMetric(rate(benchSteps, took[1]), "hand-steps/s")
	b.ReportMetric(rate(alone, took[2]), "each-steps/s")
	b.ReportMetric(rate(benchSteps, took[0])/rate(benchSteps, took[1]), "of-hand")
	b.ReportMetric(rate(benchSteps, took[0])/rate(alone, took[2]), "of-each")
}

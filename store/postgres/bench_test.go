package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

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

func report(b *testing.B) {
	b.ReportMetric(float64(b.N)*benchSteps/b.Elapsed().Seconds(), "steps/s")
}

// BenchmarkUnits compares the store with what a user would write by hand for
// the same rows: two upserts by unnest, in one transaction, without a fence; and
// with one transaction for each step. Each has a database of its own, on the
// same server, and one connection's worth of work at a time.
func BenchmarkUnits(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		dsn := pgtest.Shared(b).Database(b)
		st := openStore(b, dsn, Options{Shards: 1})
		o := own(b, st, 0)
		m := newUnitMaker()
		var pending []store.Pending
		for b.Loop() {
			o.at.Seq++
			pending = append(pending, o.Commit(background, &message.Unit{Version: o.at, Writes: m.make()}))
			if len(pending) == st.Profile().UnitsInFlight {
				if err := pending[0].Wait(); err != nil {
					b.Fatal(err)
				}
				pending = pending[1:]
			}
		}
		for _, p := range pending {
			if err := p.Wait(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("by-hand", func(b *testing.B) {
		ctx := context.Background()
		c := connect1(b, pgtest.Shared(b).Database(b))
		for _, sql := range []string{
			"CREATE TABLE state (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 85)",
			"CREATE TABLE dedup (key bytea PRIMARY KEY, value bytea NOT NULL)",
		} {
			if _, err := c.Exec(ctx, sql); err != nil {
				b.Fatal(err)
			}
		}
		m := newUnitMaker()
		for b.Loop() {
			var keys, values, dedupKeys, dedupValues [][]byte
			seen := make(map[string]int)
			for _, w := range m.make() {
				if w.Table == message.TableDedup {
					dedupKeys, dedupValues = append(dedupKeys, w.Key), append(dedupValues, w.Value)
				} else if i, ok := seen[string(w.Key)]; ok {
					values[i] = w.Value
				} else {
					seen[string(w.Key)] = len(keys)
					keys, values = append(keys, w.Key), append(values, w.Value)
				}
			}
			_, err := c.Exec(ctx, `WITH d AS (
				INSERT INTO dedup SELECT * FROM unnest($3::bytea[], $4::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value)
				INSERT INTO state SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
				keys, values, dedupKeys, dedupValues)
			if err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("transaction-each", func(b *testing.B) {
		ctx := context.Background()
		c := connect1(b, pgtest.Shared(b).Database(b))
		if _, err := c.Exec(ctx, "CREATE TABLE state (key bytea PRIMARY KEY, value bytea NOT NULL)"); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Exec(ctx, "CREATE TABLE dedup (key bytea PRIMARY KEY, value bytea NOT NULL)"); err != nil {
			b.Fatal(err)
		}
		m := newUnitMaker()
		steps := 0
		for b.Loop() {
			w := m.make()
			for i := 0; i < 2*64; i += 2 { // of a unit's 512, for the benchmark's sake
				tx, err := c.Begin(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := tx.Exec(ctx, "INSERT INTO dedup VALUES ($1, $2)", w[i].Key, w[i].Value); err != nil {
					b.Fatal(err)
				}
				if _, err := tx.Exec(ctx, "INSERT INTO state VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", w[i+1].Key, w[i+1].Value); err != nil {
					b.Fatal(err)
				}
				if err := tx.Commit(ctx); err != nil {
					b.Fatal(err)
				}
				steps++
			}
		}
		b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	})
}

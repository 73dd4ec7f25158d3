package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel/message"
)

// byHand is what one would write on PostgreSQL without Semel: a table of keys
// with their outcomes, and a table of states. It writes the same rows as the
// engine, with the same keys and as many bytes. Statements are prepared once per
// connection, as pgx does.
type byHand struct {
	pool           *pgxpool.Pool
	state, dedup   string // tables
	outcome, value []byte // as large as the engine's rows
}

// rowSizes are the sizes in bytes of what the engine writes for a step.
type rowSizes struct{ outcome, state int }

func newByHand(ctx context.Context, dsn, schema string, agents, connections int, size rowSizes) (*byHand, error) {
	pool, err := newPool(ctx, dsn, connections)
	if err != nil {
		return nil, err
	}
	h := &byHand{
		pool: pool, state: schema + ".state", dedup: schema + ".dedup",
		outcome: bytes.Repeat([]byte("o"), size.outcome), value: stateOf(size.state),
	}
	if err := h.create(ctx, agents); err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the tables by hand: %w", err)
	}
	return h, nil
}

// create makes the tables, with every agent's state in them. The state's pages
// have room, so that its rows are updated without touching the index (HOT).
func (h *byHand) create(ctx context.Context, agents int) error {
	for _, sql := range []string{
		"CREATE TABLE " + h.state + " (key bytea PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 85)",
		"CREATE TABLE " + h.dedup + " (key bytea PRIMARY KEY, value bytea NOT NULL)",
	} {
		if _, err := h.pool.Exec(ctx, sql); err != nil {
			return err
		}
	}
	keys := make([][]byte, agents)
	for i := range keys {
		keys[i] = handAgent(i)
	}
	_, err := h.pool.Exec(ctx, "INSERT INTO "+h.state+" SELECT k, $2::bytea FROM unnest($1::bytea[]) AS k", keys, h.value)
	return err
}

// stateOf is an account of about as many bytes.
func stateOf(size int) []byte {
	b, err := json.Marshal(Account{})
	if err == nil {
		b, err = json.Marshal(Account{Owner: strings.Repeat("o", max(size-len(b), 0))})
	}
	if err != nil {
		panic(err) // of numbers and letters
	}
	return b
}

func newPool(ctx context.Context, dsn string, connections int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("the DSN: %w", err)
	}
	cfg.MaxConns = int32(connections) //nolint:gosec // at most hundreds
	return pgxpool.NewWithConfig(ctx, cfg)
}

// handAgent and handKey are keys as the engine's: an agent's name, and behind it
// that of the message.
func handAgent(i int) []byte {
	return message.Agent{Tenant: message.DefaultTenant, Type: "account", ID: "a" + strconv.Itoa(i)}.AppendKey(nil)
}

func handKey(agent []byte) []byte {
	return message.AppendKeyIdentity(slices.Clip(agent), message.Anonymous, uuid.Must(uuid.NewV7()).String())
}

// units commits groups of steps, each in one statement of two upserts by unnest,
// which is its transaction. Each caller has agents of its own, as each shard has:
// two statements never wait for each other, or for each other's rows in a circle.
// It reads nothing and checks nothing.
func (h *byHand) units(l Load) (Result, error) {
	ctx := context.Background()
	sql := "WITH recorded AS (INSERT INTO " + h.dedup + " SELECT * FROM unnest($3::bytea[], $4::bytea[]) ON CONFLICT (key) DO NOTHING) " +
		"INSERT INTO " + h.state + " SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
	return run(l, func(c, _ int) error {
		states := make([][]byte, 0, l.Group)
		keys := make([][]byte, 0, l.Group)
		for range l.Group {
			agent := handAgent(rand.IntN(l.Agents/l.Callers)*l.Callers + c)
			states, keys = append(states, agent), append(keys, handKey(agent))
		}
		slices.SortFunc(states, bytes.Compare) // an index likes its keys in order
		slices.SortFunc(keys, bytes.Compare)
		states = slices.CompactFunc(states, bytes.Equal) // of an agent's states the last is written
		_, err := h.pool.Exec(ctx, sql, states, same(h.value, len(states)), keys, same(h.outcome, len(keys)))
		return err
	})
}

func same(b []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = b
	}
	return all
}

// each makes every operation a transaction, in two round trips: what can be
// known before is sent together, and what follows from it is sent together with
// COMMIT. The lock on the agent's state comes first, so no other transaction of
// the agent can record the key between the look and the write.
func (h *byHand) each(l Load) (Result, error) {
	ctx := context.Background()
	look := "SELECT value FROM " + h.state + " WHERE key = $1 FOR UPDATE"
	known := "SELECT value FROM " + h.dedup + " WHERE key = $1"
	change := "UPDATE " + h.state + " SET value = $2 WHERE key = $1"
	record := "INSERT INTO " + h.dedup + " (key, value) VALUES ($1, $2)"
	return run(l, func(_, n int) error {
		agent := handAgent(rand.IntN(l.Agents))
		key := handKey(agent)
		return h.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			var first, second pgx.Batch
			var value, outcome []byte
			first.Queue("BEGIN")
			first.Queue(look, agent).QueryRow(func(row pgx.Row) error { return row.Scan(&value) })
			first.Queue(known, key).QueryRow(func(row pgx.Row) error {
				if err := row.Scan(&outcome); !errors.Is(err, pgx.ErrNoRows) {
					return errors.Join(err, errors.New("a new key is recorded already"))
				}
				return nil
			})
			if err := c.SendBatch(ctx, &first).Close(); err != nil {
				return err
			}
			var account Account
			if err := json.Unmarshal(value, &account); err != nil {
				return err
			}
			reply, err := account.Credit(nil, Credit{Cents: int64(n%100 + 1), Memo: memo})
			if err != nil {
				return err
			}
			if value, err = json.Marshal(account); err != nil {
				return err
			}
			if outcome, err = json.Marshal(reply); err != nil {
				return err
			}
			outcome = append(outcome, h.outcome[min(len(outcome), len(h.outcome)):]...)
			second.Queue(change, agent, value)
			second.Queue(record, key, outcome)
			second.Queue("COMMIT")
			return c.SendBatch(ctx, &second).Close()
		})
	})
}

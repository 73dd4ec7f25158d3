package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/semel-dev/semel/outbox"
	"github.com/semel-dev/semel/outbox/pgxtx"
)

// outbox compares a transaction that inserts a row and sends a message with one
// that inserts the row, and the message into a table of the same columns.
func (r *pgRun) outbox(name string, writers int) error {
	pool, err := newPool(r.ctx, r.DSN, writers)
	if err != nil {
		return err
	}
	defer pool.Close()
	l := Load{Callers: writers, Group: 1}
	var ways []*contender
	for _, w := range []struct {
		name string
		send func(o *orders) func(tx pgx.Tx, id uuid.UUID) error
	}{
		{"a bare INSERT", func(o *orders) func(pgx.Tx, uuid.UUID) error { return o.bare }},
		{"no ordering key", func(o *orders) func(pgx.Tx, uuid.UUID) error { return o.send(func() string { return "" }) }},
		{"one of 10,000 ordering keys", func(o *orders) func(pgx.Tx, uuid.UUID) error {
			return o.send(func() string { return strconv.Itoa(mathrand.IntN(10_000)) })
		}},
		{"one ordering key for all", func(o *orders) func(pgx.Tx, uuid.UUID) error { return o.send(func() string { return "all" }) }},
	} {
		o, err := r.orders(pool)
		if err != nil {
			return err
		}
		send := w.send(o)
		ways = append(ways, &contender{name: w.name, load: l, run: func(l Load) (Result, error) {
			return run(l, func(int, int) error { return o.place(send) })
		}})
	}
	if err := r.turns(name, r.Rounds, r.Round, ways...); err != nil {
		return err
	}
	for _, w := range ways[1:] {
		w.name = name + ", " + w.name
		r.add(w, ways[0], goal{})
	}
	return nil
}

// orders is a program that keeps a table of its own and tells others of its rows.
type orders struct {
	pool   *pgxpool.Pool
	box    *outbox.Outbox
	insert string // an order
	write  string // a message, bare
	body   []byte
}

func (r *pgRun) orders(pool *pgxpool.Pool) (*orders, error) {
	schema, err := r.create("outbox")
	if err != nil {
		return nil, err
	}
	box, err := outbox.New(outbox.PostgreSQL, &outbox.Config{Prefix: schema + ".semel_"})
	if err != nil {
		return nil, err
	}
	if err := box.Migrate(r.ctx, pgxtx.DB(pool)); err != nil {
		return nil, err
	}
	_, err = r.server.Exec(r.ctx, fmt.Sprintf(`CREATE TABLE %[1]s.orders (id uuid PRIMARY KEY, payload bytea NOT NULL);
		CREATE TABLE %[1]s.bare (LIKE %[1]s.semel_outbox_messages INCLUDING ALL)`, schema))
	return &orders{
		pool: pool, box: box, body: bytes.Repeat([]byte("b"), payload),
		insert: "INSERT INTO " + schema + ".orders VALUES ($1, $2)",
		write: "INSERT INTO " + schema + ".bare (okey, n, id, msg_key, topic, type, headers, body, sent_at) " +
			"VALUES ($1, 1, $2, '', $3, $4, $5, $6, extract(epoch FROM clock_timestamp()) * 1000000)",
	}, err
}

// place is the transaction: the program's own row, and the message.
func (o *orders) place(send func(pgx.Tx, uuid.UUID) error) error {
	ctx := context.Background()
	return pgx.BeginFunc(ctx, o.pool, func(tx pgx.Tx) error {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, o.insert, id, o.body); err != nil {
			return err
		}
		return send(tx, id)
	})
}

const (
	orderTopic = "orders"
	orderType  = "order.placed"
)

// bare writes the message without an outbox.
func (o *orders) bare(tx pgx.Tx, id uuid.UUID) error {
	place := make([]byte, 16)
	_, _ = rand.Read(place) // never fails
	_, err := tx.Exec(context.Background(), o.write, place, id.String(), orderTopic, orderType, []byte("null"), o.body)
	return err
}

func (o *orders) send(key func() string) func(pgx.Tx, uuid.UUID) error {
	return func(tx pgx.Tx, id uuid.UUID) error {
		return o.box.Send(context.Background(), pgxtx.Tx(tx), outbox.Message{ID: id.String(), Key: key(), Topic: orderTopic, Type: orderType, Body: o.body})
	}
}

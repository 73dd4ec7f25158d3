package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semel-dev/semel/outbox"
)

// ids of what waits, in the order in which a relay takes it, of one key.
func (w *world) ids(t testing.TB, key string) []string {
	t.Helper()
	rows, err := w.db.Query(t.Context(), w.q("SELECT id FROM semel_outbox_messages WHERE msg_key = ?1 ORDER BY okey, n"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSend(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		var many []outbox.Message
		for i := range 300 { // more than a chunk
			many = append(many, outbox.Message{ID: fmt.Sprintf("m%03d", i), Key: fmt.Sprint("k", i%3)})
		}
		tx := w.begin(t, "")
		if err := w.box.Send(ctx, tx, many...); err != nil {
			t.Fatal(err)
		}
		if err := w.box.Send(ctx, tx, outbox.Message{ID: "last", Key: "k1"}, outbox.Message{ID: "same"}, outbox.Message{ID: "same"}); err != nil {
			t.Fatal(err)
		}
		commit(t, tx)
		for k := range 3 {
			var want []string
			for i := k; i < 300; i += 3 {
				want = append(want, many[i].ID)
			}
			if k == 1 {
				want = append(want, "last")
			}
			if got := w.ids(t, fmt.Sprint("k", k)); !slices.Equal(got, want) {
				t.Errorf("key %d: %v", k, got)
			}
		}
		if gaps := w.number(t, "SELECT MAX(n) - MIN(n) - COUNT(*) + 1 FROM semel_outbox_messages WHERE msg_key = 'k0'"); gaps != 0 {
			t.Errorf("%d numbers are missing", gaps)
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages WHERE id = 'same'"); n != 2 {
			t.Errorf("%d messages without a key", n)
		}
		tx = w.begin(t, "")
		if err := w.box.Send(ctx, tx, outbox.Message{ID: "gone", Key: "k0"}); err != nil {
			t.Fatal(err)
		}
		rollback(t, tx)
		if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages"); n != 303 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestMessagesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", nil)
	tx := w.begin(t, "")
	for _, m := range []outbox.Message{
		{ID: "\xff"}, {Key: "a\x00"}, {Topic: string(make([]byte, 513))}, {Type: "\xff"}, {Body: make([]byte, 1<<20+1)},
		{Headers: map[string]string{"a": "\xff"}}, {Headers: map[string]string{"\xff": "a"}}, {Headers: map[string]string{"a": string(make([]byte, 70_000))}},
	} {
		if err := w.box.Send(t.Context(), tx, m); err == nil {
			t.Errorf("%.20q %.20q is taken", m.ID, m.Key)
		}
	}
}

// A pool is no transaction.
func TestNoTransaction(t *testing.T) {
	t.Parallel()
	if err := newWorld(t, "sqlite", nil).box.Send(t.Context(), outbox.SQLTx(nil), outbox.Message{}); err == nil {
		t.Error("nil is a transaction")
	}
}

// The order of a key is that of commits, whatever the transactions did before.
// Both transactions here write (the claim of Once), then meet at a user's row: the
// one that began first is the second one to have the row, and to send. By the
// transaction's id, or by a number that was taken first, the order would be the
// reverse. That is checked, too: it is why the id does not order messages.
func TestOrderIsThatOfCommits(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pgx", "postgres", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind, nil)
			w.exec(t, "CREATE TABLE account (id int NOT NULL PRIMARY KEY, n int NOT NULL)")
			w.exec(t, "INSERT INTO account VALUES (1, 0)")
			ctx := t.Context()
			claim := func(tx outbox.Tx, id string) {
				_, err := w.box.Once(ctx, tx, outbox.Key{ID: id}, func(context.Context) ([]byte, error) { return nil, nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			work := func(tx outbox.Tx, id string) error {
				if _, err := tx.Exec(ctx, "UPDATE account SET n = n + 1 WHERE id = 1"); err != nil {
					return err
				}
				return w.box.Send(ctx, tx, outbox.Message{ID: id, Key: "account-1"})
			}
			slow, quick := w.begin(t, "read committed"), w.begin(t, "read committed")
			claim(slow, "slow")
			claim(quick, "quick")
			if err := work(quick, "first"); err != nil {
				t.Fatal(err)
			}
			behind := make(chan error)
			go func() { behind <- work(slow, "second") }()
			w.waiting(t, 1)
			commit(t, quick)
			if err := <-behind; err != nil {
				t.Fatal(err)
			}
			commit(t, slow)
			if got := w.ids(t, "account-1"); !slices.Equal(got, []string{"first", "second"}) {
				t.Errorf("the order is %v", got)
			}
			if kind != "mariadb" {
				// xmin is the transaction's id: the tempting order.
				n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages a, semel_outbox_messages b WHERE a.id = 'first' AND b.id = 'second' AND a.xmin::text::bigint > b.xmin::text::bigint")
				if n != 1 {
					t.Error("the transactions' ids are in the order of the commits: this test tests nothing")
				}
			}
		})
	}
}

// Send itself puts transactions with one key in order, even if they have nothing
// else in common: the second one waits.
func TestSendWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, isolation string }{
		{"pgx", "read committed"}, {"pgx", "repeatable read"}, {"postgres", "serializable"}, {"mariadb", "read committed"}, {"mariadb", "repeatable read"},
	} {
		t.Run(c.kind+"/"+c.isolation, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.kind, nil)
			ctx := t.Context()
			first, second := w.begin(t, c.isolation), w.begin(t, c.isolation)
			if err := w.box.Send(ctx, first, outbox.Message{ID: "1", Key: "k"}); err != nil {
				t.Fatal(err)
			}
			behind := make(chan error)
			go func() { behind <- w.box.Send(ctx, second, outbox.Message{ID: "2", Key: "k"}) }()
			w.waiting(t, 1)
			other := w.begin(t, c.isolation) // another key, and none, do not wait
			if err := w.box.Send(ctx, other, outbox.Message{ID: "3", Key: "other"}, outbox.Message{ID: "4"}); err != nil {
				t.Fatal(err)
			}
			commit(t, other)
			commit(t, first)
			err := <-behind
			if c.kind != "mariadb" && c.isolation != "read committed" {
				if !errors.Is(err, outbox.ErrRetry) {
					t.Errorf("with an old snapshot: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			commit(t, second)
			if got := w.ids(t, "k"); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("the order is %v", got)
			}
		})
	}
}

// Transactions that take keys in opposite orders: one is told to retry.
func TestSendDeadlock(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pgx", "mariadb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind, nil)
			ctx := t.Context()
			a, b := w.begin(t, ""), w.begin(t, "")
			send := func(tx outbox.Tx, key string) error { return w.box.Send(ctx, tx, outbox.Message{Key: key}) }
			if err := errors.Join(send(a, "1"), send(b, "2")); err != nil {
				t.Fatal(err)
			}
			var errs [2]error
			var wait sync.WaitGroup
			wait.Go(func() {
				if errs[0] = send(a, "2"); errs[0] != nil {
					_ = a.Rollback(ctx)
				}
			})
			wait.Go(func() {
				if errs[1] = send(b, "1"); errs[1] != nil {
					_ = b.Rollback(ctx)
				}
			})
			wait.Wait()
			if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), outbox.ErrRetry) {
				t.Errorf("%v", errs)
			}
		})
	}
}

// A key that was cleaned away and comes back goes on behind where it was, and one
// that is not idle, or has messages, stays.
func TestCleanedKeysGoOn(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		send := func(id, key string) { w.send(t, outbox.Message{ID: id, Key: key}) }
		for _, key := range []string{"gone", "has messages", "used"} {
			send("1", key)
			send("2", key)
		}
		before := w.number(t, "SELECT MAX(n) FROM semel_outbox_messages WHERE msg_key = 'gone'")
		w.exec(t, "DELETE FROM semel_outbox_messages WHERE msg_key <> 'has messages'")
		w.exec(t, "UPDATE semel_outbox_keys SET used_at = used_at - 90000000000")
		send("3", "used")
		got, err := w.box.Clean(t.Context(), w.db, nil)
		if err != nil || got.OrderingKeys != 1 {
			t.Errorf("%+v %v", got, err)
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_outbox_keys"); n != 2 {
			t.Errorf("%d keys are left", n)
		}
		send("3", "gone")
		if after := w.number(t, "SELECT MAX(n) FROM semel_outbox_messages WHERE msg_key = 'gone'"); after <= before {
			t.Errorf("%d is not behind %d", after, before)
		}
	})
}

// Keys of Once go after the retention, and not before; they may run again then.
func TestCleanKeys(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		once := func(id string) bool {
			out, err := w.once(t, outbox.Key{ID: id}, id)
			if err != nil {
				t.Fatal(err)
			}
			return out.Replayed
		}
		once("old")
		w.exec(t, "UPDATE semel_once SET claimed_at = claimed_at - ?1", (7*24*time.Hour + time.Minute).Microseconds())
		once("new")
		got, err := w.box.Clean(t.Context(), w.db, nil)
		if err != nil || got.Keys != 1 {
			t.Errorf("%+v %v", got, err)
		}
		if once("old") || !once("new") {
			t.Error("the wrong one was forgotten")
		}
	})
}

package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/semel-dev/semel/outbox"
)

func never(t *testing.T) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		t.Error("the function ran a second time")
		return nil, nil
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		ctx := t.Context()
		key := outbox.Key{Scope: "alice", ID: "tx-42", Request: []byte(`{"cents":100}`)}
		bin := []byte{0, 255, '\\', '\'', 10}
		tx := w.begin(t, "")
		out, err := w.box.Once(ctx, tx, key, func(ctx context.Context) ([]byte, error) {
			_, err := w.insert(tx, "a")(ctx)
			return bin, err
		})
		if err != nil || out.Replayed || !bytes.Equal(out.Body, bin) {
			t.Fatalf("%+v %v", out, err)
		}
		commit(t, tx)

		tx = w.begin(t, "")
		out, err = w.box.Once(ctx, tx, key, never(t))
		if err != nil || !out.Replayed || !bytes.Equal(out.Body, bin) || out.Err() != nil {
			t.Errorf("replay: %+v %v", out, err)
		}
		commit(t, tx)

		other := key
		other.Request = []byte(`{"cents":200}`)
		tx = w.begin(t, "")
		if out, err := w.box.Once(ctx, tx, other, never(t)); !errors.Is(err, outbox.ErrConflict) || out.Body != nil {
			t.Errorf("another request: %+v %v", out, err)
		}
		rollback(t, tx)

		other = key
		for i, k := range []outbox.Key{{Scope: "bob", ID: "tx-42"}, {ID: "TX-42"}, {ID: "tx-42 "}, {Scope: "alicet", ID: "x-42"}} {
			if out, err := w.once(t, k, fmt.Sprint("other", i)); err != nil || out.Replayed {
				t.Errorf("another key %v: %+v %v", k, out, err)
			}
		}
		if n := w.done(t, "a"); n != 1 {
			t.Errorf("done %d times", n)
		}
	})
}

// An error is not recorded, and takes back what the function wrote, even if the
// caller commits; a panic, too.
func TestOnceFails(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		ctx := t.Context()
		key := outbox.Key{ID: "k"}
		for _, commits := range []bool{false, true} {
			tx := w.begin(t, "")
			_, err := w.box.Once(ctx, tx, key, func(ctx context.Context) ([]byte, error) {
				if _, err := w.insert(tx, "failed")(ctx); err != nil {
					t.Error(err)
				}
				return nil, errWanted
			})
			if err != errWanted { //nolint:errorlint // as it is
				t.Fatal(err)
			}
			if commits {
				commit(t, tx)
			} else {
				rollback(t, tx)
			}
		}
		// A statement that fails aborts a transaction of PostgreSQL; the savepoint mends it.
		tx := w.begin(t, "")
		if _, err := w.box.Once(ctx, tx, key, func(ctx context.Context) ([]byte, error) {
			_, err := tx.Exec(ctx, "INSERT INTO no_such_table VALUES (1)")
			return nil, err
		}); err == nil || errors.Is(err, outbox.ErrRetry) {
			t.Fatal(err)
		}
		commit(t, tx)

		tx = w.begin(t, "")
		func() {
			defer func() {
				if recover() != "wanted" {
					t.Error("the panic did not go on")
				}
			}()
			_, _ = w.box.Once(ctx, tx, key, func(ctx context.Context) ([]byte, error) {
				_, _ = w.insert(tx, "failed")(ctx)
				panic("wanted")
			})
		}()
		commit(t, tx)
		if n := w.done(t, "failed"); n != 0 {
			t.Errorf("%d rows of functions that failed", n)
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_once"); n != 0 {
			t.Errorf("%d keys are recorded", n)
		}
		if out, err := w.once(t, key, "good"); err != nil || out.Replayed {
			t.Errorf("%+v %v", out, err)
		}
		if n := w.done(t, "good"); n != 1 {
			t.Errorf("done %d times", n)
		}
	})
}

// The transaction's end decides: rolled back, it was not done.
func TestOnceRolledBack(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		key := outbox.Key{ID: "k"}
		for range 2 {
			tx := w.begin(t, "")
			if out, err := w.box.Once(t.Context(), tx, key, w.insert(tx, "a")); err != nil || out.Replayed {
				t.Errorf("%+v %v", out, err)
			}
			rollback(t, tx)
		}
		if n := w.done(t, "a"); n != 0 {
			t.Errorf("done %d times", n)
		}
	})
}

func TestOnceRejects(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		ctx := t.Context()
		key := outbox.Key{ID: "k", Request: []byte("r")}
		for round := range 3 {
			tx := w.begin(t, "")
			out, err := w.box.Once(ctx, tx, key, func(ctx context.Context) ([]byte, error) {
				if _, err := w.insert(tx, "rejected")(ctx); err != nil {
					return nil, err
				}
				if err := w.box.Send(ctx, tx, outbox.Message{Key: "a"}); err != nil {
					return nil, err
				}
				return nil, fmt.Errorf("so: %w", outbox.Reject("insufficient_funds", "balance is %d", 7))
			})
			if err != nil || out.Rejected == nil || *out.Rejected != (outbox.Rejection{Code: "insufficient_funds", Detail: "balance is 7"}) || out.Replayed != (round == 2) {
				t.Fatalf("round %d: %+v %v", round, out, err)
			}
			if !errors.As(out.Err(), new(*outbox.Rejection)) {
				t.Error(out.Err())
			}
			if round == 0 {
				rollback(t, tx) // and it is not recorded
			} else {
				commit(t, tx)
			}
		}
		if n := w.done(t, "rejected") + w.number(t, "SELECT COUNT(*) FROM semel_outbox_messages"); n != 0 {
			t.Errorf("%d rows of a rejected function", n)
		}
	})
}

func TestOnceWithin(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world) {
		w.work(t)
		ctx := t.Context()
		tx := w.begin(t, "")
		out, err := w.box.Once(ctx, tx, outbox.Key{ID: "outer"}, func(ctx context.Context) ([]byte, error) {
			if _, err := w.insert(tx, "outer")(ctx); err != nil {
				return nil, err
			}
			if _, err := w.box.Once(ctx, tx, outbox.Key{ID: "inner"}, w.insert(tx, "inner")); err != nil {
				return nil, err
			}
			if _, err := w.box.Once(ctx, tx, outbox.Key{ID: "fails"}, func(ctx context.Context) ([]byte, error) {
				_, _ = w.insert(tx, "fails")(ctx)
				return nil, errWanted
			}); !errors.Is(err, errWanted) {
				return nil, err
			}
			if _, err := w.box.Once(ctx, tx, outbox.Key{ID: "outer"}, never(t)); !errors.Is(err, outbox.ErrUnsettled) {
				return nil, fmt.Errorf("the own key: %w", err)
			}
			return []byte("ok"), nil
		})
		if err != nil || string(out.Body) != "ok" {
			t.Fatalf("%+v %v", out, err)
		}
		commit(t, tx)
		if a, b, c := w.done(t, "outer"), w.done(t, "inner"), w.done(t, "fails"); a != 1 || b != 1 || c != 0 {
			t.Error(a, b, c)
		}
	})
}

// A key that carries a time beyond the retention is refused, because its record
// may be gone; its record is replayed if it is there.
func TestOnceByAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", nil)
	w.work(t)
	at := func(d time.Duration) outbox.Key {
		id := uuid.Must(uuid.NewV7())
		ms := time.Now().Add(d).UnixMilli()
		for i := range 6 {
			id[i] = byte(ms >> (8 * (5 - i)))
		}
		return outbox.Key{ID: id.String()}
	}
	for _, c := range []struct {
		age  time.Duration
		want error
	}{{0, nil}, {-6 * 24 * time.Hour, nil}, {-7 * 24 * time.Hour, outbox.ErrExpired}, {time.Hour, outbox.ErrFuture}, {time.Minute, nil}} {
		key := at(c.age)
		if _, err := w.once(t, key, key.ID); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, not %v", c.age, err, c.want)
		}
		want := int64(1)
		if c.want != nil {
			want = 0
		}
		if n := w.number(t, "SELECT COUNT(*) FROM semel_once WHERE id = ?1", key.ID); n != want {
			t.Errorf("%v: %d records", c.age, n)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite", nil)
	tx := w.begin(t, "")
	for _, key := range []outbox.Key{{}, {ID: "a\x00"}, {ID: "\xff"}, {ID: string(make([]byte, 513))}, {ID: "a", Scope: "\xff"}} {
		if _, err := w.box.Once(t.Context(), tx, key, never(t)); err == nil {
			t.Errorf("%q is taken", key.ID)
		}
	}
}

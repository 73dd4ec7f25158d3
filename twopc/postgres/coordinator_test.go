package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/pgtest"
	"github.com/semel-dev/semel/store/mem"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/postgres"
)

// wallet is an agent from which money goes to a table, and back.
type wallet struct{ Cents int64 }

func (w *wallet) Add(_ *semel.Step, cents int64) (int64, error) {
	if w.Cents+cents < 0 {
		return 0, semel.Reject("insufficient_funds", "there are %d", w.Cents)
	}
	w.Cents += cents
	return w.Cents, nil
}

// row adds to a row of the table.
type row struct {
	ID    string
	Cents int64
}

func addRow(ctx context.Context, tx pgx.Tx, b twopc.Branch) (json.RawMessage, error) {
	var r row
	if err := json.Unmarshal(b.Body, &r); err != nil {
		return nil, semel.Reject("bad_body", "%v", err)
	}
	var left int64
	err := tx.QueryRow(ctx, "UPDATE wallet SET cents = cents + $2 WHERE id = $1 RETURNING cents", r.ID, r.Cents).Scan(&left)
	if err != nil {
		return nil, err
	}
	if left < 0 {
		return nil, semel.Reject("insufficient_funds", "there would be %d", left)
	}
	return nil, nil // a participant that finds the branch prepared could not repeat it
}

// flaky loses some answers of a participant, and some calls.
type flaky struct{ twopc.Participant }

var errLost = errors.New("the connection broke")

func (f flaky) Prepare(ctx context.Context, b twopc.Branch) (twopc.Vote, error) {
	if rand.IntN(8) == 0 {
		return twopc.Vote{}, errLost
	}
	v, err := f.Participant.Prepare(ctx, b)
	if rand.IntN(8) == 0 {
		return twopc.Vote{}, errLost
	}
	return v, err
}

func (f flaky) Commit(ctx context.Context, p twopc.Prepared) error {
	err := f.Participant.Commit(ctx, p)
	if rand.IntN(4) == 0 {
		return errLost
	}
	return err
}

func (f flaky) Abort(ctx context.Context, p twopc.Prepared) error {
	err := f.Participant.Abort(ctx, p)
	if rand.IntN(4) == 0 {
		return errLost
	}
	return err
}

// Money goes between agents and the rows of a real table, with answers that get
// lost, and the program that coordinates it stops in the middle and is started
// again: all of it is there in the end, and nothing is left prepared.
func TestTransfers(t *testing.T) {
	t.Parallel()
	dsn := place(t, pgtest.Shared(t).Database(t))
	pgtest.Exec(t, dsn, "CREATE TABLE wallet (id text PRIMARY KEY, cents bigint NOT NULL); INSERT INTO wallet SELECT 'r' || n, 1000 FROM generate_series(0, 4) n")
	disk := mem.New()
	live := func(do func(context.Context, *twopc.Coordinator, *semel.Action[int64, int64])) {
		app, err := semel.Open(t.Context(), disk, nil)
		if err != nil {
			t.Fatal(err)
		}
		co := twopc.New(app, &twopc.Config{RetryBase: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond})
		co.Register("bank", flaky{open(t, dsn, addRow, nil)})
		add := semel.On(semel.NewAgent[wallet](app, "wallet"), "add", (*wallet).Add)
		do(t.Context(), co, add)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = app.Close(ctx) // what is under way is left as it is, if it takes longer
	}
	transfers := func(ctx context.Context, co *twopc.Coordinator, add *semel.Action[int64, int64], stop func(error)) {
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				cents := int64(1+i%7) * 100 * int64(1-i%2*2)
				_, err := co.Run(ctx, fmt.Sprint("t", i), []twopc.Part{
					twopc.Do(add.Ref, fmt.Sprint("w", i%5), cents),
					co.With("bank", row{ID: fmt.Sprint("r", i%3), Cents: -cents}),
				}, twopc.Within(10*time.Second))
				if err != nil && semel.KindOf(err) != semel.KindRejected && ctx.Err() == nil {
					t.Errorf("%d: %v", i, err)
				}
				stop(err)
			})
		}
		wg.Wait()
	}
	live(func(ctx context.Context, co *twopc.Coordinator, add *semel.Action[int64, int64]) {
		for i := range 5 {
			if _, err := add.Call(ctx, fmt.Sprint("w", i), 1000, semel.Key("fill")); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := 0
		var mu sync.Mutex
		transfers(ctx, co, add, func(error) {
			mu.Lock()
			defer mu.Unlock()
			if done++; done == 15 {
				cancel()
			}
		})
	})
	live(func(ctx context.Context, co *twopc.Coordinator, add *semel.Action[int64, int64]) {
		outcomes := make(map[string]int)
		var mu sync.Mutex
		transfers(ctx, co, add, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			var no *semel.Rejection
			if errors.As(err, &no) {
				outcomes[no.Code]++
			} else if err == nil {
				outcomes["done"]++
			}
		})
		if outcomes["done"] < 30 {
			t.Errorf("hardly any was done: %v", outcomes)
		}
		deadline := time.Now().Add(30 * time.Second)
		for {
			doubts := 0
			for e, err := range co.List(ctx, "") {
				if err != nil {
					t.Fatal(err)
				}
				if e.InDoubt() || e.State == twopc.Undecided {
					doubts++
				}
			}
			found, err := co.Sweep(ctx)
			if doubts == 0 && len(found) == 0 && err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("30 s after all ended %d are in doubt, and %+v, %v", doubts, found, err)
			}
			time.Sleep(20 * time.Millisecond) // it is another process's doing: there is no signal to wait for
		}
		var sum int64
		for i := range 5 {
			n, err := add.Call(ctx, fmt.Sprint("w", i), 0, semel.Key("look"))
			if err != nil {
				t.Error(err)
			}
			sum += n
		}
		rows, err := strconv.ParseInt(pgtest.Value(t, dsn, "SELECT sum(cents) FROM wallet"), 10, 64)
		if err != nil || sum+rows != 10_000 {
			t.Errorf("the agents have %d, and the table %d, %v", sum, rows, err)
		}
		t.Logf("the agents have %d, and the table %d; %v", sum, rows, outcomes)
	})
}

var _ twopc.Participant = (*postgres.Participant)(nil)

package web_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/web"
)

// A hotel whose rooms are booked in its own database, all or none with whatever else
// is in the transaction.
func ExampleNewHandler() {
	dir, err := os.MkdirTemp("", "hotel")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+"?_txlock=immediate&_pragma=busy_timeout(20000)")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	ctx := context.Background()
	ledger, _ := web.SQL(db, web.SQLite, "")
	_ = ledger.Migrate(ctx)
	_, _ = db.Exec("CREATE TABLE room (night text PRIMARY KEY, held_by text, guest text)")
	_, _ = db.Exec("INSERT INTO room (night) VALUES ('1 May'), ('2 May')")

	hotel := web.NewHandler(ledger, web.Work[*sql.Tx]{
		Prepare: func(ctx context.Context, tx *sql.Tx, b twopc.Branch) (twopc.Vote, error) {
			var night string
			if err := json.Unmarshal(b.Body, &night); err != nil {
				return twopc.Vote{}, semel.Reject("invalid_night", "%v", err)
			}
			r, err := tx.ExecContext(ctx, "UPDATE room SET held_by = ? WHERE night = ? AND held_by IS NULL", b.Tx, night)
			if err != nil {
				return twopc.Vote{}, err
			}
			if n, err := r.RowsAffected(); n != 1 || err != nil {
				return twopc.Vote{}, semel.Reject("no_room", "no room is free on %s", night)
			}
			return twopc.Vote{}, nil
		},
		Commit: func(ctx context.Context, tx *sql.Tx, b twopc.Branch) error {
			_, err := tx.ExecContext(ctx, "UPDATE room SET guest = held_by WHERE held_by = ?", b.Tx)
			return err
		},
		Abort: func(ctx context.Context, tx *sql.Tx, b twopc.Branch) error {
			_, err := tx.ExecContext(ctx, "UPDATE room SET held_by = NULL WHERE held_by = ?", b.Tx)
			return err
		},
	})

	// A coordinator does this:
	server := httptest.NewServer(hotel)
	defer server.Close()
	p, _ := web.New(web.Config{URL: server.URL, AllowPrivate: true})
	book := func(tx, night string, commit bool) {
		body, _ := json.Marshal(night)
		_, err := p.Prepare(ctx, twopc.Branch{Tx: tx, Name: "hotel", Body: body})
		fmt.Printf("%s: prepare: %v\n", tx, err)
		if err != nil {
			return
		}
		if commit {
			err = p.Commit(ctx, twopc.Prepared{Tx: tx, Name: "hotel"})
		} else {
			err = p.Abort(ctx, twopc.Prepared{Tx: tx, Name: "hotel"})
		}
		fmt.Printf("%s: decided: %v\n", tx, err)
	}
	book("trip-1", "1 May", true)
	book("trip-2", "1 May", true)
	book("trip-3", "2 May", false)
	book("trip-4", "2 May", true)
	// Output:
	// trip-1: prepare: <nil>
	// trip-1: decided: <nil>
	// trip-2: prepare: semel: rejected (no_room): no room is free on 1 May
	// trip-3: prepare: <nil>
	// trip-3: decided: <nil>
	// trip-4: prepare: <nil>
	// trip-4: decided: <nil>
}

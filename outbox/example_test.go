package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/semel-dev/semel/outbox"
)

// A request that comes twice, and the message that it sends.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	box, err := outbox.New(outbox.SQLite, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := box.Migrate(ctx, outbox.SQLDB(outbox.SQLite, db)); err != nil {
		log.Fatal(err)
	}

	debit := func(key string) (string, error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = tx.Rollback() }()
		out, err := box.Once(ctx, outbox.SQLTx(tx), outbox.Key{ID: key}, func(ctx context.Context) ([]byte, error) {
			fmt.Println("debiting")
			// The program's own statements, in tx.
			return []byte("receipt 1"), box.Send(ctx, outbox.SQLTx(tx), outbox.Message{Key: "alice", Type: "debited"})
		})
		if err != nil {
			return "", err
		}
		return string(out.Body), tx.Commit()
	}
	for range 2 {
		fmt.Println(debit("tx-42"))
	}

	ctx, cancel := context.WithCancel(ctx)
	sink := outbox.ByKey(1, func(_ context.Context, m outbox.Message) outbox.Result {
		fmt.Println("delivered:", m.Type, "of", m.Key)
		cancel()
		return outbox.Result{Verdict: outbox.Done}
	})
	relay, err := outbox.NewRelay(box, outbox.SQLDB(outbox.SQLite, db), sink, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := relay.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// debiting
	// receipt 1 <nil>
	// receipt 1 <nil>
	// delivered: debited of alice
}

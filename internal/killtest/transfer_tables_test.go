package killtest

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/mariadb"
	"github.com/semel-dev/semel/twopc/postgres"
)

// tables are the two databases as the judge sees them: by connections of its own.
type tables struct {
	t                 *testing.T
	postgres, mariadb string // DSNs
	pool, db          *sql.DB
	foreign           map[string]twopc.Prepared // by side: see strangers
}

func makeTables(t *testing.T, pg, my string) *tables {
	tb := &tables{t: t, postgres: pg, mariadb: my}
	var err error
	if tb.pool, err = sql.Open("pgx", pg); err != nil {
		t.Fatal(err)
	}
	if tb.db, err = sql.Open("mysql", my); err != nil {
		t.Fatal(err)
	}
	for _, db := range []*sql.DB{tb.pool, tb.db} {
		db.SetMaxIdleConns(0) // an idle connection would be a broken one, when its server was killed
		t.Cleanup(func() { _ = db.Close() })
		tb.exec(db, "CREATE TABLE moves (k varchar(20) PRIMARY KEY, cents bigint NOT NULL)")
		tb.exec(db, "CREATE TABLE purses (id int PRIMARY KEY, cents bigint NOT NULL)")
		var values []string
		for i := range purses {
			values = append(values, fmt.Sprintf("(%d, %d)", i, plenty))
		}
		tb.exec(db, "INSERT INTO purses VALUES "+strings.Join(values, ", "))
	}
	return tb
}

func (tb *tables) exec(db *sql.DB, statement string) {
	tb.t.Helper()
	if _, err := db.ExecContext(tb.t.Context(), statement); err != nil {
		tb.t.Fatalf("%s: %v", statement, err)
	}
}

// moves is what was moved, by the transaction's key.
func (tb *tables) moves(db *sql.DB) map[string]int64 {
	all := make(map[string]int64)
	each(tb, db, "SELECT k, cents FROM moves", func(key string, cents int64) { all[key] = cents })
	return all
}

func (tb *tables) purses(db *sql.DB) (all []int64) {
	each(tb, db, "SELECT id, cents FROM purses WHERE id < "+strconv.Itoa(purses)+" ORDER BY id", func(_, cents int64) { all = append(all, cents) })
	return all
}

func each[A, B any](tb *tables, db *sql.DB, query string, row func(A, B)) {
	tb.t.Helper()
	rows, err := db.QueryContext(tb.t.Context(), query)
	if err != nil {
		tb.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var a A
		var b B
		if err := rows.Scan(&a, &b); err != nil {
			tb.t.Fatalf("%s: %v", query, err)
		}
		row(a, b)
	}
	if err := rows.Err(); err != nil {
		tb.t.Fatalf("%s: %v", query, err)
	}
}

// participants are both databases without anybody who coordinates them.
func (tb *tables) participants(ctx context.Context) (map[string]twopc.Participant, func()) {
	pool, err := pgxpool.New(ctx, tb.postgres)
	if err != nil {
		tb.t.Fatal(err)
	}
	my, err := mariadb.New(tb.db, moveInMariaDB, nil)
	if err != nil {
		tb.t.Fatal(err)
	}
	return map[string]twopc.Participant{postgresSide: postgres.New(pool, moveInPostgres, nil), mariadbSide: my}, pool.Close
}

// prepared is how old everything is that is prepared, but for what the strangers
// have.
func (tb *tables) prepared() (ages []time.Duration) {
	tb.t.Helper()
	ctx, cancel := context.WithTimeout(tb.t.Context(), patience)
	defer cancel()
	all, end := tb.participants(ctx)
	defer end()
	for side, p := range all {
		list, err := p.Recover(ctx)
		if err == nil || !strings.Contains(err.Error(), "is no branch's") {
			tb.t.Fatalf("%s does not tell of the transaction with a name that was made up: %v", side, err)
		}
		for _, one := range list {
			if one.Tx == foreignTx {
				continue
			}
			age := time.Duration(0)
			if !one.Since.IsZero() { // in MariaDB a branch that ends meanwhile does not tell
				age = time.Since(one.Since)
			}
			ages = append(ages, age)
		}
	}
	return ages
}

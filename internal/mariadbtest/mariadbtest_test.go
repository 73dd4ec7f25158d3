package mariadbtest_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/semel-dev/semel/internal/mariadbtest"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Around(m).Run()) }

// What was committed is there after a kill, and the server has the options of its
// first start.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := mariadbtest.Start(t, "--max-connections=77")
	db, err := sql.Open("mysql", s.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, q := range []string{"CREATE TABLE n (n int)", "INSERT INTO n VALUES (1)"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	for _, end := range []func(testing.TB){s.Kill, func(testing.TB) {}} {
		end(t)
		s.Restart(t)
		var sum, most int
		if err := db.QueryRow("SELECT SUM(n), @@max_connections FROM n").Scan(&sum, &most); err != nil || sum != 1 || most != 77 {
			t.Errorf("the sum is %d, max_connections %d: %v", sum, most, err)
		}
	}
}

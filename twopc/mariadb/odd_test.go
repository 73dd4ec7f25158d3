package mariadb_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"

	"github.com/semel-dev/semel/twopc/mariadb"
	"github.com/semel-dev/semel/twopc/partytest"
)

var errClosed = driver.ErrBadConn

// odd: what is in our format and no branch's is told, and hides nothing. It is seen
// in all of a server, so this server is the test's own.
func odd(t *testing.T, db *sql.DB, p *mariadb.Participant) {
	mine := partytest.Yes(t, p, partytest.Branch(t, partytest.Ask{Write: 7}))
	for _, id := range []string{
		fmt.Sprintf("'semel:an odd one','b1:x',%d", mariadb.FormatID), fmt.Sprintf("'x','semel:y',%d", mariadb.FormatID), "'somebody else','',1",
	} {
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{"XA START ", "INSERT INTO n VALUES (1)", "XA END ", "XA PREPARE "} {
			if strings.HasSuffix(statement, " ") {
				statement += id
			}
			if _, err := c.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		hang(c)
	}
	list, err := p.Recover(t.Context())
	if len(list) != 1 || list[0].Handle != mine.Handle || err == nil || strings.Count(err.Error(), "is no branch's") != 2 ||
		!strings.Contains(err.Error(), fmt.Sprintf("X'%x'", "semel:an odd one")) {
		t.Errorf("listed is %+v, %v", list, err)
	}
}

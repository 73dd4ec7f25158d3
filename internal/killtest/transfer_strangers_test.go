package killtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/mariadb"
)

const (
	foreignTx = "0badc0de-aaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb-ccccccc" // of another store: so its first part says
	madeUp    = "semel:made-up"                                    // begins as our names do, and is none
	strange   = purses + 1                                         // the strangers' own purses are this and the next
)

// strangers have prepared something in both databases: another Semel a
// transaction, and somebody one with a name that begins as ours do. Both put 7
// into a purse.
func (tb *tables) strangers() {
	t := tb.t
	t.Helper()
	all, end := tb.participants(t.Context())
	defer end()
	if err := all[mariadbSide].(*mariadb.Participant).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tb.exec(tb.pool, fmt.Sprintf("INSERT INTO purses VALUES (%d, 0), (%d, 0)", strange, strange+1))
	tb.exec(tb.db, fmt.Sprintf("INSERT INTO purses VALUES (%d, 0), (%d, 0)", strange, strange+1))
	tb.foreign = make(map[string]twopc.Prepared)
	for side, p := range all {
		body := fmt.Sprintf(`{"key":"foreign","purse":%d,"cents":7}`, strange)
		v, err := p.Prepare(t.Context(), twopc.Branch{Tx: foreignTx, Name: "1", Body: []byte(body)})
		if err != nil {
			t.Fatalf("%s: %v", side, err)
		}
		tb.foreign[side] = twopc.Prepared{Tx: foreignTx, Name: "1", Handle: v.Handle}
	}
	update := fmt.Sprintf("UPDATE purses SET cents = 7 WHERE id = %d", strange+1)
	tb.exec(tb.pool, "BEGIN; "+update+"; PREPARE TRANSACTION '"+madeUp+"'")
	conn, err := tb.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"XA START " + madeUpXID, update, "XA END " + madeUpXID, "XA PREPARE " + madeUpXID} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	// Not pooled again: as long as it is open nobody else can end what it prepared.
	if err := conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		t.Fatal(err)
	}
}

var madeUpXID = fmt.Sprintf("'%s','',%d", madeUp, mariadb.FormatID)

// strangersStay checks that a sweep of the program lists what the strangers
// have, and that it is there, whole: they can still commit it.
func (b *bank) strangersStay(c *child) {
	t := b.t
	t.Helper()
	var s swept
	c.must("/sweep", nil, &s)
	if len(s.Foreign) != 2 || s.Others != 0 {
		t.Errorf("a sweep found %+v", s)
	}
	for _, o := range s.Foreign {
		if want := b.foreign[o.Participant]; o.Tx != foreignTx || o.Handle != want.Handle || o.Age < time.Since(b.ready) || o.Age > time.Hour || o.Resolved || o.Decision != "" {
			t.Errorf("of the stranger's transaction a sweep says: %+v", o)
		}
	}
	hexed := fmt.Sprintf("X'%x'", madeUp) // as MariaDB's statement must have it
	for _, name := range []string{madeUp, hexed} {
		if strings.Count(s.Error, name) != 1 {
			t.Errorf("of the transaction with a name that was made up a sweep says: %s", s.Error)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	all, end := b.participants(ctx)
	defer end()
	for side, p := range all {
		if err := p.Commit(ctx, b.foreign[side]); err != nil {
			t.Errorf("%s: the stranger cannot commit: %v", side, err)
		}
	}
	b.exec(b.pool, "COMMIT PREPARED '"+madeUp+"'")
	b.exec(b.db, "XA COMMIT "+madeUpXID)
	each(b.tables, b.pool, strangersQuery, b.wantSeven)
	each(b.tables, b.db, strangersQuery, b.wantSeven)
}

var strangersQuery = fmt.Sprintf("SELECT id, cents FROM purses WHERE id >= %d", strange)

func (b *bank) wantSeven(purse, cents int64) {
	if cents != 7 {
		b.t.Errorf("the stranger put 7 into purse %d, and it has %d", purse, cents)
	}
}

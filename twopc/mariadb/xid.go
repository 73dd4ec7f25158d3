package mariadb

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/twopc"
)

// FormatID is the format of our XIDs: "SEML".
const FormatID = 0x53454d4c

const prefix = "semel:"

func newNonce() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// hashOf stands for a database in a handle.
func hashOf(database string) string {
	sum := sha256.Sum256([]byte(database))
	return hex.EncodeToString(sum[:4])
}

// checkHandle: 16 hexadecimal digits, a dot, and 8.
func checkHandle(s string) error {
	if len(s) != 25 || s[16] != '.' || strings.Trim(s[:16]+s[17:], "0123456789abcdef") != "" {
		return fmt.Errorf("%.80q is no handle of a branch that was prepared here", s)
	}
	return nil
}

// xid is a branch's, in a statement. All of it may stand in quotes as it is.
func xid(p twopc.Prepared) (string, error) {
	if err := (twopc.Branch{Tx: p.Tx, Name: p.Name}).Validate(); err != nil {
		return "", err
	}
	return fmt.Sprintf("'%s%s','%s:%s',%d", prefix, p.Tx, p.Name, p.Handle, FormatID), checkHandle(p.Handle)
}

func parse(gtrid, bqual string) (twopc.Prepared, error) {
	tx, ours := strings.CutPrefix(gtrid, prefix)
	name, handle, two := strings.Cut(bqual, ":")
	p := twopc.Prepared{Tx: tx, Name: name, Handle: handle}
	if !ours || !two {
		return p, errors.New("it is not semel:<transaction> and <branch>:<handle>")
	}
	_, err := xid(p)
	return p, err
}

// Recover implements [twopc.Participant]: it lists what is prepared of this
// database's branches. XIDs of [FormatID] that are no branch's are told by the error, which
// names them; nobody but a person resolves them.
func (p *Participant) Recover(ctx context.Context) ([]twopc.Prepared, error) {
	ctx, cancel, _ := p.within(ctx)
	defer cancel()
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	all, odd, err := p.list(ctx, conn)
	if err != nil {
		return nil, err
	}
	return all, errors.Join(append(odd, p.since(ctx, conn, all))...)
}

// list lists what is prepared, and what is prepared in our format and is no branch.
func (p *Participant) list(ctx context.Context, conn *sql.Conn) (all []twopc.Prepared, odd []error, err error) {
	var database string
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(DATABASE(), '')").Scan(&database); err != nil {
		return nil, nil, err
	}
	rows, err := conn.QueryContext(ctx, "XA RECOVER")
	if err != nil {
		return nil, nil, fmt.Errorf("list prepared transactions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var format, gtrid int64
		var bqual int
		var data []byte
		if err := rows.Scan(&format, &gtrid, &bqual, &data); err != nil {
			return nil, nil, fmt.Errorf("list prepared transactions: %w", err)
		}
		if format != FormatID {
			continue
		}
		if gtrid < 0 || gtrid > int64(len(data)) || !bytes.HasPrefix(data, []byte(prefix)) {
			gtrid = 0
		}
		one, err := parse(string(data[:gtrid]), string(data[gtrid:]))
		switch {
		case err != nil:
			odd = append(odd, fmt.Errorf("the prepared transaction X'%x',X'%x',%d is no branch's: %w; "+
				"whoever knows it resolves it by XA COMMIT or XA ROLLBACK", data[:gtrid], data[gtrid:], format, err))
		case strings.HasSuffix(one.Handle, "."+hashOf(database)):
			all = append(all, one)
		}
	}
	return all, odd, rows.Err()
}

// since tells of what is prepared since when, by its row, which is not committed: so
// this is a dirty read.
func (p *Participant) since(ctx context.Context, conn *sql.Conn, all []twopc.Prepared) error {
	if len(all) == 0 {
		return nil
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadUncommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	for i := range all {
		var at float64
		err := tx.QueryRowContext(ctx, "SELECT UNIX_TIMESTAMP(at) FROM `"+p.o.Table+"` WHERE tx = ? AND branch = ? AND handle = ?", all[i].Tx, all[i].Name, all[i].Handle).Scan(&at)
		if err == nil {
			all[i].Since = time.UnixMicro(int64(at * 1e6))
		} else if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("ask since when branches are prepared: %w", err)
		}
	}
	return nil
}

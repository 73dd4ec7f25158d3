package postgres

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/semel-dev/semel/twopc"
)

// prefix begins every gid of ours. It tells the format too: another one has
// another prefix.
const prefix = "semel:"

// handle is the last part of a gid, and what the vote says.
type handle struct {
	nonce    string // 16 hexadecimal digits
	xid      uint64 // of pg_current_xact_id: 64 bits, never given twice in one history
	timeline string // 8 hexadecimal digits, of that history
}

func (h handle) String() string { return fmt.Sprintf("%s.%d.%s", h.nonce, h.xid, h.timeline) }

func newNonce() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func parseHandle(s string) (h handle, err error) {
	part := strings.Split(s, ".")
	if len(part) == 3 {
		h.nonce, h.timeline = part[0], part[2]
		h.xid, err = strconv.ParseUint(part[1], 10, 64)
	}
	if err != nil || h.String() != s || !hexadecimal(h.nonce, 16) || !hexadecimal(h.timeline, 8) {
		return handle{}, fmt.Errorf("%.80q is no handle of a transaction that was prepared here", s)
	}
	return h, nil
}

func hexadecimal(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// branchOf begins the gids of a branch, and of no other: no part has a colon.
func branchOf(tx, name string) string { return prefix + tx + ":" + name + ":" }

// gidOf makes the gid. All of it may stand in quotes as it is.
func gidOf(p twopc.Prepared) (gid string, h handle, err error) {
	if err := (twopc.Branch{Tx: p.Tx, Name: p.Name}).Validate(); err != nil {
		return "", handle{}, err
	}
	h, err = parseHandle(p.Handle)
	return branchOf(p.Tx, p.Name) + p.Handle, h, err
}

func parseGID(gid string) (twopc.Prepared, error) {
	part := strings.Split(strings.TrimPrefix(gid, prefix), ":")
	if !strings.HasPrefix(gid, prefix) || len(part) != 3 {
		return twopc.Prepared{}, errors.New("it is not semel:<transaction>:<branch>:<handle>")
	}
	p := twopc.Prepared{Tx: part[0], Name: part[1], Handle: part[2]}
	_, _, err := gidOf(p)
	return p, err
}

// lockKey is the key of the advisory lock of a branch.
func lockKey(tx, name string) int64 {
	sum := sha256.Sum256([]byte(branchOf(tx, name)))
	return int64(binary.BigEndian.Uint64(sum[:])) //nolint:gosec // any 64 bits
}

package twopc

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// A transaction's name says all that is needed to find it again:
//
//	incarnation tenant   hash                   birth
//	0f3a9c21-mzxw6ytb-k5rq2xv7m3n6c4d5e6f7a2-b3c4d5e
//	        8       8                     22       7    characters, and 3 dashes
//
//	incarnation  hexadecimal: the beginning of the store's. Another Semel that
//	             has the same database has another one, and leaves it alone
//	tenant       of its tenant's name, by which tenants are found (tenants.go)
//	hash         of the tenant, the principal and the key of Run
//	birth        when it began, in seconds: a key may be used again when its
//	             outcome is forgotten, and a transaction's name never is
//
// The coordinating agent is named by the two in the middle. The incarnation is
// not in its name, because a key must find its outcome in a store that was
// renewed, too.
const (
	lenIncarnation = 8
	lenTenant      = 8
	lenHash        = 22
	lenBirth       = 7
	lenTx          = lenIncarnation + 1 + lenTenant + 1 + lenHash + 1 + lenBirth
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// digest is n letters that stand for texts.
func digest(n int, texts ...string) string {
	h := sha256.New()
	for _, s := range texts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	return letters.EncodeToString(h.Sum(nil))[:n]
}

// agentID is the id of the agent that coordinates what is asked for under a key.
func agentID(tenant, principal, key string) string {
	return digest(lenTenant, tenant) + "-" + digest(lenHash, tenant, principal, key)
}

// nameTx names a transaction that an agent begins.
func nameTx(incarnation, agentID string, now time.Time) string {
	var birth [5]byte // 40 bits are 8 letters, the first of which is always the same
	seconds := uint64(now.Unix())
	for i := range birth {
		birth[i] = byte(seconds >> (8 * (4 - i)))
	}
	return incarnation[:lenIncarnation] + "-" + agentID + "-" + letters.EncodeToString(birth[:])[8-lenBirth:]
}

// parsedTx is a transaction's name, taken apart.
type parsedTx struct{ incarnation, tenant, agentID string }

// parseTx reads what nameTx wrote.
func parseTx(tx string) (p parsedTx, ok bool) {
	parts := strings.Split(tx, "-")
	if len(tx) != lenTx || len(parts) != 4 || len(parts[0]) != lenIncarnation || len(parts[1]) != lenTenant || len(parts[2]) != lenHash {
		return p, false
	}
	for _, c := range tx {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return p, false
		}
	}
	return parsedTx{incarnation: parts[0], tenant: parts[1], agentID: parts[1] + "-" + parts[2]}, true
}

// branchName is the name of the branch with an index.
func branchName(i int) string { return strconv.Itoa(i + 1) }

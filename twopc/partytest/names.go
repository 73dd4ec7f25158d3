package partytest

import (
	"crypto/rand"
	"strings"
	"testing"
)

// Tx is a new transaction's id, as long as one may be: what is made of it must
// have the room.
func Tx(testing.TB) string {
	id := strings.ToLower(rand.Text()) // 26 letters and digits
	return (id + "-" + strings.ToLower(rand.Text()))[:48]
}

package core

import (
	"slices"
	"strings"

	"github.com/semel-dev/semel/message"
)

// What was decided of a transaction before its prepare had its turn. A no is always
// allowed, so the record of it may say too much, and is bounded: beyond a number of
// names it says that all prepares vote no which wait now.

// maxVoidBytes bounds the names in one control row.
const maxVoidBytes = 4096

// branchToken is the token of the hold of a transaction: no name begins like that,
// and no message passes it for its token.
func branchToken(tx string) string { return "\x02" + tx }

// promised says whether the hold that is set is one of a transaction.
func (c *controlRow) promised() bool { return c.until != 0 && strings.HasPrefix(c.token, "\x02") }

// decides says whether a message is a decision.
func decides(m *message.Message) bool { return m.Branch != nil && m.Branch.Phase != message.Prepare }

// avoid remembers that a transaction is decided, of which nothing is promised.
// Nothing can be before its turn but in the mailbox: a prepare is never retried.
func (s *Shard) avoid(c *cell, tx string) {
	if c.control == nil || c.control.head == c.control.tail {
		return
	}
	s.control(c).avoid(tx)
	s.countControl(c)
}

func (c *controlRow) avoid(tx string) {
	if c.voidTo == c.tail || slices.Contains(c.void, tx) {
		return
	}
	if c.sizeVoid()+sizeBytes(len(tx)) > maxVoidBytes {
		c.void, c.voidTo = nil, c.tail
		return
	}
	c.void = append(c.void, tx)
}

func (c *controlRow) sizeVoid() int {
	n := 0
	for _, tx := range c.void {
		n += sizeBytes(len(tx))
	}
	return n
}

// voided says whether a prepare comes after the decision.
func (s *Shard) voided(env *envelope) bool {
	k := env.cell.control
	switch {
	case k == nil:
		return false
	case env.origin == fromMailbox && env.position < k.voidTo:
		return true
	case !slices.Contains(k.void, env.msg.Branch.Tx):
		return false
	}
	s.control(env.cell).void = without(k.void, env.msg.Branch.Tx)
	return true
}

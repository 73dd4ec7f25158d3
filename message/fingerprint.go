package message

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Fingerprint tells whether two requests under one key ask for the same thing.
// It is a cryptographic hash because a collision would replay one request's
// outcome to another.
type Fingerprint [sha256.Size]byte

// String is the fingerprint in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// fingerprintTag opens every hashed message. Stored fingerprints depend on it,
// on the layout below and on Canonical: a change of any needs a new tag, and
// makes every retry across the upgrade a conflict.
const fingerprintTag = "semel/fingerprint/1"

// FingerprintOf is the fingerprint of a request to a that asks for action with
// a JSON body; an empty body counts as null. Bodies that mean the same JSON
// value have the same fingerprint (see Canonical). Names are hashed as they
// are: validate them first. The only error is a *JSONError. It is safe for
// concurrent use and keeps no reference to body.
//
// What is hashed:
//
//	tag | n tenant | n type | n id | n action | canonical body
//
// Each n is a uvarint byte count, so no name can run into its neighbour; the
// body ends the message and needs none. The default tenant is the empty name,
// as in Agent.AppendKey: agents with one row key have one fingerprint.
func FingerprintOf(a Agent, action string, body []byte) (Fingerprint, error) {
	if a.Tenant == DefaultTenant {
		a.Tenant = ""
	}
	c := acquireCanonicalizer()
	defer c.release()
	if err := c.read(body); err != nil {
		return Fingerprint{}, err
	}
	m := append(c.message[:0], fingerprintTag...)
	m = appendPart(m, a.Tenant)
	m = appendPart(m, a.Type)
	m = appendPart(m, a.ID)
	m = appendPart(m, action)
	c.message = c.appendTo(m)
	return sha256.Sum256(c.message), nil
}

func appendPart(dst []byte, part string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(part))), part...)
}

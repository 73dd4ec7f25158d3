package message

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// ID identifies one message or effect for ever. It is derived from the cause,
// never from a position: a restored backup or a moved shard derives the same
// ID for the same cause, and no other cause can derive it.
type ID [16]byte

// String is the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether the ID was never set.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String wrote.
func ParseID(s string) (ID, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(ID{}) {
		return ID{}, false
	}
	return ID(b), true
}

// KeyedID is the identity of a message that its caller gave a key.
func KeyedID(a Agent, principal, key string) ID {
	return derive("keyed", a.AppendKey(nil), []byte(principal), []byte(key))
}

// SequencedID is the identity of a message that a source numbered. The
// source's name contains its incarnation.
func SequencedID(a Agent, source string, position uint64) ID {
	return derive("sequenced", a.AppendKey(nil), []byte(source), binary.BigEndian.AppendUint64(nil, position))
}

// Child is the identity of the n-th thing (message, effect, timer) that the
// step of message id asked for.
func (id ID) Child(n uint32) ID {
	return derive("child", id[:], binary.BigEndian.AppendUint32(nil, n))
}

// derive hashes length-prefixed parts under a domain, truncated to 128 bits.
func derive(domain string, parts ...[]byte) ID {
	var buf [256]byte
	b := append(buf[:0], domain...)
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return ID(sum[:16])
}

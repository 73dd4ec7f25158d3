package message

import (
	"math"
	"time"
)

// KeyTime is the time that an idempotency key carries, in nanoseconds since
// the Unix epoch and to the millisecond, and whether it carries one. Two forms do:
//
//   - a UUID of version 7 (RFC 9562) in its canonical 36 characters, in either
//     case, without braces or prefix;
//   - a ULID: 26 characters of Crockford's base 32 in upper case, without
//     its look-alikes, at least one of them a letter, whose time lies in
//     [2016-01-01, 2100-01-01) UTC.
//
// A UUID states its version; a ULID states nothing, and any 26 capitals and
// digits may look like one. So a ULID must also name a year in which ULIDs exist.
// That range is fixed. Were it drawn around the current time, a key outside it
// today could be inside it tomorrow: the same key would first be one without
// time, which may run again after retention, and later an expired one, or the
// reverse. What kind a key is has to depend on its bytes alone.
//
// For the same reason a UUID is never demoted because its time is absurd: the
// caller judges that. Times that int64 nanoseconds cannot hold (after 2262)
// come back as math.MaxInt64, which is after every time. It does not allocate.
func KeyTime(key string) (unixNano int64, ok bool) {
	switch len(key) {
	case 36:
		return uuid7Time(key)
	case 26:
		return ulidTime(key)
	}
	return 0, false
}

// uuid7Time reads 36 characters.
func uuid7Time(s string) (int64, bool) {
	_ = s[35]
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || s[14] != '7' || hexDigit[s[19]]>>2 != 0b10 {
		return 0, false
	}
	high := eight(s[0:8])
	low := uint64(four(s[9:13]))<<32 | uint64(four(s[14:18]))
	random := uint64(four(s[19:23]))<<32 | uint64(four(s[24:28]))
	if !allHex(high) || !allHex(low) || !allHex(random) || !allHex(eight(s[28:36])) {
		return 0, false
	}
	ms := hexValue(high)<<16 | hexValue(low)>>16 // low ends in the version and 12 bits of no interest
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		return math.MaxInt64, true
	}
	return int64(ms) * int64(time.Millisecond), true
}

// eight and four load characters as one big-endian number; the compiler makes
// one instruction of each.
func eight(s string) uint64 {
	return uint64(four(s[:4]))<<32 | uint64(four(s[4:8]))
}

func four(s string) uint32 {
	_ = s[3]
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// allHex says whether all eight characters of w are hexadecimal digits. To
// each lane of seven bits it adds what carries into the top bit from the
// character in question on.
func allHex(w uint64) bool {
	const ones = 0x0101010101010101
	lower := w | 0x20*ones // maps A-F to a-f, and nothing but these to a-f
	digit := (w + (0x80-'0')*ones) &^ (w + (0x80-'9'-1)*ones)
	letter := (lower + (0x80-'a')*ones) &^ (lower + (0x80-'f'-1)*ones)
	return (w|^(digit|letter))&(0x80*ones) == 0
}

// hexValue is the number that eight hexadecimal digits spell.
func hexValue(w uint64) uint64 {
	const ones = 0x0101010101010101
	w = w&(0x0F*ones) + w>>6&ones*9 // letters are 0x41 or 0x61 and up
	w = (w | w>>4) & 0x00FF00FF00FF00FF
	w = (w | w>>8) & 0x0000FFFF0000FFFF
	return (w | w>>16) & 0xFFFFFFFF
}

// The years in which a ULID is believed, in milliseconds since the Unix epoch:
// from the one in which it was specified to one that no retention reaches.
// Never change them (see KeyTime).
const (
	ulidFirstMS = 1451606400000 // 2016-01-01T00:00:00Z
	ulidEndMS   = 4102444800000 // 2100-01-01T00:00:00Z
)

// ulidTime reads 26 characters.
func ulidTime(s string) (int64, bool) {
	_ = s[25]
	var ms uint64
	var seen, top byte
	for i := range 10 {
		d := crockfordDigit[s[i]]
		seen, top = seen|d, max(top, d)
		ms = ms<<5 | uint64(d)
	}
	for i := 10; i < 26; i++ {
		seen, top = seen|crockfordDigit[s[i]], max(top, crockfordDigit[s[i]])
	}
	// The range also refuses a first digit above 7, which would exceed 128 bits.
	// And 26 decimal digits are somebody's numbers: a ULID has no letter in one
	// case of 10^8.
	if seen&notDigit != 0 || top < 10 || ms < ulidFirstMS || ms >= ulidEndMS {
		return 0, false
	}
	return int64(ms) * int64(time.Millisecond), true
}

// notDigit marks the bytes that are no digit. No digit's value has its bit.
const notDigit = 0x80

var (
	hexDigit       = digitTable("0123456789abcdef", "0123456789ABCDEF")
	crockfordDigit = digitTable("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
)

func digitTable(alphabets ...string) (t [256]byte) {
	for i := range t {
		t[i] = notDigit
	}
	for _, digits := range alphabets {
		for v := range digits {
			t[digits[v]] = byte(v)
		}
	}
	return t
}

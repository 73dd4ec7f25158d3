package message

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxNameBytes bounds tenants, types, ids and actions, and MaxKeyBytes bounds
// idempotency keys, so that every row key has a bounded size.
const (
	MaxNameBytes = 512
	MaxKeyBytes  = 255
	// MaxTraceBytes is the length of a traceparent.
	MaxTraceBytes = 55
)

// CheckName refuses names that are empty, too long, not UTF-8, or that contain
// control characters. What names the thing in the error: "agent id", "action".
func CheckName(what, name string) error {
	return check(what, name, MaxNameBytes)
}

// CheckKey refuses idempotency keys by the rules of CheckName, with MaxKeyBytes.
func CheckKey(key string) error {
	return check("idempotency key", key, MaxKeyBytes)
}

// plain says whether the string is printable ASCII, as most names are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func check(what, s string, limit int) error {
	if s == "" {
		return fmt.Errorf("the %s is empty; give it 1 to %d bytes", what, limit)
	}
	if len(s) > limit {
		return fmt.Errorf("the %s has %d bytes; at most %d are allowed", what, len(s), limit)
	}
	if plain(s) {
		return nil
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("the %s is not valid UTF-8", what)
	}
	for i, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("the %s has a control character (U+%04X) at byte %d", what, r, i)
		}
	}
	return nil
}

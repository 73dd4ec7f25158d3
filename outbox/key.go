package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/semel-dev/semel/message"
)

// Key is what a transaction is done once for.
type Key struct {
	// Scope sets keys of different things, or of different callers, apart:
	// the same ID in two scopes is two keys. It may be empty.
	Scope string
	// ID is the idempotency key, chosen by whoever may repeat the request:
	// valid UTF-8, 1 to 512 bytes. One that carries its time (UUIDv7, ULID) is
	// refused once it may have been forgotten; others may run again then.
	ID string
	// Request is what is asked for, byte for byte; only a fingerprint of it is
	// kept. The same key with another request is ErrConflict. Callers that may
	// spell the same request in two ways normalise it first.
	Request []byte
}

const (
	mostNameBytes = 512
	// skew is what the clocks of hosts and database may differ by.
	skew = 5 * time.Minute
)

func (k Key) String() string {
	if k.Scope == "" {
		return fmt.Sprintf("%q", k.ID)
	}
	return fmt.Sprintf("%q in %q", k.ID, k.Scope)
}

func (k Key) check() error {
	if k.ID == "" {
		return invalid("once", "a key has an ID")
	}
	for _, s := range []struct{ what, text string }{{"ID", k.ID}, {"scope", k.Scope}} {
		if err := checkText("the key's "+s.what, s.text); err != nil {
			return &Error{Op: "once", Err: err}
		}
	}
	return nil
}

// checkText: what all three databases store as it is, and look up as it is.
func checkText(what, s string) error {
	switch {
	case len(s) > mostNameBytes:
		return fmt.Errorf("%s has %d bytes; %d are allowed", what, len(s), mostNameBytes)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return fmt.Errorf("%s is not UTF-8, or has a zero byte", what)
	}
	return nil
}

// hash is how the key is looked up: databases differ in which texts they take
// for the same (case, trailing spaces), and in how long an indexed one may be.
func (k Key) hash() []byte {
	b := binary.AppendUvarint(nil, uint64(len(k.Scope)))
	b = append(append(b, k.Scope...), k.ID...)
	h := sha256.Sum256(b)
	return h[:]
}

func (k Key) fingerprint() []byte {
	h := sha256.Sum256(k.Request)
	return h[:]
}

// times are by the database's clock, in microseconds: this host's may be another.
type times struct {
	claimed int64 // now
	horizon int64 // what was claimed before may have been removed
}

// age judges a key that nothing is recorded for by the time it carries. A record
// is removed when its claim is behind the horizon, which is a retention behind the
// clock and never goes back when the clock does, and it was claimed when its key's
// time was at most skew ahead: so a key older than that may have had one. Whether
// or not records are removed in time, a key is refused a retention after its time.
func (k Key) age(at times, retention time.Duration) error {
	nano, ok := message.KeyTime(k.ID)
	if !ok {
		return nil
	}
	now, horizon := time.UnixMicro(at.claimed), time.UnixMicro(at.horizon)
	switch t := time.Unix(0, nano); {
	case t.Before(now.Add(skew-retention)) || t.Before(horizon.Add(skew)):
		return &Error{Op: "once", What: k.String(), Kind: ErrExpired}
	case t.After(now.Add(skew)):
		return &Error{Op: "once", What: k.String(), Kind: ErrFuture}
	}
	return nil
}

// settling is the context of what must be written although the caller's may have
// ended: it is bounded, because the database may be what does not answer.
func settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

package webeffect

import (
	"fmt"
	"log/slog"
	"time"
)

// Spec configures one effect. The zero value of a field means its default. The
// tags are the names of the fields in a configuration file.
type Spec struct {
	// URL is where the call goes: http or https. It may hold secrets in its
	// query, and must not hold a user name or password.
	URL string `koanf:"url"`
	// Method is POST, PUT, PATCH, DELETE or GET. POST.
	Method string `koanf:"method"`
	// Policy says what is done about a call that was sent and whose end is not
	// known: ask, keyed, probe, at_most_once or read_only. ask.
	Policy string `koanf:"policy"`
	// Timeout bounds one call, from the dial to the end of the answer, and one
	// probe. 30 s.
	Timeout time.Duration `koanf:"timeout"`
	// Attempts bounds the calls that are not done, or may be repeated, before
	// the effect is given up or in doubt. 10.
	Attempts int `koanf:"attempts"`
	// ProbeURL is asked with GET whether a call was done: {key} in it stands for
	// the call's Idempotency-Key. Policy probe needs it, no other may have it.
	ProbeURL string `koanf:"probe_url"`
	// Headers are sent with calls and probes. Their values are secrets: they
	// appear in no error and no log.
	Headers map[string]string `koanf:"headers"`
	// AllowPrivate allows addresses that are not public.
	AllowPrivate bool `koanf:"allow_private"`
	// MaxReply bounds the body of an answer, in bytes. A longer one makes the
	// call's end unknown. 1 MiB.
	MaxReply int64 `koanf:"max_reply"`
}

const (
	defaultTimeout  = 30 * time.Second
	defaultAttempts = 10
	defaultMaxReply = 1 << 20
	largestMaxReply = 16 << 20
)

// WithDefaults is the spec with the defaults in the place of zeros.
func (s Spec) WithDefaults() Spec {
	if s.Method == "" {
		s.Method = "POST"
	}
	if s.Policy == "" {
		s.Policy = policyAsk
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	if s.Attempts == 0 {
		s.Attempts = defaultAttempts
	}
	if s.MaxReply == 0 {
		s.MaxReply = defaultMaxReply
	}
	return s
}

// String tells nothing that may be a secret: neither headers nor URLs.
func (s Spec) String() string {
	s = s.WithDefaults()
	return fmt.Sprintf("webeffect.Spec(%s, %s, timeout %v, attempts %d)", s.Method, s.Policy, s.Timeout, s.Attempts)
}

// GoString is String: %#v would tell the secrets.
func (s Spec) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Spec) LogValue() slog.Value { return slog.StringValue(s.String()) }

package httpsink

import (
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/semel-dev/semel/outbox"
)

// header writes the event's attributes. The message's own headers go as they are
// called, except the ones that say how the request is made, or that are the
// event's.
func (e *endpoint) header(h http.Header, m *outbox.Message) {
	for name, value := range m.Headers {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if !reserved(name) && token(name) {
			h.Set(name, encode(value))
		}
	}
	for name, values := range e.Header {
		h[textproto.CanonicalMIMEHeaderKey(name)] = values
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("User-Agent", cmp.Or(h.Get("User-Agent"), "semel"))
	h.Set("Idempotency-Key", Key(e.Source, m.ID))
	h.Set("ce-specversion", "1.0")
	h.Set("ce-id", encode(m.ID))
	h.Set("ce-source", e.Source)
	h.Set("ce-type", encode(cmp.Or(m.Type, e.Type)))
	h.Set("ce-time", m.SentAt.UTC().Format(time.RFC3339Nano))
	if m.Topic != "" {
		h.Set("ce-topic", encode(m.Topic))
	}
	if m.Key != "" {
		// The extensions "partitioning" and "sequence" of the specification. The
		// sequence is compared as a text.
		h.Set("ce-partitionkey", encode(m.Key))
		h.Set("ce-sequence", fmt.Sprintf("%020d", m.Number))
	}
}

// reserved are the headers that a message may not set.
func reserved(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer",
		"Expect", "Idempotency-Key", "Authorization", "Proxy-Authorization", "Cookie":
		return true
	}
	return strings.HasPrefix(name, "Ce-") || strings.HasPrefix(name, "Proxy-")
}

// token says that a name is one that HTTP allows (RFC 9110, 5.6.2).
func token(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// encode is the specification's for values (HTTP Protocol Binding 1.0.2, 3.1.3.2):
// what is no printable ASCII, and space, double quote and percent, is
// percent-encoded, as UTF-8.
func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

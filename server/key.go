package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/semel-dev/semel/message"
)

const keyHeader = "Idempotency-Key"

// askedAgainHeader says that nodes were asked more than once, so that what is
// replayed may be of this very request.
const askedAgainHeader = "Semel-Asked-Again"

// keyOf reads the header Idempotency-Key: a string of RFC 8941 (in quotation
// marks), as draft-ietf-httpapi-idempotency-key-header says, or the bare key,
// as most clients send it. Both spellings are the same key. Parameters after
// the string are refused: the draft defines none, and what they are to mean for
// the identity of a request cannot be guessed. It reports whether there is one.
func keyOf(h http.Header) (key string, given bool, err error) {
	values := h.Values(keyHeader)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", true, errors.New("the header Idempotency-Key came more than once; send one")
	}
	key = strings.Trim(values[0], " \t")
	if strings.HasPrefix(key, `"`) {
		if key, err = unquote(key); err != nil {
			return "", true, err
		}
	}
	return key, true, message.CheckKey(key)
}

var errQuoting = errors.New(`the header Idempotency-Key begins with a quotation mark and is not a string of RFC 8941: "…" of printable ASCII, with \" and \\, and without parameters`)

// unquote reads a string of RFC 8941, section 4.2.5.
func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			if i != len(s)-1 {
				return "", errQuoting
			}
			return b.String(), nil
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", errQuoting
			}
			c = s[i]
		case c < 0x20 || c > 0x7e:
			return "", errQuoting
		}
		b.WriteByte(c)
	}
	return "", errQuoting
}

package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/semel-dev/semel/message"
)

// TokenPrefix begins the tokens that NewToken makes, so that a scanner of
// repositories and logs can find one that leaked.
const TokenPrefix = "semel_"

const (
	hashPrefix = "sha256:"
	// 128 bits take 22 characters of base64. A shorter token is refused
	// even if its hash is configured: it was made up by a person, and its
	// hash, which is fast to compute, would not protect it.
	minTokenBytes = 22
	maxTokenBytes = 1024
)

// NewToken makes a token of 256 random bits.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashToken is how a token stands in a configuration: "sha256:" and 64 hex
// digits. One round of a fast hash is enough, because the token is random: there
// is no dictionary to try, and 2^128 guesses are out of reach at any speed.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// A TokenPrincipal is a principal and the hashes of its tokens.
type TokenPrincipal struct {
	Principal
	// Tokens are what HashToken returns. Several are valid at once, so that a
	// token is rotated without a gap: add the new one, let clients change over,
	// remove the old one.
	Tokens []string
}

// A TokenError is what is wrong with one principal. NewTokens joins them.
type TokenError struct {
	Principal int // its index
	Token     int // the index of its token, or -1
	Err       error
}

func (e *TokenError) Error() string {
	if e.Token < 0 {
		return fmt.Sprintf("principal %d: %v", e.Principal+1, e.Err)
	}
	return fmt.Sprintf("principal %d, token %d: %v", e.Principal+1, e.Token+1, e.Err)
}

func (e *TokenError) Unwrap() error { return e.Err }

// Tokens authenticates requests by the header Authorization: Bearer TOKEN. It
// does not change, so it is safe for concurrent use; see Reloadable for a change
// while the server runs.
//
// The tokens are looked up by their SHA-256 in an ordinary map. The lookup's
// time may depend on the hash that is looked for, which is no help to anybody:
// who sends guesses cannot steer their hashes toward a stored one, and who knew
// a stored hash could not find a token for it. Comparing the tokens themselves
// would tell, byte by byte, how much of a guess is right.
type Tokens struct {
	byHash map[[sha256.Size]byte]Principal
}

// NewTokens makes the table. Its error joins a *TokenError for everything that
// is wrong; none of them has a token or a hash in it.
func NewTokens(principals []TokenPrincipal) (*Tokens, error) {
	t := &Tokens{byHash: make(map[[sha256.Size]byte]Principal)}
	var errs []error
	type name struct{ tenant, name string }
	names := make(map[name]int)
	owners := make(map[[sha256.Size]byte]int)
	for i, p := range principals {
		fail := func(token int, err error) { errs = append(errs, &TokenError{Principal: i, Token: token, Err: err}) }
		if p.Tenant == "" {
			p.Tenant = message.DefaultTenant
		}
		if err := errors.Join(message.CheckName("principal's name", p.Name), checkTenant(p.Tenant)); err != nil {
			fail(-1, err)
		} else if first, taken := names[name{p.Tenant, p.Name}]; taken {
			fail(-1, fmt.Errorf("%q of tenant %q is principal %d already: give one principal all of its tokens", p.Name, p.Tenant, first+1))
		} else {
			names[name{p.Tenant, p.Name}] = i
		}
		if p.Roles&^AllRoles != 0 || p.Roles == 0 {
			fail(-1, errors.New("it has no role; the roles are call, read and operator"))
		}
		if len(p.Tokens) == 0 {
			fail(-1, errors.New("it has no token; make one with `semel config token`, and remove the principal to lock it out"))
		}
		for j, s := range p.Tokens {
			h, err := parseHash(s)
			if err != nil {
				fail(j, err)
				continue
			}
			if first, taken := owners[h]; taken {
				fail(j, fmt.Errorf("principal %d has the same token already; a token belongs to one principal, and is listed once", first+1))
				continue
			}
			owners[h] = i
			t.byHash[h] = p.Principal
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

func parseHash(s string) (h [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	if !ok {
		return h, errors.New("it does not begin with sha256:; if it is a token itself, replace it everywhere, it has been in a file, and list the hash that `semel config token` prints")
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(h) {
		return h, errors.New("after sha256: there must be 64 hex digits, as `semel config token` prints them")
	}
	copy(h[:], b)
	if h == sha256.Sum256(nil) {
		return h, errors.New("it is the hash of an empty token")
	}
	return h, nil
}

// Authenticate finds the principal whose token the request has.
func (t *Tokens) Authenticate(r *http.Request) (Principal, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return Principal{}, err
	}
	p, ok := t.byHash[sha256.Sum256([]byte(token))]
	if !ok {
		return Principal{}, fmt.Errorf("%w: the token is not valid, or not any more", ErrUnauthorized)
	}
	return p, nil
}

// bearer returns the token of RFC 6750, section 2.1. Those in a form or in the
// URL are not taken: they end in logs.
func bearer(h http.Header) (string, error) {
	const how = "send the header Authorization: Bearer TOKEN"
	values := h.Values("Authorization")
	switch {
	case len(values) == 0:
		return "", fmt.Errorf("%w: %s", ErrUnauthorized, how)
	case len(values) > 1:
		return "", fmt.Errorf("%w: there are several headers Authorization; send one", ErrUnauthorized)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", fmt.Errorf("%w: the header Authorization has another scheme; %s", ErrUnauthorized, how)
	}
	if len(token) < minTokenBytes || len(token) > maxTokenBytes {
		return "", fmt.Errorf("%w: the token has %d bytes; one has %d to %d", ErrUnauthorized, len(token), minTokenBytes, maxTokenBytes)
	}
	return token, nil
}

// checkTenant says what is wrong with a tenant's name.
func checkTenant(name string) error {
	return message.Agent{Tenant: name, Type: "any", ID: "any"}.Validate()
}

package webeffect

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/internal/outbound"
)

// The policies, as configuration writes them.
const (
	policyAsk        = "ask"
	policyKeyed      = "keyed"
	policyProbe      = "probe"
	policyAtMostOnce = "at_most_once"
	policyReadOnly   = "read_only"
)

var (
	policies = []string{policyAsk, policyKeyed, policyProbe, policyAtMostOnce, policyReadOnly}
	methods  = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet}
)

const keyPlaceholder = "{key}"

// ownHeaders are decided here: a configured one would change what is sent, or
// how its answer is to be read.
var ownHeaders = []string{
	"Idempotency-Key", "X-Idempotency-Key", "Host", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Te", "Trailer",
	"Connection", "Keep-Alive", "Upgrade", "Expect", "Accept-Encoding", "Range", "Proxy-Connection", "Proxy-Authorization",
}

// FieldError is a mistake in one field of a configuration.
type FieldError struct {
	Field string // its path: "effects.charge.url", or "effects" of a name
	Err   error  // what to do about it
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// Check says everything that is wrong with the specs: a [*FieldError] for each
// mistake, joined as by errors.Join. It repeats no value, because each may be a
// secret in the wrong place; but names of effects and headers.
func Check(specs map[string]Spec) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		all = append(all, specs[name].WithDefaults().check(name)...)
	}
	return errors.Join(all...)
}

// check is of a spec that has its defaults.
func (s Spec) check(name string) (all []error) {
	wrong := func(field, form string, args ...any) {
		all = append(all, &FieldError{Field: "effects." + name + "." + field, Err: fmt.Errorf(form, args...)})
	}
	if err := checkName(name); err != nil {
		all = append(all, &FieldError{Field: "effects", Err: fmt.Errorf("the effect %q: %w", name, err)})
	}
	if _, err := outbound.ParseURL(s.URL); err != nil {
		wrong("url", "%w", err)
	}
	if !slices.Contains(methods, s.Method) {
		wrong("method", "it cannot be used; choose one of %s (in capitals)", strings.Join(methods, ", "))
	}
	if !slices.Contains(policies, s.Policy) {
		wrong("policy", "there is no such policy; choose one of %s", strings.Join(policies, ", "))
	}
	if s.Timeout < time.Millisecond {
		wrong("timeout", "it is %v; write at least 1ms, with a unit, such as 30s", s.Timeout)
	}
	if s.Attempts < 0 {
		wrong("attempts", "it is %d; at least 1 is needed", s.Attempts)
	}
	if s.MaxReply < 0 || s.MaxReply > largestMaxReply {
		wrong("max_reply", "it is %d bytes; choose 1 to %d", s.MaxReply, largestMaxReply)
	}
	if err := s.checkProbe(); err != nil {
		wrong("probe_url", "%w", err)
	}
	seen := make(map[string]bool)
	for _, h := range slices.Sorted(maps.Keys(s.Headers)) {
		field, canonical := "headers."+strconv.Quote(h), http.CanonicalHeaderKey(h)
		if err := checkHeader(h, s.Headers[h]); err != nil {
			wrong(field, "%w", err)
		} else if seen[canonical] {
			wrong(field, "the header is there twice; upper and lower case do not matter, so remove one")
		}
		seen[canonical] = true
	}
	return all
}

// checkName refuses what cannot be the id of an agent in a path.
func checkName(name string) error {
	if name == "." || name == ".." {
		return errors.New("the name cannot stand in a path; choose another one")
	}
	return semel.AgentName{Tenant: "default", Type: AgentType, ID: name}.Validate()
}

func (s Spec) checkProbe() error {
	switch {
	case s.Policy != policyProbe && s.ProbeURL != "":
		return errors.New("only the policy probe asks it; remove it, or set policy: probe")
	case s.Policy != policyProbe:
		return nil
	case s.ProbeURL == "":
		return errors.New("the policy probe needs it: the URL that tells whether a call was done, with {key} for its Idempotency-Key")
	}
	u, err := outbound.ParseURL(s.ProbeURL)
	if err != nil {
		return err
	}
	// Its URL must differ from call to call, and its host must not.
	if !strings.Contains(s.ProbeURL, keyPlaceholder) || strings.Contains(u.Host, keyPlaceholder) {
		return errors.New("it must contain {key} in its path or query, where the call's Idempotency-Key is put")
	}
	return nil
}

func checkHeader(name, value string) error {
	token := func(r rune) bool {
		return r < 0x7f && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !token(r) }):
		return errors.New("it is not the name of a header: letters, digits and - only")
	case slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)):
		return errors.New("it is set by Semel; remove it")
	case strings.TrimSpace(value) == "":
		return errors.New("its value is empty; if it comes from an environment variable, set that")
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return errors.New("its value contains a line break or another control character; is there a newline at the end of the secret?")
	}
	return nil
}

package server

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel/message"
)

func withToken(values ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, v := range values {
		r.Header.Add("Authorization", v)
	}
	return r
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names string
		has   Roles
		not   Roles
	}{
		{"call", RoleCall, RoleRead | RoleOperator},
		{"read", RoleRead, RoleCall | RoleOperator},
		{"operator", RoleOperator | RoleRead, RoleCall},
		{"call,operator", AllRoles, 0},
		{"read,read", RoleRead, RoleCall | RoleOperator},
	} {
		r, err := ParseRoles(strings.Split(c.names, ","))
		if err != nil || !r.Has(c.has) {
			t.Errorf("%s: %v, %v", c.names, r, err)
		}
		for _, one := range []Roles{RoleCall, RoleRead, RoleOperator} {
			if c.not&one != 0 && r.Has(one) {
				t.Errorf("%s has %v", c.names, one)
			}
		}
		if again, err := ParseRoles(strings.Split(r.String(), ",")); err != nil || again != r {
			t.Errorf("%v is read as %v, %v", r, again, err)
		}
	}
	if Roles(0).Has(RoleCall) {
		t.Error("no role has call")
	}
	for _, names := range [][]string{nil, {""}, {"admin"}, {"Call"}, {"call,read"}, {"call", "CANARY"}} {
		if r, err := ParseRoles(names); err == nil || r != 0 || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%q: %v, %v", names, r, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	alice, aliceNext, bob := NewToken(), NewToken(), NewToken()
	tokens, err := NewTokens([]TokenPrincipal{
		{Principal{Name: "alice", Roles: RoleCall}, []string{HashToken(alice), strings.ReplaceAll(strings.ToUpper(HashToken(aliceNext)), "SHA256", "sha256")}},
		{Principal{Tenant: "other", Name: "alice", Roles: RoleOperator}, []string{HashToken(bob)}},
		{Principal{Name: "short", Roles: AllRoles}, []string{HashToken("password"), HashToken(strings.Repeat("x", 2000))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Principal{Tenant: message.DefaultTenant, Name: "alice", Roles: RoleCall}
	other := Principal{Tenant: "other", Name: "alice", Roles: RoleOperator}
	for _, c := range []struct {
		header string
		want   Principal
	}{
		{"Bearer " + alice, want}, {"bearer " + alice, want}, {"BEARER   " + alice, want},
		{"Bearer " + aliceNext, want}, // rotated: both are valid
		{"Bearer " + bob, other},
	} {
		if p, err := tokens.Authenticate(withToken(c.header)); err != nil || p != c.want {
			t.Errorf("%.12q…: %v, %v", c.header, p, err)
		}
	}
	wrong := []byte(alice)
	wrong[len(wrong)-1] ^= 2
	for _, values := range [][]string{
		nil, {""}, {alice}, {"Bearer"}, {"Bearer "}, {"Bearer " + string(wrong)}, {"Bearer " + alice + " "}, {"Bearer " + alice + "x"},
		{"Bearer " + HashToken(alice)}, {"Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+alice))},
		{"Bearer " + alice, "Bearer " + alice}, {"Bearer\t" + alice},
		{"Bearer password"},                     // although its hash is configured
		{"Bearer " + strings.Repeat("x", 2000)}, // as well
	} {
		p, err := tokens.Authenticate(withToken(values...))
		if !errors.Is(err, ErrUnauthorized) || p != (Principal{}) {
			t.Errorf("%q: %v, %v", values, p, err)
			continue
		}
		if strings.Contains(err.Error(), TokenPrefix) || strings.Contains(err.Error(), "password") {
			t.Errorf("%q: the error has the token in it: %v", values, err)
		}
	}
	r := withToken()
	r.URL.RawQuery = "access_token=" + alice
	if _, err := tokens.Authenticate(r); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a token in the URL: %v", err)
	}
}

func TestTokensAreRefused(t *testing.T) {
	t.Parallel()
	a, b := HashToken(NewToken()), HashToken(NewToken())
	one := func(name string, hashes ...string) TokenPrincipal {
		return TokenPrincipal{Principal{Name: name, Roles: RoleCall}, hashes}
	}
	canary := NewToken()
	for _, c := range []struct {
		list             []TokenPrincipal
		principal, token int
		want             string
	}{
		{[]TokenPrincipal{one("a", a), one("b", b, a)}, 1, 1, "principal 1 has the same token"},
		{[]TokenPrincipal{one("a", a, a)}, 0, 1, "the same token"},
		{[]TokenPrincipal{one("a", a), one("a", b)}, 1, -1, "is principal 1 already"},
		{[]TokenPrincipal{one("", a)}, 0, -1, "is empty"},
		{[]TokenPrincipal{one("a\n", a)}, 0, -1, "control character"},
		{[]TokenPrincipal{one("a")}, 0, -1, "no token"},
		{[]TokenPrincipal{{Principal{Name: "a"}, []string{a}}}, 0, -1, "no role"},
		{[]TokenPrincipal{{Principal{Name: "a", Roles: 8}, []string{a}}}, 0, -1, "no role"},
		{[]TokenPrincipal{{Principal{Tenant: "\x00", Name: "a", Roles: 1}, []string{a}}}, 0, -1, "tenant"},
		{[]TokenPrincipal{one("a", canary)}, 0, 0, "replace it everywhere"},
		{[]TokenPrincipal{one("a", "sha256:"+canary)}, 0, 0, "64 hex digits"},
		{[]TokenPrincipal{one("a", a[:len(a)-2])}, 0, 0, "64 hex digits"},
		{[]TokenPrincipal{one("a", HashToken(""))}, 0, 0, "empty token"},
	} {
		tokens, err := NewTokens(c.list)
		var e *TokenError
		if tokens != nil || !errors.As(err, &e) || e.Principal != c.principal || e.Token != c.token || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
			continue
		}
		if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), a) {
			t.Errorf("the error has a secret in it: %v", err)
		}
	}
	// The same name in another tenant is another principal.
	if _, err := NewTokens([]TokenPrincipal{one("a", a), {Principal{Tenant: "t", Name: "a", Roles: 1}, []string{b}}}); err != nil {
		t.Error(err)
	}
}

func TestNewTokenIsLongAndNew(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 100 {
		token := NewToken()
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, TokenPrefix))
		if err != nil || len(raw) != 32 || seen[token] {
			t.Fatal(token, err)
		}
		seen[token] = true
	}
}

func TestReloadable(t *testing.T) {
	t.Parallel()
	if _, err := new(Reloadable).Authenticate(withToken()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("the zero value: %v", err)
	}
	if _, err := NewReloadable(nil).Authenticate(withToken()); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("nil: %v", err)
	}
	everybody := NewReloadable(Anonymous)
	if p, err := everybody.Authenticate(withToken()); err != nil || p != (Principal{message.DefaultTenant, "anonymous", AllRoles}) {
		t.Errorf("%v, %v", p, err)
	}
	table := func(name, token string) *Tokens {
		tokens, err := NewTokens([]TokenPrincipal{{Principal{Name: name, Roles: RoleCall}, []string{HashToken(token)}}})
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	old, next := NewToken(), NewToken()
	r := NewReloadable(table("old", old))
	// While it is swapped, one of the two is valid at any moment, never another.
	var done sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				p, err := r.Authenticate(withToken("Bearer " + old))
				if err == nil && p.Name != "old" || err != nil && !errors.Is(err, ErrUnauthorized) {
					t.Errorf("%v, %v", p, err)
					return
				}
			}
		})
	}
	for range 1000 {
		r.Set(table("next", next))
		if _, err := r.Authenticate(withToken("Bearer " + old)); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("the old token is valid after the change: %v", err)
		}
		if p, err := r.Authenticate(withToken("Bearer " + next)); err != nil || p.Name != "next" {
			t.Errorf("%v, %v", p, err)
		}
		r.Set(table("old", old))
	}
	close(stop)
	done.Wait()
}

package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

const (
	callers   = server.RoleCall
	readers   = server.RoleRead | server.RoleOperator
	operators = server.RoleOperator
)

// mayUse is the table of docs/reference/http.md: who may use a route. It is
// written by hand, so that a route that is opened by mistake is found.
var mayUse = map[string]server.Roles{
	"POST /v1/agents/{type}/{id}/{action}": callers,
	"POST /v1/calls":                       callers,
	"POST /v1/effects/{name}":              callers,
	"GET /v1/outcomes/{type}/{id}":         callers | readers,
	"GET /v1/agents":                       readers,
	"GET /v1/agents/{type}/{id}":           readers,
	"GET /v1/agents/{type}/{id}/keys":      readers,
	"GET /v1/changes":                      readers,
	"GET /v1/doubts":                       readers,
	"GET /v1/doubts/{id}":                  readers,
	"GET /v1/dead":                         readers,
	"GET /v1/dead/{id}":                    readers,
	"DELETE /v1/agents/{type}/{id}":        operators,
	"POST /v1/doubts/{id}":                 operators,
	"POST /v1/dead/{id}/retry":             operators,
	"POST /v1/dead/{id}/discard":           operators,
	"POST /v1/backups":                     operators,
	"POST /v1/retention/resume":            operators,
	"GET /v1/nodes":                        operators,
	"GET /v1/shards":                       operators,
	"GET /metrics":                         operators,

	"POST /v1/transactions":              callers,
	"GET /v1/transactions":               readers, // and callers, with a key of their own
	"GET /v1/transactions/{tx}":          callers | readers,
	"GET /v1/transactions/{tx}/decision": callers,
	"POST /v1/transactions/{tx}/resolve": operators,
	"POST /v1/participants/sweep":        operators,
	"POST /v1/sagas/{saga}":              callers,
	"GET /v1/sagas":                      callers | readers, // without a name: the definitions
	"GET /v1/sagas/{saga}":               callers | readers,
	"POST /v1/sagas/{saga}/cancel":       callers,
	"POST /v1/sagas/{saga}/resume":       operators,
	"POST /v1/sagas/{saga}/settle":       operators,
}

// everyRole are principals with every set of roles, named by it.
func everyRole() users {
	u := make(users)
	for set := server.Roles(1); set <= server.AllRoles; set++ {
		u[fmt.Sprint("roles-", uint8(set))] = server.Principal{Tenant: "default", Name: set.String(), Roles: set}
	}
	return u
}

// contractRoles tries every route with every set of roles, and with nobody's.
func contractRoles(t *testing.T, c *contract) {
	opts := server.Options{Auth: everyRole()}
	s := serve(t, semel.Config{}, opts, nil)
	opts.Transactions, opts.Sagas = s.opts.Transactions, s.opts.Sagas
	for _, row := range server.Routes(s.app, opts) {
		path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(row.Path, "x")
		name := row.Method + " " + row.Path
		may, known := mayUse[name]
		if row.Open {
			if known {
				t.Errorf("%s is open", name)
			}
			if r := s.status(row.Method, path, ""); r.status != 200 {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		if !known {
			t.Errorf("%s: who may use it? mayUse says nothing", name)
		}
		for who, p := range opts.Auth.(users) {
			r := s.status(row.Method, path, who)
			if allowed := p.Roles&may != 0; allowed == (r.status == 403) || r.status == 401 {
				t.Errorf("%s with %s: %d %s", name, p.Roles, r.status, r.body)
			}
			if r.status == 403 {
				c.want(t, r, 403, "forbidden", "not_done")
			}
			if row.Method == "GET" && s.status("HEAD", path, who).status != r.status {
				t.Errorf("HEAD of %s with %s differs", name, p.Roles)
			}
		}
		for _, header := range []string{"", "nobody", "roles-1 "} {
			r := s.status(row.Method, path, header)
			c.want(t, r, 401, "unauthorized", "not_done")
			same(t, "WWW-Authenticate", r.header.Get("WWW-Authenticate"), "Bearer")
		}
	}
	// What is about the whole server is not for the operators of another tenant.
	foreign := serve(t, semel.Config{}, server.Options{Auth: users{"ops": server.Principal{Tenant: "b", Name: "ops", Roles: server.AllRoles}}}, nil)
	for _, ask := range [][2]string{{"GET", "/metrics"}, {"POST", "/v1/backups"}} {
		c.want(t, foreign.status(ask[0], ask[1], "ops"), 403, "forbidden", "not_done")
	}
	same(t, "a list", foreign.status("GET", "/v1/doubts", "ops").status, 200)
	// Nobody learns from a 404 or 405 what there is.
	for _, path := range []string{"/", "/v2", "/v1/agents/no/x", "/livez/", "//livez", "/v1/agents//x"} {
		c.want(t, s.status("POST", path, ""), 401, "unauthorized", "not_done")
	}
}

// status sends a request whose answer may be a stream: of one that succeeds,
// the body is not read.
func (s *site) status(method, path, who string) response {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader("{}"))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", "k")
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSuffix(who, " "))
		if strings.HasSuffix(who, " ") {
			req.Header.Set("Authorization", "Basic "+who)
		}
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	r := response{status: res.StatusCode, header: res.Header}
	if r.status >= 400 {
		b, err := io.ReadAll(res.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		r.body = string(b)
	}
	return r
}

// contractRevoked: FAULTS 61. A token that was taken back gets nothing of what
// it may have been told before, neither by a replay nor by an error.
func contractRevoked(t *testing.T, c *contract) {
	token := server.NewToken()
	table := func(tokens ...string) *server.Tokens {
		p := server.TokenPrincipal{Principal: server.Principal{Tenant: "a", Name: "anna", Roles: server.AllRoles}}
		for _, token := range tokens {
			p.Tokens = append(p.Tokens, server.HashToken(token))
		}
		made, err := server.NewTokens([]server.TokenPrincipal{p})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	auth := server.NewReloadable(table(token))
	s := serve(t, semel.Config{}, server.Options{Auth: auth}, nil)
	ask := func(token string) response {
		return s.as(token, "POST", "/v1/agents/account/canary-agent/credit", `{"cents":987654}`, "Idempotency-Key", "canary-key")
	}
	first := ask(token)
	same(t, "before", first.status, 200)
	next := server.NewToken()
	auth.Set(table(next))
	var wg sync.WaitGroup
	for range 8 { // over connections that were used before, too
		wg.Go(func() {
			r := ask(token)
			c.want(t, r, 401, "unauthorized", "not_done")
			for _, told := range []string{"987654", "canary", token, "anna"} {
				if strings.Contains(r.body+fmt.Sprint(r.header), told) {
					t.Errorf("the refusal tells %s: %+v", told, r)
				}
			}
			for _, h := range []string{"Idempotent-Replayed", "Idempotency-Key", "Location"} {
				if r.header.Get(h) != "" {
					t.Errorf("the refusal has the header %s", h)
				}
			}
		})
	}
	wg.Wait()
	if again := ask(next); again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the principal's next token: %+v", again)
	}
}

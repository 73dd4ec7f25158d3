package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// users are principals by name: the token of "anna" is in header(anna).
type users map[string]server.Principal

func (u users) Authenticate(r *http.Request) (server.Principal, error) {
	if p, ok := u[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
		return p, nil
	}
	return server.Principal{}, fmt.Errorf("%w: nobody", server.ErrUnauthorized)
}

// twoTenants are anna, olga and ben of tenant a, and carl, who may do everything in b.
var twoTenants = users{
	"anna": {Tenant: "a", Name: "anna", Roles: server.AllRoles},
	"olga": {Tenant: "a", Name: "olga", Roles: server.AllRoles},
	"ben":  {Tenant: "a", Name: "ben", Roles: server.RoleCall},
	"carl": {Tenant: "b", Name: "carl", Roles: server.AllRoles},
}

// as sends a request of somebody.
func (s *site) as(who, method, path, body string, headers ...string) response {
	s.t.Helper()
	return s.do(method, path, body, append([]string{"Authorization", "Bearer " + who}, headers...)...)
}

// troubles registers agents that get stuck: of type "stuck", "ask" ends in
// doubt, "die" among the dead letters until heal is set.
func troubles(heal *atomic.Bool, called func(semel.EffectCall)) func(*semel.App) {
	return func(app *semel.App) {
		ask := semel.NewEffect(app, "ask", func(_ context.Context, c semel.EffectCall, _ string) (string, error) {
			called(c)
			if heal.Load() {
				return "called again", nil
			}
			return "", errors.New("the line went dead")
		}, semel.Timeout(20*time.Millisecond))
		agent := semel.NewAgent[int](app, "stuck")
		then := semel.Then(agent, "then", func(_ *int, _ *semel.Step, _ none, r semel.Result[string]) (string, error) { return r.Value, r.Err() })
		semel.On(agent, "ask", func(_ *int, st *semel.Step, _ none) (string, error) {
			ask.Ask(st, "request", then.With(none{}))
			return semel.Defer[string]()
		})
		semel.On(agent, "lose", func(*int, *semel.Step, int) (none, error) { return none{}, semel.OutcomeUnknown("nobody looked") })
		semel.On(agent, "die", func(n *int, _ *semel.Step, _ int) (int, error) {
			if !heal.Load() {
				return 0, errors.New("it failed")
			}
			*n++
			return *n, nil
		})
	}
}

// stuck brings an action of "stuck" to its end: in doubt, or dead.
func (s *site) stuck(who, id, action, key string) response {
	s.t.Helper()
	path := "/v1/agents/stuck/" + id + "/" + action
	if r := s.as(who, "POST", path, "1", "Idempotency-Key", key, "Prefer", "respond-async"); r.status != 202 && r.status != 409 {
		s.t.Fatalf("%+v", r)
	}
	return s.until(`"in_flight"`, func() response { return s.as(who, "POST", path, "1", "Idempotency-Key", key) })
}

// contractPages walks every list with 1, limit and limit+1 entries, for two
// tenants that have the same names.
func contractPages(t *testing.T, c *contract) {
	var heal atomic.Bool
	s := serve(t, semel.Config{MaxAttempts: 1}, server.Options{Auth: twoTenants}, troubles(&heal, func(semel.EffectCall) {}))
	const limit = 3
	for n := range limit + 1 {
		key := fmt.Sprint("key", n)
		for _, who := range []string{"anna", "carl"} {
			same(t, "a credit", s.as(who, "POST", "/v1/agents/account/"+who+key+"/credit", `{"cents":1}`, "Idempotency-Key", key).status, 200)
			same(t, "a credit", s.as(who, "POST", "/v1/agents/account/one/credit", `{"cents":1}`, "Idempotency-Key", key).status, 200)
			c.want(t, s.stuck(who, who+key, "ask", key), 409, "in_doubt", "unknown")
			c.want(t, s.stuck(who, who+key, "die", "die"+key), 409, "dead", "unknown")
		}
		if n+1 != 1 && n+1 != limit && n+1 != limit+1 {
			continue
		}
		for _, list := range []struct {
			path string
			more int // besides those that are counted
		}{{"/v1/agents?type=account", 1}, {"/v1/agents/account/one/keys?", 0}, {"/v1/doubts?", 0}, {"/v1/dead?", 0}} {
			for _, limit := range []int{1, limit, 1000} {
				walk(t, s, list.path, limit, n+1+list.more)
			}
		}
	}
	for _, wrong := range []string{"limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1e1", "limit=99999999999999999999"} {
		for _, path := range []string{"/v1/agents?type=account", "/v1/agents/account/one/keys?", "/v1/doubts?", "/v1/dead?"} {
			c.want(t, s.as("anna", "GET", path+"&"+wrong, ""), 400, "invalid_request", "not_done")
		}
	}
}

// Pages are bounded in bytes, too, and together they are the list.
func TestPagesOfLargeEntries(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, func(app *semel.App) {
		semel.On(semel.NewAgent[int](app, "echo"), "say", func(_ *int, _ *semel.Step, in string) (string, error) { return in, nil })
	})
	const n, size = 12, 900_000
	body := `"` + strings.Repeat("x", size) + `"`
	for i := range n {
		same(t, "a call", s.call("echo/a/say", fmt.Sprint("k", i), body).status, 200)
	}
	seen, pages := 0, 0
	for cursor := ""; ; pages++ {
		r := s.do("GET", "/v1/agents/echo/a/keys?limit=1000&cursor="+cursor, "")
		if len(r.body) > 4<<20+2*size {
			t.Errorf("a page has %d bytes", len(r.body))
		}
		entries, next := pageIn(t, r)
		seen += len(entries)
		if cursor = next; cursor == "" {
			break
		}
	}
	if seen != n || pages < 2 {
		t.Errorf("%d entries in %d pages", seen, pages+1)
	}
}

// walk reads a list to its end, as anna, and checks its pages.
func walk(t *testing.T, s *site, path string, limit, want int) {
	t.Helper()
	seen, cursor := make(map[string]bool), ""
	for page := 1; ; page++ {
		r := s.as("anna", "GET", fmt.Sprintf("%s&limit=%d&cursor=%s", path, limit, url.QueryEscape(cursor)), "")
		if strings.Contains(r.body, "carl") {
			t.Fatalf("%s shows another tenant's: %s", path, r.body)
		}
		entries, next := pageIn(t, r)
		for _, e := range entries {
			if seen[e] {
				t.Errorf("%s has %s twice", path, e)
			}
			seen[e] = true
		}
		if left := want - limit*(page-1); len(entries) != min(limit, left) || (next != "") != (left > limit) {
			t.Fatalf("page %d of %s, limit %d, has %d entries, next %q; the list has %d", page, path, limit, len(entries), next, want)
		}
		if cursor = next; cursor == "" {
			return
		}
	}
}

// pageIn reads the entries and the cursor of any list.
func pageIn(t testing.TB, r response) (entries []string, next string) {
	t.Helper()
	for name, value := range get[map[string]any](t, r, 200) {
		if name == "next" {
			next = value.(string)
			continue
		}
		for _, e := range value.([]any) {
			if doubt, ok := e.(map[string]any); ok {
				delete(doubt, "seen") // it changes with every look
			}
			entries = append(entries, fmt.Sprint(e))
		}
	}
	return entries, next
}

// contractCursors: whatever is sent as a cursor, nothing of another tenant or
// type is listed.
func contractCursors(t *testing.T, c *contract) {
	var heal atomic.Bool
	s := serve(t, semel.Config{MaxAttempts: 1}, server.Options{Auth: twoTenants}, troubles(&heal, func(semel.EffectCall) {}))
	for _, who := range []string{"anna", "carl"} {
		for _, id := range []string{"one", who + "1", who + "2", who + "3"} {
			s.as(who, "POST", "/v1/agents/account/"+id+"/credit", `{"cents":1}`, "Idempotency-Key", id)
			s.as(who, "POST", "/v1/agents/account/one/credit", `{"cents":1}`, "Idempotency-Key", id+"x")
			s.stuck(who, who+id, "ask", id)
			s.stuck(who, who+id, "die", id+"x")
		}
	}
	lists := []string{"/v1/agents?type=account", "/v1/agents?type=stuck", "/v1/agents/account/one/keys?", "/v1/agents/stuck/one/keys?", "/v1/doubts?", "/v1/dead?"}
	cursors := map[string]bool{"AAAA": true, "AAAAAA": true, "AAAAAAA": true, "!": true, "\x00": true, strings.Repeat("A", 4000): true, "_____w": true}
	for _, who := range []string{"anna", "carl"} {
		for _, list := range lists {
			for cursor := ""; ; {
				_, next := pageIn(t, s.as(who, "GET", list+"&limit=1&cursor="+cursor, ""))
				if cursor = next; cursor == "" {
					break
				}
				cursors[cursor] = true
				for _, similar := range around(cursor) {
					cursors[similar] = true
				}
			}
		}
	}
	refused := 0
	for _, list := range lists {
		all, _ := pageIn(t, s.as("anna", "GET", list, ""))
		for cursor := range maps.Keys(cursors) {
			r := s.as("anna", "GET", list+"&cursor="+url.QueryEscape(cursor), "")
			if r.status != 200 {
				c.want(t, r, 400, "invalid_request", "not_done")
				refused++
				continue
			}
			entries, _ := pageIn(t, r)
			for _, e := range entries {
				if !slices.Contains(all, e) {
					t.Errorf("%s with cursor %q lists %s, which is not in it", list, cursor, e)
				}
			}
		}
	}
	if refused < 10*len(lists) {
		t.Errorf("of %d cursors, %d uses were refused", len(cursors), refused)
	}
}

// around are cursors that somebody makes of one that was given: other shards,
// shorter and longer keys, neighbours.
func around(cursor string) (made []string) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return []string{cursor[1:]}
	}
	add := func(b []byte) { made = append(made, base64.RawURLEncoding.EncodeToString(b)) }
	for shard := range byte(5) {
		add(append([]byte{0, 0, 0, shard}, b[4:]...))
	}
	for n := range len(b) {
		add(b[:n])
		changed := slices.Clone(b)
		changed[n]++
		add(changed)
		changed[n] -= 2
		add(changed)
	}
	add(append(slices.Clone(b), 0))
	add(append(slices.Clone(b), 0xff))
	return made
}

func contractDelete(t *testing.T, c *contract) {
	s := serve(t, semel.Config{}, server.Options{Wait: time.Minute}, nil)
	credit := func() response { return s.call("account/a/credit", "k", `{"cents":1}`) }
	first := credit()
	if r := s.do("DELETE", "/v1/agents/account/a", ""); r.status != 204 || r.body != "" {
		t.Errorf("%+v", r)
	}
	c.want(t, s.do("GET", "/v1/agents/account/a", ""), 404, "unknown_agent", "not_done")
	same(t, "the list", s.do("GET", "/v1/agents?type=account", "").body, `{"agents":[]}`)
	if again := credit(); again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v, at first %+v", again, first)
	}
	r := s.do("DELETE", "/v1/agents/account/a", "")
	if r.status != 204 {
		c.want(t, r, 404, "unknown_agent", "not_done")
	}
	c.want(t, s.do("DELETE", "/v1/agents/no/a", ""), 404, "unknown_agent_type", "not_done")
	c.want(t, s.do("DELETE", "/v1/agents/account/%2E", ""), 400, "invalid_request", "not_done")
}

package server_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/pebble"
)

func contractOutcomes(t *testing.T, c *contract) {
	s := serve(t, semel.Config{Retention: time.Hour}, server.Options{}, nil)
	s.call("account/a/credit", "yes", `{"cents":1}`)
	s.call("account/a/debit", "no &/?", `{"cents":9}`)
	type outcome struct {
		Agent, Key, Principal, Action, Status, Code, Detail, Fingerprint string
		Reply                                                            map[string]any
		First                                                            time.Time `json:"first_seen"`
		Settled, Expires                                                 time.Time
		Attempts                                                         int
	}
	where := func(key string) string { return "/v1/outcomes/account/a?key=" + url.QueryEscape(key) }
	yes := get[outcome](t, s.do("GET", where("yes"), ""), 200)
	same(t, "done", fmt.Sprint(yes.Agent, yes.Key, yes.Principal, yes.Action, yes.Status, yes.Reply, yes.Attempts), "account/ayesanonymouscreditdonemap[cents:1] 1")
	if yes.Expires.Sub(yes.Settled) != time.Hour || yes.First.After(yes.Settled) || time.Since(yes.First) > time.Minute || len(yes.Fingerprint) != 64 {
		t.Errorf("%+v", yes)
	}
	no := get[outcome](t, s.do("GET", where("no &/?"), ""), 200)
	same(t, "rejected", fmt.Sprint(no.Key, no.Status, no.Code, no.Detail, no.Reply), "no &/?rejectedinsufficient_fundsthe balance is 1, less than 9map[]")
	c.want(t, s.do("GET", "/v1/outcomes/account/b?key=yes", ""), 404, "unknown_key", "unknown")
	c.want(t, s.do("GET", where("yes")+"&principal=other", ""), 404, "unknown_key", "unknown")
	c.want(t, s.do("GET", "/v1/outcomes/no/a?key=yes", ""), 404, "unknown_agent_type", "not_done")
	c.want(t, s.do("GET", "/v1/outcomes/account/%2E?key=yes", ""), 400, "invalid_request", "not_done")
}

// contractPrincipals: a key belongs to its principal, and who may read sees
// those of others of the tenant.
func contractPrincipals(t *testing.T, c *contract) {
	s := serve(t, semel.Config{}, server.Options{Auth: twoTenants}, nil)
	for i, who := range []string{"anna", "ben", "carl"} {
		r := s.as(who, "POST", "/v1/agents/account/x/credit", fmt.Sprintf(`{"cents":%d}`, i+1), "Idempotency-Key", "k")
		if r.status != 200 || r.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: %+v", who, r) // FAULTS 60: the others' key is no conflict
		}
	}
	of := func(who, principal string) response {
		return s.as(who, "GET", "/v1/outcomes/account/x?key=k&principal="+principal, "")
	}
	type outcome struct {
		Principal string
		Reply     struct{ Cents int }
	}
	same(t, "anna's own", get[outcome](t, of("anna", ""), 200), outcome{"anna", struct{ Cents int }{1}})
	same(t, "ben's, for anna", get[outcome](t, of("anna", "ben"), 200), outcome{"ben", struct{ Cents int }{3}})
	same(t, "ben's own", get[outcome](t, of("ben", "ben"), 200), outcome{"ben", struct{ Cents int }{3}})
	same(t, "carl's own", get[outcome](t, of("carl", ""), 200), outcome{"carl", struct{ Cents int }{3}})
	c.want(t, of("ben", "anna"), 403, "forbidden", "not_done")
	c.want(t, of("ben", "nobody"), 403, "forbidden", "not_done")
	c.want(t, of("anna", "carl"), 404, "unknown_key", "unknown")
	c.want(t, of("carl", "anna"), 404, "unknown_key", "unknown")
	entries, _ := pageIn(t, s.as("carl", "GET", "/v1/agents/account/x/keys", ""))
	if len(entries) != 1 || !strings.Contains(entries[0], "principal:carl") {
		t.Errorf("carl's list is %v", entries)
	}
}

func contractDoubts(t *testing.T, c *contract) {
	var heal atomic.Bool
	s := serve(t, semel.Config{}, server.Options{Auth: twoTenants}, troubles(&heal, func(semel.EffectCall) {}))
	s.stuck("anna", "x", "ask", "k")
	type doubt struct {
		Doubt, Effect, Agent, Principal, Key, Request, Reason string
		Attempts                                              int
		Asked, Started                                        time.Time
	}
	d := get[struct{ Doubts []doubt }](t, s.as("anna", "GET", "/v1/doubts", ""), 200).Doubts[0]
	same(t, "the doubt", fmt.Sprint(d.Effect, d.Agent, d.Principal, d.Key == d.Doubt, d.Request, d.Attempts), "askstuck/xannatruerequest1")
	if d.Asked.IsZero() || d.Started.Before(d.Asked) || !strings.Contains(d.Reason, "the line went dead") {
		t.Errorf("%+v", d)
	}
	path := "/v1/doubts/" + d.Doubt
	same(t, "the doubt alone", get[doubt](t, s.as("anna", "GET", path, ""), 200), d)
	// For another tenant there is none.
	c.want(t, s.as("carl", "GET", path, ""), 404, "unknown_doubt", "not_done")
	c.want(t, s.as("carl", "POST", path, `{"resolution":"not_done","seen":"1-1"}`), 404, "unknown_doubt", "not_done")
	for _, wrong := range []string{
		`{}`, `{"resolution":"maybe"}`, `{"resolution":"not_done","reply":1}`, `{"resolution":"failed","reply":1}`, `{"resolution":"done","code":"x"}`,
		`{"resolution":"not_done"}`, `{"resolution":"not_done","seen":"now"}`, `{"resolution":"not_done","seen":"-1-1"}`,
		`{"resolution":"done","seen":"1-1"}`, `{"resolution":"failed","seen":"1-1"}`,
		`{"resolution":"not_done","seen":"1-1","detail":"x"}`, `{"resolution":"done","more":1}`, `[]`, ``, `{"resolution":1}`, `{"Resolution":"done"}`,
	} {
		if c.want(t, s.as("anna", "POST", path, wrong), 400, "invalid_request", "not_done"); t.Failed() {
			t.Fatal(wrong)
		}
	}
	c.want(t, s.as("anna", "POST", path, `{"resolution":"done"}`, "Content-Type", "text/html"), 415, "unsupported_media_type", "not_done")
	c.want(t, s.as("anna", "POST", "/v1/doubts/x", `{"resolution":"done"}`), 404, "unknown_doubt", "not_done")
	same(t, "it is still there", len(get[struct{ Doubts []doubt }](t, s.as("anna", "GET", "/v1/doubts", ""), 200).Doubts), 1)
}

// contractResolutions settles a doubt in every way, again, and differently.
func contractResolutions(t *testing.T, c *contract) {
	var mu sync.Mutex
	keys := make(map[string]int)
	var heal atomic.Bool
	s := serve(t, semel.Config{}, server.Options{Auth: twoTenants}, troubles(&heal, func(c semel.EffectCall) {
		mu.Lock()
		defer mu.Unlock()
		keys[c.Key]++
	}))
	for i, way := range []struct {
		resolution, reply, code string
		status                  int
	}{
		{`{"resolution":"done","reply":"by hand"}`, `"by hand"`, "", 200},
		{`{"resolution":"done"}`, `""`, "", 200}, // null, for an effect that answers a text
		{`{"resolution":"failed","code":"declined","detail":"no money"}`, "", "declined", 422},
		{`{"resolution":"failed"}`, "", "rejected", 422},
		{`{"resolution":"not_done","seen":"SEEN"}`, `"called again"`, "", 200},
	} {
		id := fmt.Sprint("x", i)
		heal.Store(false)
		doubt := get[struct{ Doubt string }](t, asJSON(s.stuck("anna", id, "ask", "k"), 409), 200).Doubt
		heal.Store(true)
		settle := func(who, body string) response { return s.as(who, "POST", "/v1/doubts/"+doubt, body) }
		kind, _, _ := strings.Cut(strings.TrimPrefix(way.resolution, `{"resolution":"`), `"`)
		if kind == "not_done" {
			// Whoever looked while the call could still arrive has to look again.
			word := way.resolution
			early := 0
			for {
				seen := get[struct{ Seen string }](t, s.as("anna", "GET", "/v1/doubts/"+doubt, ""), 200).Seen
				way.resolution = strings.Replace(word, "SEEN", seen, 1)
				r := settle("anna", way.resolution)
				if r.status == 200 {
					break
				}
				c.want(t, r, 409, "too_early", "not_done")
				early++
				if wait := r.header.Get("Retry-After"); wait != "1" && wait != "" || t.Failed() {
					t.Fatalf("Retry-After: %q", wait)
				}
			}
			if early == 0 {
				t.Error("not done is taken at once")
			}
		}
		for _, who := range []string{"anna", "olga"} { // the first is who settled it
			want := fmt.Sprintf(`{"doubt":"%s","resolution":"%s","by":"anna"}`, doubt, kind)
			if r := settle(who, way.resolution); r.status != 200 || r.body != want {
				t.Errorf("%s: %+v", way.resolution, r)
			}
			for _, other := range []string{`{"resolution":"done","reply":"other"}`, `{"resolution":"failed","code":"other"}`} {
				c.want(t, settle(who, other), 409, "already_resolved", "not_done")
			}
		}
		call := func() response {
			return s.as("anna", "POST", "/v1/agents/stuck/"+id+"/ask", "1", "Idempotency-Key", "k")
		}
		r := s.until(`"in_flight"`, call)
		c.want(t, s.as("anna", "GET", "/v1/doubts/"+doubt, ""), 404, "unknown_doubt", "not_done")
		if r.status != way.status || way.status == 200 && r.body != way.reply {
			t.Errorf("after %s: %+v", way.resolution, r)
		}
		if way.code != "" {
			same(t, "the rejection", strings.Contains(r.body, `"code":"`+way.code+`","kind":"rejected"`), true)
		}
		mu.Lock()
		same(t, "calls under one key, after "+way.resolution, keys[doubt], map[bool]int{true: 2, false: 1}[kind == "not_done"])
		mu.Unlock()
	}
}

// asJSON makes a problem document a document for get.
func asJSON(r response, status int) response {
	if r.status == status {
		r.status, r.header = 200, r.header.Clone()
		r.header.Set("Content-Type", "application/json")
	}
	return r
}

func contractDead(t *testing.T, c *contract) {
	var heal atomic.Bool
	s := serve(t, semel.Config{MaxAttempts: 2}, server.Options{Auth: twoTenants}, troubles(&heal, func(semel.EffectCall) {}))
	type dead struct {
		Dead                                  string `json:"dead_letter"`
		Agent, Action, Principal, Key, Reason string
		Body, Attempts                        int
		At                                    time.Time
	}
	letter := func(id string) dead {
		d := get[dead](t, asJSON(s.stuck("anna", id, "die", "die"), 409), 200).Dead
		return get[dead](t, s.as("anna", "GET", "/v1/dead/"+d, ""), 200)
	}
	call := func(id, action string) response {
		return s.until(`"in_flight"`, func() response {
			return s.as("anna", "POST", "/v1/agents/stuck/"+id+"/"+action, "1", "Idempotency-Key", action)
		})
	}
	failed := call("z", "die") // nobody accepted it, so it is no dead letter
	c.want(t, failed, 500, "handler_failed", "not_done")
	same(t, "what failed is told", strings.Contains(failed.body, "it failed"), false)
	c.want(t, call("z", "lose"), 409, "outcome_unknown", "unknown")
	one, two := letter("x"), letter("y")
	same(t, "the dead letter", fmt.Sprint(one.Agent, one.Action, one.Principal, one.Key, one.Body, one.Attempts), "stuck/xdieannadie1 2")
	if one.At.IsZero() || !strings.Contains(one.Reason, "it failed") {
		t.Errorf("%+v", one)
	}
	for _, verb := range []string{"", "/retry", "/discard"} {
		method := map[bool]string{true: "GET", false: "POST"}[verb == ""]
		for who, id := range map[string]string{"anna": strings.Repeat("1", 32), "carl": one.Dead} {
			c.want(t, s.as(who, method, "/v1/dead/"+id+verb, ""), 404, "unknown_dead_letter", "not_done")
		}
	}
	heal.Store(true)
	same(t, "retry", s.as("anna", "POST", "/v1/dead/"+one.Dead+"/retry", "").status, 204)
	same(t, "discard", s.as("anna", "POST", "/v1/dead/"+two.Dead+"/discard", "").status, 204)
	if r := call("x", "die"); r.status != 200 || r.body != "1" {
		t.Errorf("tried again: %+v", r)
	}
	wantProblem(t, call("y", "die"), 422, "discarded", "rejected")
	for _, d := range []dead{one, two} {
		for _, verb := range []string{"/retry", "/discard"} {
			c.want(t, s.as("anna", "POST", "/v1/dead/"+d.Dead+verb, ""), 404, "unknown_dead_letter", "not_done")
		}
	}
	same(t, "the list", s.as("anna", "GET", "/v1/dead", "").body, `{"dead_letters":[]}`)
}

// contractEffects: the type of configured effects has no agents but those.
func contractEffects(t *testing.T, c *contract) {
	echo := func(app *semel.App) {
		semel.On(semel.NewAgent[int](app, "effects"), "run", func(n *int, _ *semel.Step, in string) (string, error) {
			*n++
			return fmt.Sprint(in, *n), nil
		})
	}
	s := serve(t, semel.Config{}, server.Options{Effects: []string{"echo"}}, echo)
	r := s.do("POST", "/v1/effects/echo", `"a"`, "Idempotency-Key", "k")
	same(t, "the effect", fmt.Sprint(r.status, r.body), `200"a1"`)
	if again := s.call("effects/echo/run", "k", `"a"`); again.body != r.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v", again)
	}
	same(t, "its outcome", get[struct{ Action string }](t, s.do("GET", "/v1/outcomes/effects/echo?key=k", ""), 200).Action, "run")
	c.want(t, s.do("POST", "/v1/effects/other", `"a"`, "Idempotency-Key", "k"), 404, "unknown_effect", "not_done")
	c.want(t, s.call("effects/other/run", "k", `"a"`), 404, "unknown_effect", "not_done")
	c.want(t, s.do("POST", "/v1/calls", `{"agent":"effects/other","action":"run","key":"k"}`), 404, "unknown_effect", "not_done")
	c.want(t, s.do("POST", "/v1/effects/echo", `"a"`), 400, "idempotency_key_required", "not_done")

	// What was done by an effect that is not configured any more was done.
	if _, err := s.app.Do(t.Context(), semel.Request{Type: "effects", ID: "gone", Action: "run", Key: "k", Body: []byte(`"a"`)}); err != nil {
		t.Fatal(err)
	}
	for _, again := range []response{
		s.do("POST", "/v1/effects/gone", `"a"`, "Idempotency-Key", "k"),
		s.do("POST", "/v1/calls", `{"agent":"effects/gone","action":"run","key":"k","body":"a"}`),
	} {
		same(t, "its reply", fmt.Sprint(again.status, again.body, again.header.Get("Idempotent-Replayed")), `200"a1"true`)
	}
	c.want(t, s.do("POST", "/v1/effects/gone", `"b"`, "Idempotency-Key", "k"), 422, "idempotency_conflict", "not_done")
	c.want(t, s.do("POST", "/v1/effects/gone", `"a"`, "Idempotency-Key", "new"), 404, "unknown_effect", "not_done")

	// What it may have done so long ago that it is forgotten is not said to be not done.
	s = serve(t, semel.Config{Retention: 50 * time.Millisecond, Skew: time.Millisecond}, server.Options{}, echo)
	r = s.until("unknown_effect", func() response { return s.do("POST", "/v1/effects/gone", `"a"`, "Idempotency-Key", of2023) })
	c.want(t, r, 410, "idempotency_key_expired", "unknown")
	c.want(t, s.do("GET", "/v1/outcomes/effects/gone?key="+of2023, ""), 410, "idempotency_key_expired", "unknown")
}

func contractBackups(t *testing.T, c *contract) {
	dir := t.TempDir()
	s := serveOn(t, pebble.At(filepath.Join(dir, "data")), semel.Config{}, server.Options{Backups: filepath.Join(dir, "deep", "backups")}, nil)
	s.call("account/a/credit", "k", `{"cents":3}`)
	backup := func(body string) response { return s.do("POST", "/v1/backups", body) }
	if r := backup(`{"name":"one"}`); r.status != 201 || r.body != `{"backup":"one"}` {
		t.Fatalf("%+v", r)
	}
	c.want(t, backup(`{"name":"one"}`), 409, "already_exists", "not_done")
	// Of those who ask for one name at once, one gets it.
	made, taken := make(chan response, 4), 0
	for range cap(made) {
		go func() { made <- backup(`{"name":"two"}`) }()
	}
	for range cap(made) {
		if r := <-made; r.status != 201 {
			c.want(t, r, 409, "already_exists", "not_done")
			taken++
		}
	}
	if taken != cap(made)-1 {
		t.Errorf("%d of %d were told that the name is taken", taken, cap(made))
	}
	for _, wrong := range []string{"../x", "/x", ".", "..", "", "a/b", `a\\b`, "-x", "a b", strings.Repeat("a", 101), `a\u0000`} {
		c.want(t, backup(`{"name":"`+wrong+`"}`), 400, "invalid_request", "not_done")
	}
	if found, err := os.ReadDir(filepath.Join(dir, "deep", "backups")); err != nil || len(found) != 2 {
		t.Errorf("%v, %v", found, err)
	}
	restored := filepath.Join(dir, "restored")
	if err := pebble.Restore(t.Context(), filepath.Join(dir, "deep", "backups", "one"), restored); err != nil {
		t.Fatal(err)
	}
	other := serveOn(t, pebble.At(restored), semel.Config{}, server.Options{}, nil)
	if r := other.call("account/a/credit", "k", `{"cents":3}`); r.body != `{"cents":3}` || r.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("of the copy: %+v", r)
	}
	c.want(t, other.do("POST", "/v1/backups", `{"name":"one"}`), 404, "not_found", "not_done")
}

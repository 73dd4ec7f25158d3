package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// canary stands in much that tenant b has. Tenant a never says it, so that it
// may be in no answer to a. guess is a name that b has and a guesses.
const canary, guess = "canary-of-b", "guess"

// people are anna of tenant a, and carl and bella of b.
var people = users{
	"anna":  {Tenant: "a", Name: "anna", Roles: server.AllRoles},
	"carl":  {Tenant: "b", Name: "carl", Roles: server.AllRoles},
	"bella": {Tenant: "b", Name: "bella", Roles: server.RoleCall},
}

// world is a server on which tenant b has one of everything.
type world struct {
	*site
	heal    *atomic.Bool
	replies []string          // of b's calls
	ids     map[string]string // of b's doubt and dead letter
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{heal: new(atomic.Bool), ids: make(map[string]string)}
	w.site = serve(t, semel.Config{MaxAttempts: 1, ChangeFeed: true}, server.Options{Auth: people, Effects: []string{"echo"}, Wait: time.Minute}, func(app *semel.App) {
		troubles(w.heal, func(semel.EffectCall) {})(app)
		semel.On(semel.NewAgent[json.RawMessage](app, "note"), "put", func(n *json.RawMessage, _ *semel.Step, in json.RawMessage) (json.RawMessage, error) {
			*n = in
			return in, nil
		})
		semel.On(semel.NewAgent[int](app, "effects"), "run", func(n *int, _ *semel.Step, in any) (any, error) { *n++; return []any{in, *n}, nil })
	})
	return w
}

// bCalls are the calls of tenant b: who, path, key, body.
var bCalls = [][4]string{
	{"carl", "account/shared/open", "k1", `{"cents":100}`},
	{"carl", "account/shared/debit", "k2", `{"cents":1000}`},
	{"carl", "account/shared/transfer", "k3", `{"cents":30,"to":"` + canary + `"}`},
	{"bella", "account/shared/credit", "k1", `{"cents":5}`},
	{"bella", "note/shared/put", "k1", `"` + canary + `"`},
	{"carl", "note/" + canary + "/put", "k1", `[1]`},
	{"carl", "effects/echo/run", "k1", `"` + canary + `"`},
	{"carl", "account/shared/credit", canary, `{"cents":1}`},
	{"carl", "note/" + guess + "/put", guess, `"` + canary + `"`},
	{"carl", "account/" + canary + "/credit", guess, `{"cents":12345}`},
}

// settle lets tenant b do all it does.
func (w *world) settle(part int) {
	w.t.Helper()
	for i, c := range bCalls {
		if i%2 == part {
			r := w.as(c[0], "POST", "/v1/agents/"+c[1], c[3], "Idempotency-Key", c[2])
			w.replies = append(w.replies, fmt.Sprint(r.status, r.body, r.header.Get("Idempotent-Replayed")))
		}
	}
	if part == 0 {
		for _, action := range []string{"ask", "die"} {
			r := w.stuck("carl", guess, action, guess+action)
			w.ids[action] = hexID.FindString(r.body)
		}
	}
}

var (
	hexID   = regexp.MustCompile(`[0-9a-f]{32}`)
	instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z|\b\d+-\d{19}\b`) // the second is a doubt's seen
	cursorT = regexp.MustCompile(`"next":"[^"]*"`)
)

// views are all that tenant b can see, without what no two servers have alike.
func (w *world) views() (all []string) {
	w.t.Helper()
	look := func(who, method, path, body string, headers ...string) {
		r := w.as(who, method, path, body, headers...)
		text := cursorT.ReplaceAllString(instant.ReplaceAllString(hexID.ReplaceAllString(r.body, "ID"), "TIME"), "NEXT")
		var list map[string][]json.RawMessage
		if json.Unmarshal([]byte(text), &list) == nil { // in the order of ids
			for _, entries := range list {
				slices.SortFunc(entries, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
			}
			text = fmt.Sprintf("%s", list)
		}
		all = append(all, fmt.Sprint(method, " ", path, " ", r.status, " ", r.header.Get("Idempotent-Replayed"), " ", text))
	}
	for _, typ := range []string{"account", "note", "stuck", "effects", "none"} {
		look("carl", "GET", "/v1/agents?type="+typ, "")
		for _, id := range []string{"shared", canary, guess, "echo", "of-anna", "absent", "anna"} {
			look("carl", "GET", "/v1/agents/"+typ+"/"+id, "")
			look("carl", "GET", "/v1/agents/"+typ+"/"+id+"/keys", "")
			for _, key := range []string{"k1", "k2", canary, guess, guess + "ask", guess + "die", "of-anna"} {
				for _, principal := range []string{"", "bella", "anna"} {
					look("carl", "GET", "/v1/outcomes/"+typ+"/"+id+"?key="+key+"&principal="+principal, "")
				}
			}
		}
	}
	look("carl", "GET", "/v1/doubts", "")
	look("carl", "GET", "/v1/dead", "")
	for action, list := range map[string]string{"ask": "/v1/doubts/", "die": "/v1/dead/"} {
		r := w.as("carl", "GET", list+w.ids[action], "")
		all = append(all, fmt.Sprint(list, r.status, instant.ReplaceAllString(hexID.ReplaceAllString(r.body, "ID"), "TIME")))
	}
	for _, c := range bCalls {
		look(c[0], "POST", "/v1/agents/"+c[1], c[3], "Idempotency-Key", c[2])
		look(c[0], "POST", "/v1/agents/"+c[1], `"something else"`, "Idempotency-Key", c[2])
	}
	slices.Sort(all)
	return all
}

// FAULTS 60: whatever tenant a does, b sees what it would see if there were no
// a; and a sees nothing of b.
func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	seed, err := strconv.ParseUint(os.Getenv("SEMEL_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; again: SEMEL_SEED=%d go test ./server -run %s", seed, seed, t.Name())
	mixed, alone := newWorld(t), newWorld(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	mixed.interfere(rng, 300)
	for part := range 2 {
		mixed.settle(part)
		alone.settle(part)
		mixed.interfere(rng, 700)
	}
	mixed.follow("note", "put", "1")
	mixed.follow("account", "credit", `{"cents":1}`)
	got, want := mixed.views(), alone.views()
	if fmt.Sprint(mixed.replies) != fmt.Sprint(alone.replies) {
		t.Errorf("b was answered\n%q\nand without a\n%q", mixed.replies, alone.replies)
	}
	if len(got) < 200 || len(got) != len(want) {
		t.Fatalf("%d and %d views", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("b sees\n%s\nand without a\n%s", got[i], want[i])
		}
	}
}

// interfere lets anna do things at random, most of them with b's names.
func (w *world) interfere(rng *rand.Rand, n int) {
	w.t.Helper()
	for range n {
		r := w.annas(rng)
		res := w.do(r.method, r.target, string(r.body), append(r.headers, "Authorization", "Bearer anna")...)
		if w.blind(r, res); w.t.Failed() {
			return
		}
	}
}

// blind fails if an answer to anna has anything of b in it, but what she said
// herself.
func (w *world) blind(r made, res response) {
	w.t.Helper()
	said := r.String() + string(r.body)
	told := res.body + fmt.Sprint(res.header)
	for _, name := range []string{canary, "carl", "bella"} {
		if strings.Contains(told, name) && !strings.Contains(said, name) {
			w.t.Errorf("%s was answered %s", r, told)
		}
	}
	for _, id := range w.ids {
		if strings.Contains(r.target, id) && (res.status < 400 || strings.Contains(res.body, `"principal"`)) {
			w.t.Errorf("%s was answered %d %s", r, res.status, told)
		}
	}
	if path, _, _ := strings.Cut(r.target, "?"); slices.Contains(aboutAll, path) && res.status != 403 && res.status != 405 {
		w.t.Errorf("%s, which is about all tenants, was answered %d %s", r, res.status, told)
	}
	if res.status >= 500 && !strings.Contains(res.body, `"handler_failed"`) {
		w.t.Errorf("%s was answered %d %s", r, res.status, told)
	}
}

// aboutAll are the routes that are about all tenants.
var aboutAll = []string{"/metrics", "/v1/backups", "/v1/retention/resume"}

// follow reads the change feed of a type as anna, from its start until it has
// told of what she changes now, on every shard: what happened before is told
// before that.
func (w *world) follow(typ, action, body string) {
	w.t.Helper()
	var last []string
	for i := range 64 {
		id := fmt.Sprint("last", i)
		last = append(last, typ+"/"+id+`"`)
		if r := w.as("anna", "POST", "/v1/agents/"+typ+"/"+id+"/"+action, body, "Idempotency-Key", "last"); r.status != 200 {
			w.t.Fatalf("%+v", r)
		}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v1/changes?from=start&type="+typ, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer anna")
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var told strings.Builder
	for lines := bufio.NewScanner(res.Body); len(last) > 0; {
		if !lines.Scan() {
			w.t.Fatalf("the feed ended without %q: %v", last, lines.Err())
		}
		told.WriteString(lines.Text())
		last = slices.DeleteFunc(last, func(name string) bool { return strings.Contains(lines.Text(), name) })
	}
	for _, name := range []string{canary, "carl", "bella", "12345"} {
		if strings.Contains(told.String(), name) {
			w.t.Errorf("anna's feed of %s has %s", typ, name)
		}
	}
}

// annas is a request of anna's.
func (w *world) annas(rng *rand.Rand) made {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	id := func() string {
		return url.PathEscape(pick("shared", guess, "echo", "of-anna", "b/shared", "b", "..%00", "\x1fb", "default", "é"))
	}
	typ := pick("account", "account", "note", "stuck", "effects", "none", "b", "b%2Faccount")
	key := pick("k1", "k2", "k3", guess, guess+"ask", guess+"die", "of-anna", `"k1"`, fmt.Sprint(rng.IntN(50)))
	body := pick(`{"cents":5}`, `{"cents":3,"to":"`+guess+`"}`, `{"cents":3,"to":"shared"}`, `"text"`, `1`, ``, `{"cents":`, `{"tenant":"b"}`)
	ref := pick(w.ids["ask"], w.ids["die"], strings.Repeat("0", 32), "x")
	if ref == "" {
		ref = "none"
	}
	r := made{method: "GET", body: []byte(body), headers: []string{"Idempotency-Key", key}}
	switch rng.IntN(13) {
	case 0, 1, 2:
		r.method, r.target = "POST", "/v1/agents/"+typ+"/"+id()+"/"+pick("credit", "debit", "open", "transfer", "put", "die", "lose", "ask", "run", "keys", "transferred")
	case 3:
		call := func() string {
			return fmt.Sprintf(`{"agent":"%s/%s","action":"%s","key":"%s","body":%s}`, pick("account", "note", "b"), pick("shared", guess, "b/shared"), pick("credit", "put"), pick("k1", guess), pick(`{"cents":5}`, `1`))
		}
		r.method, r.target, r.headers = "POST", "/v1/calls", nil
		r.body = []byte(pick(call(), "["+call()+","+call()+"]"))
	case 4:
		r.method, r.target = "POST", "/v1/effects/"+id()
	case 5:
		r.target = "/v1/outcomes/" + typ + "/" + id() + "?key=" + url.QueryEscape(key) + "&principal=" + pick("", "carl", "bella", "anna")
	case 6:
		r.target = "/v1/agents?type=" + typ + "&tenant=b&limit=" + pick("1", "2", "1000", "x") + "&cursor=" + w.cursor(rng)
	case 7:
		r.target = "/v1/agents/" + typ + "/" + id() + pick("", "/keys", "/keys?cursor="+w.cursor(rng))
	case 8:
		r.method, r.target = "DELETE", "/v1/agents/"+typ+"/"+id()
	case 9:
		r.method, r.target = pick("GET", "POST"), "/v1/doubts/"+ref
		r.body = []byte(pick(`{"resolution":"done","reply":"mine"}`, `{"resolution":"not_done"}`, `{"resolution":"failed"}`))
	case 10:
		r.target = "/v1/dead/" + ref
		if verb := pick("", "/retry", "/discard"); verb != "" {
			r.method, r.target = "POST", r.target+verb
		}
	case 11:
		r.target = pick("/v1/doubts", "/v1/dead") + "?limit=" + pick("1", "1000") + "&cursor=" + w.cursor(rng)
	case 12:
		r.target = pick(aboutAll...)
		if r.target != "/metrics" {
			r.method = "POST"
		}
	}
	if rng.IntN(5) == 0 {
		r.headers = append(r.headers, pick("X-Tenant", "Tenant", "X-Forwarded-User", "Semel-Tenant"), "b")
	}
	if rng.IntN(8) == 0 {
		r.headers = append(r.headers, "Prefer", "respond-async")
	}
	return r
}

// cursor is one that b was given, or one like it.
func (w *world) cursor(rng *rand.Rand) string {
	lists := []string{"/v1/agents?type=account", "/v1/agents?type=note", "/v1/agents/account/shared/keys?", "/v1/doubts?", "/v1/dead?"}
	_, next := pageIn(w.t, w.as("carl", "GET", lists[rng.IntN(len(lists))]+"&limit=1", ""))
	if next == "" {
		return ""
	}
	like := append(around(next), next)
	return like[rng.IntN(len(like))]
}

// FuzzRequest sends anything as anna. It must be answered with a document or a
// problem, tell nothing of tenant b, and change nothing of it.
func FuzzRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWorld(f)
	w.settle(0)
	w.settle(1)
	h := server.Handler(w.app, server.Options{Auth: people, Effects: []string{"echo"}, Wait: time.Second, Logger: slog.New(slog.DiscardHandler)})
	before := fmt.Sprint(w.brief(f))
	for range 60 {
		r := w.annas(rng)
		f.Add(r.method, r.target, "Idempotency-Key", "k1", "Prefer", "wait=1", r.body)
	}
	f.Add("POST", "/v1/calls", "Content-Type", "application/json", "Prefer", "respond-async", []byte(`[{"agent":"account/a","action":"credit","key":"k","body":{"cents":1e2}}]`))
	f.Fuzz(func(t *testing.T, method, target, name1, value1, name2, value2 string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") || !tokens.MatchString(method) {
			return // net/http refuses it
		}
		req := httptest.NewRequest("POST", "http://localhost/", bytes.NewReader(body))
		req.Method, req.URL, req.RequestURI = method, u, target
		req.Header.Set("Authorization", "Bearer anna")
		for _, h := range [][2]string{{name1, value1}, {name2, value2}} {
			if tokens.MatchString(h[0]) && !strings.EqualFold(h[0], "Authorization") && !strings.ContainsAny(h[1], "\r\n\x00") {
				req.Header.Add(h[0], h[1])
			}
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		res := response{rec.Code, rec.Header(), rec.Body.String()}
		r := made{method: method, target: target, headers: []string{name1, value1, name2, value2}, body: body}
		(&world{site: &site{t: t}, ids: w.ids}).blind(r, res)
		if method != "HEAD" && res.body != "" && !json.Valid([]byte(res.body)) {
			t.Errorf("%s: %d %q", r, res.status, res.body)
		}
		if kind := res.header.Get("Content-Type"); res.status >= 400 && kind != "application/problem+json" || res.status == 200 && kind != "application/json" {
			t.Errorf("%s: %d of type %s", r, res.status, kind)
		}
		if after := fmt.Sprint(w.brief(t)); after != before {
			t.Errorf("%s changed what b sees:\n%s\nand before\n%s", r, after, before)
		}
	})
}

var tokens = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// brief is a part of what b sees, for a look after every request.
func (w *world) brief(t testing.TB) (all []string) {
	mine := *w.site
	mine.t = t
	for _, path := range []string{
		"/v1/agents?type=account", "/v1/agents?type=note", "/v1/agents/account/shared", "/v1/agents/account/shared/keys",
		"/v1/doubts", "/v1/dead",
	} {
		all = append(all, instant.ReplaceAllString(mine.as("carl", "GET", path, "").body, "TIME"))
	}
	return all
}

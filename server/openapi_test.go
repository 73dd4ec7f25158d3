package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/pebble"
	"github.com/semel-dev/semel/twopc"
)

// described is a server with its own description, against which every answer
// is checked.
type described struct {
	*site
	doc      map[string]any
	schemas  *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
	rng      *rand.Rand
	samples  map[string][]string // values for path parameters, by what the path begins with
	statuses map[string]map[int]int
}

// operation is one that the description has.
type operation struct {
	method, path string
	doc          map[string]any
}

func (o operation) String() string { return o.method + " " + o.path }

// Requests are made of the description, good ones and broken ones, and every
// answer must be one that it has.
func TestTheDescriptionIsTrue(t *testing.T) {
	t.Parallel()
	const seed = 1
	d := describedSite(t, server.Options{}, seed)
	var sent, broken int
	for _, op := range d.operations() {
		t.Run(strings.ReplaceAll(op.String(), "/", "|"), func(t *testing.T) {
			// What can succeed does at last: which requests do is chance.
			for n := 0; n < 25 || n < 500 && d.statuses[op.String()][d.success(op)] == 0 && !strings.HasSuffix(op.path, "/lose"); n++ {
				r := d.request(op)
				d.check(t, op, r, d.exchange(t, r))
				sent++
			}
			for _, b := range d.broken(op) {
				res := d.exchange(t, b)
				d.check(t, op, b, res)
				if res.status < 400 || res.status >= 500 {
					t.Errorf("%s: %+v was answered %d %s", b.wrong, b, res.status, res.body)
				}
				broken++
			}
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"} {
				if d.takes(op.path, method) {
					continue
				}
				r := d.request(op)
				r.method = method
				res := d.exchange(t, r)
				wantProblem(t, res, 405, "method_not_allowed", "not_done")
				if allow := res.header.Get("Allow"); !strings.Contains(allow, op.method) || strings.Contains(allow, method) {
					t.Errorf("%s of %s: Allow is %q", method, op.path, allow)
				}
			}
		})
	}
	t.Logf("%d requests made of the description, %d broken ones", sent, broken)
	for _, op := range d.operations() {
		if strings.HasSuffix(op.path, "/lose") {
			continue // it never does
		}
		if success := d.success(op); d.statuses[op.String()][success] == 0 {
			t.Errorf("%s never succeeded with %d; seed %d; its answers were %v", op, success, seed, d.statuses[op.String()])
		}
	}
}

// The document is OpenAPI 3.1, as the schema of that standard says.
func TestTheDescriptionIsOpenAPI(t *testing.T) {
	t.Parallel()
	for _, auth := range []server.Authenticator{nil, twoTenants} {
		s := serve(t, semel.Config{}, server.Options{Auth: auth, Effects: []string{"echo"}, Version: "1.2.3"}, nil)
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(get[rawText](t, s.do("GET", "/openapi.json", ""), 200).text))
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open("testdata/oas31-schema.json")
		if err != nil {
			t.Fatal(err)
		}
		standard, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("standard.json", standard); err != nil {
			t.Fatal(err)
		}
		if err := c.MustCompile("standard.json").Validate(doc); err != nil {
			t.Errorf("%#v", err)
		}
		ids := make(map[string]string)
		for _, op := range operationsOf(doc.(map[string]any)) {
			id := fmt.Sprint(op.doc["operationId"])
			if ids[id] != "" {
				t.Errorf("%s and %s have the id %s", op, ids[id], id)
			}
			ids[id] = op.String()
		}
	}
}

// With authentication, the description has the answers to those who may not.
func TestTheDescriptionHasRefusals(t *testing.T) {
	t.Parallel()
	d := describedSite(t, server.Options{Auth: users{"nothing": {Tenant: "a", Name: "nothing"}}}, 2)
	for _, op := range d.operations() {
		for _, who := range []string{"", "nothing"} {
			r := d.request(op)
			r.headers = append(r.headers, "Authorization", "Bearer "+who)
			d.check(t, op, r, d.exchange(t, r))
		}
	}
}

// rawText is a document as it came.
type rawText struct{ text string }

func (r *rawText) UnmarshalJSON(b []byte) error { r.text = string(b); return nil }

// describedSite serves something for every operation to be done on.
func describedSite(t *testing.T, opts server.Options, seed uint64) *described {
	t.Helper()
	var heal atomic.Bool
	dir := t.TempDir()
	opts.Backups, opts.Effects = filepath.Join(dir, "backups"), []string{"echo"}
	s := serveOn(t, pebble.At(filepath.Join(dir, "data")), semel.Config{MaxAttempts: 1, ChangeFeed: true}, opts, func(app *semel.App) {
		troubles(&heal, func(semel.EffectCall) {})(app)
		semel.On(semel.NewAgent[int](app, "effects"), "run", func(_ *int, _ *semel.Step, in any) (any, error) { return in, nil })
	})
	text := get[rawText](t, s.do("GET", "/openapi.json", ""), 200).text
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &described{
		site: s, doc: doc.(map[string]any), schemas: jsonschema.NewCompiler(), compiled: make(map[string]*jsonschema.Schema),
		rng: rand.New(rand.NewPCG(seed, seed)), samples: make(map[string][]string), statuses: make(map[string]map[int]int),
	}
	if err := d.schemas.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	if opts.Auth != nil {
		return d
	}
	for i := range 40 {
		s.call(fmt.Sprintf("account/a%d/credit", i%4), fmt.Sprint("k", i), `{"cents":5}`)
		id := fmt.Sprint("s", i)
		for list, action := range map[string]string{"/v1/doubts": "ask", "/v1/dead": "die"} {
			var ref struct {
				Doubt string
				Dead  string `json:"dead_letter"`
			}
			path := "stuck/" + id + "/" + action
			s.do("POST", "/v1/agents/"+path, "1", "Idempotency-Key", action, "Prefer", "respond-async")
			ref = get[struct {
				Doubt string
				Dead  string `json:"dead_letter"`
			}](t, asJSON(s.until(`"in_flight"`, func() response { return s.call(path, action, "1") }), 409), 200)
			d.samples[list] = append(d.samples[list], ref.Doubt+ref.Dead)
		}
	}
	d.deals()
	heal.Store(true)
	return d
}

// deals makes transactions, sagas that are under way, and sagas that are parked:
// more of them than requests settle.
func (d *described) deals() {
	d.call("account/from/credit", "deals", `{"cents":1000000}`)
	for i := range 4 {
		r := d.do("POST", "/v1/transactions", transfer("from", "a1", 5), "Idempotency-Key", fmt.Sprint("k", i))
		d.samples["/v1/transactions/"] = append(d.samples["/v1/transactions/"], get[twopc.Result](d.t, r, 200).Tx)
	}
	for i := range 20 {
		r := d.do("POST", "/v1/transactions", `{"participants":[{"agent":"account/from","action":"balance"},{"participant":"stubborn"}]}`, "Idempotency-Key", fmt.Sprint("d", i))
		d.samples["/v1/transactions/{tx}/resolve"] = append(d.samples["/v1/transactions/{tx}/resolve"], get[twopc.Result](d.t, r, 200).Tx)
		hold := d.start("", "hold", fmt.Sprint("k", i), `{"from":"from","cents":5}`)
		d.samples["/v1/sagas/{saga}/cancel"] = append(d.samples["/v1/sagas/{saga}/cancel"], hold)
		parked := d.start("", "deal", fmt.Sprint("k", i), `{"from":"from","cents":5,"failures":1000}`)
		d.phased("", parked, saga.Parked)
		d.samples["/v1/sagas/{saga}/"] = append(d.samples["/v1/sagas/{saga}/"], parked)
	}
	d.samples["/v1/sagas/{saga}"] = d.samples["/v1/sagas/{saga}/"]
}

// sample is one of the things that an operation is about, mostly.
func (d *described) sample(op operation) (string, bool) {
	best := ""
	for list, ids := range d.samples {
		if strings.HasPrefix(op.path, list) && len(list) > len(best) && len(ids) > 0 {
			best = list
		}
	}
	if best == "" || d.rng.IntN(4) == 0 {
		return "", false
	}
	return d.samples[best][d.rng.IntN(len(d.samples[best]))], true
}

// operations are in the order of their paths.
func (d *described) operations() []operation { return operationsOf(d.doc) }

func operationsOf(doc map[string]any) (all []operation) {
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			all = append(all, operation{strings.ToUpper(method), path, op.(map[string]any)})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// takes says whether a path has a method, perhaps by a longer way of writing it.
func (d *described) takes(path, method string) bool {
	for _, op := range d.operations() {
		if op.method == method && len(strings.Split(op.path, "/")) == len(strings.Split(path, "/")) && covers(op.path, path) {
			return true
		}
	}
	return false
}

// covers says whether a path with parameters is also the other one.
func covers(general, path string) bool {
	g, p := strings.Split(general, "/"), strings.Split(path, "/")
	for i := range g {
		if g[i] != p[i] && !strings.HasPrefix(g[i], "{") {
			return false
		}
	}
	return true
}

// success is the status of success that is not "accepted".
func (d *described) success(op operation) int {
	for _, status := range []int{200, 201, 204} {
		if _, ok := op.doc["responses"].(map[string]any)[fmt.Sprint(status)]; ok {
			return status
		}
	}
	return 0
}

// exchange sends a request. Of a stream only the beginning is waited for.
func (d *described) exchange(t *testing.T, r made) response {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, d.url+r.target, bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(r.headers); i += 2 {
		req.Header.Add(r.headers[i], r.headers[i+1])
	}
	res, err := d.http.Do(req)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	defer res.Body.Close()
	out := response{status: res.StatusCode, header: res.Header}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return out
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out.body = string(b)
	return out
}

// check compares an answer with what the description has of the operation.
func (d *described) check(t *testing.T, op operation, r made, res response) {
	t.Helper()
	if d.statuses[op.String()] == nil {
		d.statuses[op.String()] = make(map[int]int)
	}
	d.statuses[op.String()][res.status]++
	said, ok := op.doc["responses"].(map[string]any)[fmt.Sprint(res.status)].(map[string]any)
	if !ok {
		t.Errorf("%s: status %d is not described: %+v was answered %s", op, res.status, r, res.body)
		return
	}
	content, _ := said["content"].(map[string]any)
	if len(content) == 0 {
		if res.body != "" || res.header.Get("Content-Type") != "" {
			t.Errorf("%s: %d has the body %q of %q, and none is described", op, res.status, res.body, res.header.Get("Content-Type"))
		}
		return
	}
	media, _, _ := strings.Cut(res.header.Get("Content-Type"), ";")
	if content[media] == nil {
		t.Errorf("%s: the type %q of a %d is not described", op, media, res.status)
		return
	}
	if media == "text/event-stream" || strings.HasPrefix(media, "text/plain") {
		return
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(res.body))
	if err != nil {
		t.Errorf("%s: %v: %s", op, err, res.body)
		return
	}
	at := fmt.Sprintf("#/paths/%s/%s/responses/%d/content/%s/schema", pointer(op.path), strings.ToLower(op.method), res.status, pointer(media))
	if err := d.schema(t, at).Validate(v); err != nil {
		var wrong *jsonschema.ValidationError
		errors.As(err, &wrong)
		t.Errorf("%s: %d is not as described: %v\n%s", op, res.status, wrong, res.body)
	}
}

func (d *described) schema(t *testing.T, at string) *jsonschema.Schema {
	t.Helper()
	if s := d.compiled[at]; s != nil {
		return s
	}
	s, err := d.schemas.Compile("openapi.json" + at)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	d.compiled[at] = s
	return s
}

// pointer escapes a name for a JSON pointer in a URL's fragment.
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B").Replace(name)
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// result is what a command left.
type result struct {
	code        int
	out, errors string
}

// semelIn runs the binary. Standard input is in; the environment says nothing of
// a server or a token.
func semelIn(t *testing.T, in string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "SEMEL_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func semelRun(t *testing.T, args ...string) result {
	t.Helper()
	return semelIn(t, "", args...)
}

const (
	cannedID      = "000102030405060708090a0b0c0d0e0f"
	cannedDoubt   = `{"doubt":"` + cannedID + `","effect":"charge","agent":"account/alice","principal":"shop","key":"k","request":{"cents":5},"attempts":1,"asked":"2026-11-25T10:00:00Z","started":"2026-11-25T10:00:01Z","reason":"the line\u001b went dead","seen":"3-14"}`
	cannedDead    = `{"dead_letter":"` + cannedID + `","agent":"account/alice","action":"credit","principal":"shop","key":"k","body":{"cents":5},"reason":"it panicked","attempts":10,"at":"2026-11-25T10:00:00Z"}`
	cannedTimes   = `"first_seen":"2026-11-25T10:00:00Z","settled":"2026-11-25T10:00:01Z","attempts":1,"expires":"2026-11-26T10:00:01Z"`
	cannedPrint   = "9c378f958507c1833d49c2c62238529e1ef0961f11b47626810db8011fb7c747"
	cannedOutcome = `{"agent":"account/alice","key":"k","principal":"shop","action":"credit","status":"done","reply":{"cents":5},"fingerprint":"` + cannedPrint + `",` + cannedTimes + `}`
	cannedNo      = `{"agent":"account/alice","key":"no","principal":"shop","action":"debit","status":"rejected","code":"poor","detail":"too poor","fingerprint":"00",` + cannedTimes + `}`
)

// canned is a server that answers by the contract, and always the same.
func canned(t *testing.T) string {
	t.Helper()
	problem := func(status int, code, kind, more string) string {
		return fmt.Sprintf(`{"type":"https://semel.dev/problems/%s","title":"T","status":%d,"detail":"the detail","code":"%[1]s","kind":"%[3]s","retryable":true%[4]s}`, code, status, kind, more)
	}
	answers := map[string]string{
		"POST /v1/agents/account/alice/credit":               `200 {"cents":5}`,
		"POST /v1/agents/account/alice/debit":                `422 ` + problem(422, "poor", "rejected", `,"data":{"lack":1}`),
		"POST /v1/agents/account/alice/doubt":                `409 ` + problem(409, "in_doubt", "unknown", `,"doubt":"`+cannedID+`"`),
		"POST /v1/agents/account/alice/long":                 `202 {"status":"in_flight","outcome":"/v1/outcomes/account/alice?key=k"}`,
		"POST /v1/effects/charge":                            `200 {"paid":true}`,
		"GET /v1/agents/account/alice":                       `200 {"agent":"account/alice","state":{"cents":5},"version":3}`,
		"DELETE /v1/agents/account/alice":                    `204 `,
		"GET /v1/agents?limit=500&type=account":              `200 {"agents":[{"agent":"account/a","version":1},{"agent":"account/bob","version":20}],"next":"n"}`,
		"GET /v1/agents?limit=500&type=account&cursor=n":     `200 {"agents":[{"agent":"account/c","version":3}]}`,
		"GET /v1/agents?limit=500&type=none":                 `200 {"agents":[]}`,
		"GET /v1/agents/account/alice/keys?limit=500":        `200 {"keys":[` + cannedOutcome + `,` + cannedNo + `]}`,
		"GET /v1/outcomes/account/alice?key=k":               `200 ` + cannedOutcome,
		"GET /v1/outcomes/account/alice?key=k&principal=ann": `200 ` + cannedOutcome,
		"GET /v1/outcomes/account/alice?key=no":              `200 ` + cannedNo,
		"GET /v1/outcomes/account/alice?key=new":             `404 ` + problem(404, "unknown_key", "unknown", ""),
		"GET /v1/outcomes/account/alice?key=old":             `410 ` + problem(410, "idempotency_key_expired", "unknown", ""),
		"GET /v1/doubts?limit=500":                           `200 {"doubts":[` + cannedDoubt + `]}`,
		"GET /v1/doubts/" + cannedID:                         `200 ` + cannedDoubt,
		"POST /v1/doubts/" + cannedID:                        `200 {"doubt":"` + cannedID + `","resolution":"done","by":"ann"}`,
		"GET /v1/dead?limit=500":                             `200 {"dead_letters":[` + cannedDead + `]}`,
		"GET /v1/dead/" + cannedID:                           `200 ` + cannedDead,
		"POST /v1/dead/" + cannedID + "/retry":               `204 `,
		"POST /v1/dead/" + cannedID + "/discard":             `204 `,
		"POST /v1/retention/resume":                          `204 `,
		"POST /v1/backups":                                   `201 {"backup":"nightly"}`,
		"GET /v1/changes?type=account": "200 id: p1\nevent: change\ndata: {\"agent\":\"account/a\",\"version\":2,\"state\":{\"cents\": 1}}\n\n" +
			"id: p2\nevent: deleted\ndata: {\"agent\":\"account/b\",\"version\":3}\n\nid: p3\nevent: reset\ndata:\n\n",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok || r.Header.Get("Authorization") != "Bearer secret" {
			a = "404 " + problem(404, "not_found", "not_done", "")
			t.Errorf("%s %s %v", r.Method, r.URL.RequestURI(), r.Header)
		}
		var status int
		if _, err := fmt.Sscanf(a, "%d", &status); err != nil {
			t.Error(err)
		}
		kind := "application/json"
		switch {
		case strings.Contains(r.URL.Path, "changes"):
			kind = "text/event-stream"
		case status >= 400:
			kind = "application/problem+json"
		}
		w.Header().Set("Content-Type", kind)
		if r.Header.Get("Idempotency-Key") == `"again"` {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, a[4:])
		if kind == "text/event-stream" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// What every verb prints, for people and as JSON, and its exit code.
func TestWhatIsPrinted(t *testing.T) {
	t.Parallel()
	url := canned(t)
	const id = cannedID
	for _, c := range []struct {
		args string
		code int
		out  string
		err  string // a part of standard error; empty means that it is empty
	}{
		{"call account/alice credit {\"cents\":5} --key k", 0, "{\"cents\":5}\n", ""},
		{"call account/alice credit {\"cents\":5} --key again", 0, "{\"cents\":5}\n", "replayed"},
		{"call account/alice credit --key again --json", 0, `{"agent":"account/alice","action":"credit","key":"again","status":"done","replayed":true,"attempts":1,"reply":{"cents":5}}` + "\n", ""},
		{"call account/alice debit --key k", 3, "", "semel: debit of account/alice: rejected (poor): the detail\n"},
		{"call account/alice debit --key again --json", 3, `{"error":{"kind":"rejected","code":"poor","detail":"the detail","agent":"account/alice","action":"debit","key":"again","replayed":true,"retryable":true,"http_status":422,"data":{"lack":1}}}` + "\n", "rejected (poor)"},
		{"call account/alice doubt --key k", 4, "", "next: look at it with `semel doubts show " + id + "`"},
		{"call account/alice long --key k --async", 0, "in_flight\n", "accepted; `semel explain account/alice k`"},
		{"call account/alice long --key k --async --json", 0, `{"agent":"account/alice","action":"long","key":"k","status":"in_flight","replayed":false,"outcome":"/v1/outcomes/account/alice?key=k"}` + "\n", ""},
		{"effects run charge {} --key k", 0, "{\"paid\":true}\n", ""},
		{"effects run charge --key k --json", 0, `{"agent":"effects/charge","action":"run","key":"k","status":"done","replayed":false,"attempts":1,"reply":{"paid":true}}` + "\n", ""},
		{"get account/alice", 0, "{\n  \"cents\": 5\n}\n", "account/alice, version 3\n"},
		{"get account/alice --json", 0, `{"agent":"account/alice","state":{"cents":5},"version":3}` + "\n", ""},
		{"list account", 0, "AGENT        VERSION\naccount/a    1\naccount/bob  20\naccount/c    3\n", ""},
		{"list account --limit 2 --json", 0, `{"agent":"account/a","version":1}` + "\n" + `{"agent":"account/bob","version":20}` + "\n", ""},
		{"list none", 0, "", "there are none\n"},
		{"list none --json", 0, "", ""},
		{"keys account/alice", 0, "KEY  PRINCIPAL  ACTION  STATUS           ATTEMPTS  FIRST SEEN\n" +
			"k    shop       credit  done             1         2026-11-25 10:00:00Z\n" +
			"no   shop       debit   rejected (poor)  1         2026-11-25 10:00:00Z\n", ""},
		{"keys account/alice --json --limit 1", 0, cannedOutcome + "\n", ""},
		{"doubts", 0, "DOUBT                             EFFECT  AGENT          ATTEMPTS  ASKED                 REASON\n" +
			id + "  charge  account/alice  1         2026-11-25 10:00:00Z  the line\\u001b went dead\n", ""},
		{"doubts list --json", 0, cannedDoubt + "\n", ""},
		{"doubts show " + id, 0, "doubt " + id + `
  effect        charge
  asked by      account/alice for shop
  effect key    k
  request       {"cents":5}
  attempts      1
  asked         2026-11-25 10:00:00Z
  started       2026-11-25 10:00:01Z
  reason        the line\u001b went dead
Ask the provider for the effect key. Then settle it:
semel doubts resolve ` + id + " --done REPLY | --not-done 3-14 | --failed CODE\n", ""},
		{"doubts show --json " + id, 0, cannedDoubt + "\n", ""},
		{"doubts resolve " + id + " --done {\"paid\":true}", 0, id + " is settled as done, by ann\n", ""},
		{"doubts resolve --json " + id + " --failed declined --detail no", 0, `{"doubt":"` + id + `","resolution":"done","by":"ann"}` + "\n", ""},
		{"dead", 0, "DEAD LETTER                       AGENT          ACTION  ATTEMPTS  AT                    REASON\n" +
			id + "  account/alice  credit  10        2026-11-25 10:00:00Z  it panicked\n", ""},
		{"dead list --json", 0, cannedDead + "\n", ""},
		{"dead show --json " + id, 0, cannedDead + "\n", ""},
		{"dead show " + id, 0, "dead letter " + id + `
  agent         account/alice
  action        credit
  principal     shop
  key           k
  body          {"cents":5}
  attempts      10
  at            2026-11-25 10:00:00Z
  reason        it panicked
Mend what made it fail, then: semel dead retry ` + id + `
Or give it up: semel dead discard ` + id + "\n", ""},
		{"dead retry " + id, 0, id + " is retried\n", ""},
		{"dead discard --json " + id, 0, `{"dead_letter":"` + id + `","discarded":true}` + "\n", ""},
		{"retention resume", 0, "forgetting what is older than the retention goes on\n", ""},
		{"retention resume --json", 0, `{"resumed":true}` + "\n", ""},
		{"delete account/alice", 0, "account/alice is deleted\n", ""},
		{"delete account/alice --json", 0, `{"agent":"account/alice","deleted":true}` + "\n", ""},
		{"backup nightly", 0, "the store is copied into nightly\n", ""},
		{"backup nightly --json", 0, `{"backup":"nightly"}` + "\n", ""},
		{"changes account --limit 3", 0, "account/a  v2  {\"cents\":1}\naccount/b  deleted\n", "changes may have been missed"},
		{"changes account --limit 3 --json", 0, `{"event":"change","position":"p1","agent":"account/a","version":2,"state":{"cents":1}}` + "\n" +
			`{"event":"deleted","position":"p2","agent":"account/b","version":3}` + "\n" + `{"event":"reset","position":"p3"}` + "\n", ""},
		{"explain account/alice new", 4, "account/alice, key new\nnew: nothing is recorded under this key: a call with it never came, is on its way, was not done, or was settled longer ago than the retention (24h0m0s). The key carries no time, so a call with it is executed\n", "unknown_key"},
		{"explain account/alice old", 4, "account/alice, key old\nexpired: nothing is recorded under this key any more: it is older than what is remembered, so a call with it is refused as idempotency_key_expired. Whether it ran cannot be known any more\n", "idempotency_key_expired"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(c.args)
			got := semelRun(t, append(args, "--server", url, "--token", "secret")...)
			if got.code != c.code || got.out != c.out {
				t.Errorf("exit code %d\n%s\nwant %d\n%s", got.code, got.out, c.code, c.out)
			}
			if c.err == "" && got.errors != "" || !strings.Contains(got.errors, c.err) || strings.Contains(got.errors, "secret") {
				t.Errorf("standard error:\n%s\nwant %s", got.errors, c.err)
			}
		})
	}
}

// Explain says in words why a repetition is replayed or refused.
func TestExplain(t *testing.T) {
	t.Parallel()
	url := canned(t)
	explain := func(t *testing.T, code int, args ...string) string {
		t.Helper()
		got := semelRun(t, append(append([]string{"explain", "account/alice"}, args...), "--server", url, "--token", "secret")...)
		if got.code != code {
			t.Errorf("%v: exit code %d\n%s%s", args, got.code, got.out, got.errors)
		}
		return got.out
	}
	if got := explain(t, 0, "k"); !strings.Contains(got, "done") || !strings.Contains(got, `
  action        credit
  principal     shop
  reply         {"cents":5}
  first seen    2026-11-25 10:00:00Z
  settled       2026-11-25 10:00:01Z
  attempts      1
  kept until    2026-11-26 10:00:01Z
  fingerprint   `+cannedPrint+`
replay: a repetition with the same action and body is not done again: it gets the recorded reply
`) {
		t.Error(got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"k", "credit", `{"cents":5}`}, "replay: this request is the same"},
		{[]string{"k", "credit", `{ "cents" : 5.0 }`}, "replay: this request is the same"},
		{[]string{"k", "credit", `{"cents":6}`}, "conflict: refused as idempotency_conflict, and nothing is done: the action is the same, the body is another JSON value"},
		{[]string{"k", "debit", `{"cents":5}`}, `conflict: refused as idempotency_conflict, and nothing is done: the recorded call asks for "credit" with the same body, this one for "debit"`},
		{[]string{"k", "debit"}, `asks for "credit", this one for "debit", and the bodies differ`},
		{[]string{"k", "credit", `{"cents":5}`, "--tenant", "other"}, "conflict"},
		{[]string{"k", "--principal", "ann"}, "replay"},
		{[]string{"no"}, "rejected (poor): too poor"},
		{[]string{"no"}, "it gets the recorded no (poor). A changed mind needs a new key"},
	} {
		if got := explain(t, 0, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%v:\n%s\nwant %s", c.args, got, c.want)
		}
	}
	const want = `{"agent":"account/alice","key":"k","verdict":"replay","why":"this request is the same, so it is not done again: it gets the recorded reply","fingerprint":"` + cannedPrint + `","outcome":` + cannedOutcome + "}\n"
	if got := explain(t, 0, "k", "credit", `{"cents":5}`, "--json"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Keys that carry their time, of which nothing is recorded.
func TestExplainUnrecorded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]verdict{
		23 * time.Hour: verdictNew, -4 * time.Minute: verdictNew, -6 * time.Minute: verdictInFuture,
	} {
		e := explanation{KeyTime: now.Add(-age)}
		e.judgeUnrecorded(now, 24*time.Hour, 5*time.Minute)
		if e.Verdict != want || e.Why == "" {
			t.Errorf("%v old: %+v", age, e)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"call account/alice", "accepts between 2 and 3 arg(s)"},
		{"call account/alice credit {", "the body is not JSON"},
		{"call account/alice credit @" + filepath.Join(dir, "none"), "cannot be read"},
		{"call account/alice credit --wait 1s --async", "none of the others can be"},
		{"call account/alice credit --wait -1s", "must not be negative"},
		{"doubts nothing", "unknown command"},
		{"doubts resolve " + cannedID, "say --done REPLY, --not-done SEEN or --failed CODE"},
		{"doubts resolve " + cannedID + " --not-done 3-14 --failed x", "none of the others can be"},
		{"doubts resolve " + cannedID + " --not-done 3-14 --detail x", "--detail belongs to --failed"},
		{"get account/alice --server ftp://x", "is not the URL of a server"},
		{"get account/alice --server http://x --data " + dir, "exclude each other"},
		{"backup a/b", "a server's backups are below its own configured directory"},
		{"nothing", "unknown command"},
	} {
		if got := semelRun(t, strings.Fields(c.args)...); got.code != exitUsage || got.out != "" || !strings.Contains(got.errors, c.want) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}

// Failures before a server was reached are not done, and say what to do.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"get account/alice --data " + dir, "holds no store\n  next: check the directory"},
		{"restore " + dir + " " + filepath.Join(dir, "new"), "not a whole backup"},
	} {
		if got := semelRun(t, strings.Fields(c.args)...); got.code != exitNotDone || got.out != "" || !strings.Contains(got.errors, c.want) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
	got := semelRun(t, "get", "account/alice", "--data", dir, "--json")
	if got.code != exitNotDone || !strings.HasPrefix(got.out, `{"error":{"kind":"not_done","detail":"`) || !strings.Contains(got.out, `"next":"check the directory`) {
		t.Errorf("%+v", got)
	}
}

// A connection that breaks after the call was sent is unknown, and the key that
// was made for it is what makes it safe to repeat.
func TestLostCall(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(srv.Close)
	got := semelRun(t, "call", "account/alice", "credit", "--wait", "1s", "--json", "--server", srv.URL)
	key, ok := strings.CutPrefix(strings.SplitN(got.errors, "\n", 2)[0], "key ")
	var failed struct{ Error failureJSON }
	if err := json.Unmarshal([]byte(got.out), &failed); err != nil {
		t.Fatal(err, got.out)
	}
	if f := failed.Error; got.code != exitUnknown || !ok || f.Kind != "unknown" || f.Code != "connection_lost" || f.Key != key || !f.Retryable ||
		!strings.Contains(f.Next, "repeat the same command with --key "+key) || !strings.Contains(got.errors, f.Next) {
		t.Errorf("%+v", got)
	}
}

// Colors are for terminals whose owner did not say no. (/dev/null is what a test
// has for one.)
func TestColors(t *testing.T) {
	dev, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	t.Setenv("TERM", "xterm")
	for _, c := range []struct {
		out     io.Writer
		noColor string
		want    string
	}{
		{dev, "", "\x1b[33mrejected (poor)\x1b[0m"},
		{dev, "1", "rejected (poor)"},
		{new(bytes.Buffer), "", "rejected (poor)"},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		if got := newPrinter(c.out, c.out, false).paint("rejected (poor)"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// A long table keeps its columns, and does not wait for the end.
func TestLongTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tab := newPrinter(&out, &out, false).table("NAME", "N")
	for i := range tableRows {
		if err := tab.row(strings.Repeat("x", 1+i%9), "1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != tableRows+1 {
		t.Errorf("%d lines before the end", got)
	}
	if err := errors.Join(tab.row("y", "2"), tab.flush(), tab.flush()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "NAME       N\n") || !strings.HasSuffix(out.String(), "\ny          2\n") {
		t.Errorf("%s", out.String())
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// The verbs against the real server: what the canned answers of printed_test.go
// say, it must say too.

// verb runs a verb against a server and wants its exit code.
func (p *process) verb(code int, args ...string) string {
	p.t.Helper()
	got := semelRun(p.t, append(args, "--server", p.url)...)
	if got.code != code {
		p.t.Errorf("%v: exit code %d, want %d\n%s%s", args, got.code, code, got.out, got.errors)
	}
	return got.out
}

// decoded is the only object that was printed.
func decoded[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return v
}

func TestVerbsOfCalls(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	const credit = `{"cents":5}`
	if got := p.verb(exitOK, "call", "account/alice", "credit", credit, "--key", "k"); got != credit+"\n" {
		t.Error(got)
	}
	if got := decoded[callJSON](t, p.verb(exitOK, "call", "account/alice", "credit", `{"cents":5.0}`, "--key", "k", "--json")); !got.Replayed || string(got.Reply) != credit {
		t.Errorf("%+v", got)
	}
	p.verb(exitNotDone, "call", "account/alice", "credit", `{"cents":6}`, "--key", "k")
	p.verb(exitRejected, "call", "account/alice", "debit", `{"cents":6}`, "--key", "no")
	p.verb(exitNotDone, "call", "account/alice", "credit", `{"cents":"x"}`)
	p.verb(exitNotDone, "call", "nothing/alice", "credit")
	if got := decoded[client.State](t, p.verb(exitOK, "get", "account/alice", "--json")); got.Version != 1 || !strings.Contains(string(got.State), credit[1:len(credit)-1]) {
		t.Errorf("%+v", got)
	}
	p.verb(exitNotDone, "get", "account/nobody")
}

func TestVerbsOfOutcomes(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.verb(exitOK, "call", "account/alice", "open", `{"cents":5}`, "--key", "k")
	p.verb(exitRejected, "call", "account/alice", "debit", `{"cents":6}`, "--key", "no")
	p.verb(exitOK, "call", "account/alice", "transfer", `{"to":"bob","cents":1}`, "--key", "t", "--async")

	e := decoded[explanation](t, p.verb(exitOK, "explain", "account/alice", "k", "open", `{ "cents" : 5 }`, "--json"))
	if e.Verdict != verdictReplay || e.Outcome == nil || e.Outcome.Fingerprint != e.Fingerprint || e.Outcome.Attempts != 1 || e.Outcome.FirstSeen.IsZero() ||
		!e.Outcome.Expires.After(e.Outcome.Settled) || e.Outcome.Principal != "anonymous" || string(e.Outcome.Reply) != `{"cents":5}` {
		t.Errorf("%+v", e)
	}
	if e := decoded[explanation](t, p.verb(exitOK, "explain", "account/alice", "k", "open", "--json")); e.Verdict != verdictConflict {
		t.Errorf("%+v", e)
	}
	if e := decoded[explanation](t, p.verb(exitOK, "explain", "account/alice", "no", "--json")); e.Outcome == nil || e.Outcome.Code != "insufficient_funds" {
		t.Errorf("%+v", e)
	}
	if e := decoded[explanation](t, p.verb(exitUnknown, "explain", "account/alice", "never", "--json")); e.Verdict != verdictNew || e.Outcome != nil {
		t.Errorf("%+v", e)
	}
	// The same call, waited for this time.
	if got := p.verb(exitOK, "call", "account/alice", "transfer", `{"to":"bob","cents":1}`, "--key", "t"); got == "" {
		t.Error("no reply")
	}
	keys := make(map[string]string)
	for line := range strings.Lines(p.verb(exitOK, "keys", "account/alice", "--json")) {
		o := decoded[client.Outcome](t, line)
		keys[o.Key] = o.Status
	}
	if fmt.Sprint(keys) != "map[k:done no:rejected t:done]" {
		t.Error(keys)
	}
	if got := p.verb(exitOK, "delete", "account/bob"); got != "account/bob is deleted\n" {
		t.Error(got)
	}
	p.verb(exitNotDone, "delete", "account/bob")
	p.verb(exitOK, "explain", "account/alice", "t")
}

// More agents than a page has.
func TestVerbList(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	c, err := client.New(p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	requests := make([]client.Request, 1101)
	for i := range requests {
		requests[i] = client.Request{Agent: fmt.Sprintf("account/a/%d", i), Action: "credit", Body: json.RawMessage(`{"cents":1}`)}
		want[requests[i].Agent] = true
	}
	for _, a := range c.Batch(t.Context(), requests) {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	lines := 0
	for line := range strings.Lines(p.verb(exitOK, "list", "account", "--json")) {
		a := decoded[client.AgentEntry](t, line)
		if lines++; a.Version != 1 || !want[a.Agent] {
			t.Errorf("%+v", a)
		}
		delete(want, a.Agent)
	}
	if lines != len(requests) || len(want) != 0 {
		t.Errorf("%d lines, %d are missing", lines, len(want))
	}
	p.verb(exitNotDone, "list", "nothing")
}

// What is followed comes while it happens, and an interrupt is no failure.
func TestVerbChanges(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.mustPost("account/alice/open", "k1", `{"cents":5}`)
	tail := exec.CommandContext(t.Context(), binary, "changes", "account", "--json", "--from", "start", "--server", p.url)
	stderr := newOutput()
	tail.Stderr = stderr
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	seen := func(cents string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			c := decoded[client.Change](t, line)
			if c.Event == client.EventChange && c.Agent == "account/alice" && strings.Contains(string(c.State), cents) {
				return
			}
		}
	}
	seen(`"cents":5`)
	p.mustPost("account/alice/credit", "k2", `{"cents":2}`)
	seen(`"cents":7`)
	if err := tail.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
}

func TestVerbsOfOperatorsWithNothingToDo(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	for _, verb := range []string{"doubts", "dead"} {
		if got := p.verb(exitOK, verb, "--json"); got != "" {
			t.Error(got)
		}
		p.verb(exitNotDone, verb, "show", cannedID)
	}
	p.verb(exitNotDone, "doubts", "resolve", cannedID, "--not-done", "3-14")
	p.verb(exitNotDone, "dead", "retry", cannedID)
	p.verb(exitNotDone, "dead", "discard", cannedID)
	p.verb(exitNotDone, "effects", "run", "nothing", "--key", "k")
	p.verb(exitNotDone, "backup", "nightly") // no directory is configured
}

// A doubt and a dead letter are seen and settled, and the calls that wait for
// them are answered.
func TestVerbsOfOperators(t *testing.T) {
	t.Parallel()
	app, err := semel.Open(t.Context(), mem.New(), &semel.Config{MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	type none struct{}
	agent := semel.NewAgent[int](app, "test")
	ask := semel.NewEffect(app, "ask", func(context.Context, semel.EffectCall, string) (string, error) {
		return "", errors.New("the line went dead")
	})
	then := semel.Then(agent, "then", func(_ *int, _ *semel.Step, _ none, r semel.Result[string]) (string, error) { return r.Value, r.Err() })
	semel.On(agent, "ask", func(_ *int, s *semel.Step, _ none) (string, error) {
		ask.Ask(s, "please", then.With(none{}))
		return semel.Defer[string]()
	})
	semel.On(agent, "fail", func(*int, *semel.Step, none) (none, error) { return none{}, errors.New("no luck") })
	srv := httptest.NewServer(server.Handler(app, server.Options{Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() {
		srv.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	p := &process{t: t, url: srv.URL}

	type failed struct{ Error failureJSON }
	doubt := decoded[failed](t, p.verb(exitUnknown, "call", "test/a", "ask", "--key", "k", "--json")).Error
	if doubt.Kind != "unknown" || doubt.Code != "in_doubt" || doubt.Doubt == "" || doubt.Key != "k" {
		t.Fatalf("%+v", doubt)
	}
	if e := decoded[explanation](t, p.verb(exitOK, "explain", "test/a", "k", "--json")); e.Verdict != verdictWaits || e.Outcome.Doubt != doubt.Doubt {
		t.Errorf("%+v", e)
	}
	if d := decoded[client.Doubt](t, p.verb(exitOK, "doubts", "list", "--json")); d.ID != doubt.Doubt || d.Effect != "ask" || string(d.Request) != `"please"` || d.Reason == "" {
		t.Errorf("%+v", d)
	}
	p.verb(exitOK, "doubts", "show", doubt.Doubt)
	for range 2 { // the same again changes nothing
		if r := decoded[client.Resolved](t, p.verb(exitOK, "doubts", "resolve", doubt.Doubt, "--done", `"thanks"`, "--json")); r.Resolution != "done" || r.By == "" {
			t.Errorf("%+v", r)
		}
	}
	p.verb(exitNotDone, "doubts", "resolve", doubt.Doubt, "--failed", "no")
	if got := p.verb(exitOK, "call", "test/a", "ask", "--key", "k"); got != "\"thanks\"\n" {
		t.Error(got)
	}

	p.verb(exitOK, "call", "test/b", "fail", "--key", "k", "--async")
	dead := decoded[failed](t, p.verb(exitUnknown, "call", "test/b", "fail", "--key", "k", "--json")).Error
	if dead.Code != "dead" || dead.Dead == "" {
		t.Fatalf("%+v", dead)
	}
	if d := decoded[client.DeadLetter](t, p.verb(exitOK, "dead", "--json")); d.ID != dead.Dead || d.Action != "fail" || d.Key != "k" || !strings.Contains(d.Reason, "no luck") {
		t.Errorf("%+v", d)
	}
	p.verb(exitOK, "dead", "show", dead.Dead)
	p.verb(exitOK, "dead", "discard", dead.Dead)
	p.verb(exitRejected, "call", "test/b", "fail", "--key", "k")
}

// Without a server: the same verbs on the directory itself, a backup, and a
// store that is made of it.
func TestVerbsOnADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, copied, restored := filepath.Join(dir, "data"), filepath.Join(dir, "copy"), filepath.Join(dir, "restored")
	p := start(t, data)
	p.mustPost("account/alice/open", "k", `{"cents":5}`)
	if got := semelRun(t, "get", "account/alice", "--data", data); got.code != exitNotDone || !strings.Contains(got.errors, "--server") {
		t.Errorf("a directory that a server has open: %+v", got)
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	on := func(dir string, code int, args ...string) string {
		t.Helper()
		got := semelRun(t, append(args, "--data", dir)...)
		if got.code != code {
			t.Errorf("%v: exit code %d, want %d\n%s%s", args, got.code, code, got.out, got.errors)
		}
		return got.out
	}
	if got := decoded[callJSON](t, on(data, exitOK, "call", "account/alice", "open", `{"cents":5}`, "--key", "k", "--json")); !got.Replayed {
		t.Errorf("%+v", got)
	}
	on(data, exitRejected, "call", "account/alice", "debit", `{"cents":6}`, "--key", "no")
	on(data, exitNotDone, "call", "account/alice", "open", `{"cents":6}`, "--key", "k")
	if got := on(data, exitOK, "backup", copied, "--json"); got != fmt.Sprintf("{\"backup\":%q}\n", copied) {
		t.Error(got)
	}
	on(data, exitNotDone, "backup", copied) // there is one
	if got := semelRun(t, "restore", copied, restored, "--json"); got.code != exitOK || got.out != fmt.Sprintf("{\"backup\":%q,\"restored\":%q}\n", copied, restored) {
		t.Errorf("%+v", got)
	}
	if got := semelRun(t, "restore", copied, restored); got.code != exitNotDone || !strings.Contains(got.errors, "not empty") {
		t.Errorf("%+v", got)
	}
	if got := decoded[callJSON](t, on(restored, exitOK, "call", "account/alice", "open", `{"cents":5}`, "--key", "k", "--json")); !got.Replayed {
		t.Errorf("%+v", got)
	}
	if e := decoded[explanation](t, on(restored, exitOK, "explain", "account/alice", "k", "open", `{"cents":5}`, "--json")); e.Verdict != verdictReplay {
		t.Errorf("%+v", e)
	}
	on(restored, exitOK, "list", "account")
}

// The environment says whom to ask, and standard input what.
func TestVerbsByTheEnvironment(t *testing.T) {
	p := start(t, filepath.Join(t.TempDir(), "data"))
	cmd := exec.CommandContext(t.Context(), binary, "call", "account/alice", "credit", "-", "--key", "k")
	cmd.Env = append(cmd.Environ(), "SEMEL_SERVER="+p.url, "SEMEL_TOKEN=unused")
	cmd.Stdin = strings.NewReader(`{"cents":5}`)
	if out, err := cmd.Output(); err != nil || string(out) != `{"cents":5}`+"\n" {
		t.Errorf("%s %v", out, err)
	}
}

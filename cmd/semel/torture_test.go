package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/torture/check"
)

// tortured runs a torture and returns its report, its exit code and all that it
// printed.
func tortured(t *testing.T, args ...string) (r check.Report, code int, printed string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"torture", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("exit code %d, %v: %.500q\n%s", code, err, stdout.String(), stderr.String())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("rerun: semel torture %s --seed %d", strings.Join(args, " "), r.Manifest.Seed)
			for _, v := range r.Violations {
				t.Logf("%s: %s", v.Code, v.Message)
			}
		}
	})
	return r, code, stdout.String() + stderr.String()
}

// FAULTS 1, 2, 3, 16, 17, 25, 64: under kills, pauses, duplicates and a network
// that nobody should trust, judged from outside, nothing is lost and nothing done
// twice; and the token is in nothing that is written.
func TestTorture(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	dir, token := filepath.Join(t.TempDir(), "run"), server.NewToken()
	r, code, printed := tortured(t, "--operations", "5000", "--kills", "20", "--token", token, "--dir", dir)
	if code != exitOK || r.Verdict != check.Clean {
		t.Fatalf("exit code %d, verdict %s, %q", code, r.Verdict, r.Lacking)
	}
	if c := r.Counts; c.Operations < 5000 || c.Faults[check.FaultKill] < 20 || c.Undecided != 0 || c.Doubted[check.Ask] == 0 || c.Unknown == 0 {
		t.Errorf("the counts are %+v", c)
	}
	for _, policy := range []string{check.Keyed, check.Probe, check.AtMostOnce} {
		if n := r.Counts.Doubted[policy]; n > 0 {
			t.Errorf("%d effects of the policy %s were in doubt", n, policy)
		}
	}
	// The files alone are judged the same.
	again, err := exec.Command(binary, "torture", "check", dir, "--json").Output()
	if err != nil || !strings.Contains(string(again), `"verdict":"clean"`) {
		t.Errorf("%v: %.500s", err, again)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "page.html")); err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("the page: %v", err)
	}
	if strings.Contains(printed, token) {
		t.Error("the token was printed")
	}
	files := 0
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		b, err := os.ReadFile(name)
		if bytes.Contains(b, []byte(token)) {
			t.Errorf("the token is in %s", name)
		}
		return err
	})
	if err != nil || files < 8 {
		t.Errorf("%d files were looked at: %v", files, err)
	}
	// What is doctored is refused: the last effect of the ledger happened twice.
	ledger := filepath.Join(dir, "ledger.jsonl")
	doubleLine(t, ledger, `"type":"effect"`)
	out, err := exec.Command(binary, "torture", "check", dir).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "VIOLATION effect_doubled") || !strings.Contains(string(out), "ledger.jsonl:") {
		t.Errorf("%v: %.2000s", err, out)
	}
}

// The bank invariant: transactions among 100 accounts, under kills, duplicates and
// lost replies. Every read of all accounts has the total, nobody waits for ever, and
// nothing is held or open at the end.
func TestTortureTransactions(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	r, code, printed := tortured(t, "--transactions", "100%", "--operations", "200", "--kills", "4", "--clients", "8")
	tx := r.Counts.Transactions
	if code != exitOK || r.Verdict != check.Clean || tx == nil {
		t.Fatalf("exit code %d, verdict %s, %q\n%.3000s", code, r.Verdict, r.Lacking, printed)
	}
	if tx.Accounts != 100 || tx.Committed < 120 || tx.Aborted["insufficient_funds"] == 0 || tx.Reads == 0 || tx.Waits["moved"].P99 == 0 || tx.Over == 0 {
		t.Errorf("the transactions are %+v", tx)
	}
	if n := tx.Aborted["timeout"]; n > 0 {
		t.Errorf("%d transactions waited until their time was over: is it a deadlock?", n)
	}
	t.Logf("%+v", tx)
}

// doubleLine writes the last line with a text twice, and keeps the count of lines
// right.
func doubleLine(t *testing.T, name, text string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(lines[i], text) {
			lines = append(lines[:i], append([]string{lines[i]}, lines[i:]...)...)
			break
		}
	}
	for i, line := range lines {
		var end check.Record
		if json.Unmarshal([]byte(line), &end) == nil && end.Type == check.End {
			end.Lines++
			last, err := json.Marshal(end)
			if err != nil {
				t.Fatal(err)
			}
			lines[i] = string(last) + "\n"
		}
	}
	if err := os.WriteFile(name, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A server that runs already is tortured without kills, unless one says how.
func TestTortureOfATarget(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	p := start(t, t.TempDir())
	r, code, _ := tortured(t, "--target", p.url, "--operations", "300", "--clients", "4")
	if code != exitOK || r.Verdict != check.Clean || r.Counts.Faults[check.FaultKill] != 0 || r.Counts.ByKind[check.OpEffect] != 0 {
		t.Errorf("exit code %d, verdict %s %q, %+v", code, r.Verdict, r.Lacking, r.Counts)
	}
}

// What somebody else asked for is none of a torture's business: an effect of the
// target's own that is in doubt stays so, and is not called again.
func TestTortureLeavesTheDoubtsOfATarget(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	var calls atomic.Int32
	provider := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer provider.Close()
	ledger := fixedPort(t, rand.New(rand.NewPCG(rand.Uint64(), 1)))
	config := filepath.Join(t.TempDir(), "semel.yaml")
	text := fmt.Sprintf(`effects:
  charge: {url: %q, policy: ask, timeout: 1s, allow_private: true}
  torture-ask: {url: %q, policy: ask, timeout: 1s, allow_private: true}
`, provider.URL, "http://"+ledger+"/effects/ask")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, t.TempDir(), "--config", config)
	c, err := client.New(p.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	// It looks as if it were the torture's.
	if _, err := c.Effect(t.Context(), "charge", "customer-17", json.RawMessage(`{"op":"customer-17","cents":500,"how":"done"}`)); !errors.Is(err, semel.ErrInDoubt) {
		t.Fatalf("the effect is not in doubt: %v", err)
	}
	r, code, _ := tortured(t, "--target", p.url, "--effects", "ask", "--ledger", ledger, "--operations", "600", "--clients", "4")
	if code != exitOK || r.Verdict != check.Clean || r.Counts.Effects[check.Ask] == 0 || r.Counts.Doubts["done"] == 0 {
		t.Errorf("exit code %d, verdict %s %q, %+v", code, r.Verdict, r.Lacking, r.Counts)
	}
	var left []string
	for doubt, err := range c.Doubts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, doubt.Effect)
	}
	if len(left) != 1 || left[0] != "charge" || calls.Load() != 1 {
		t.Errorf("in doubt are %q; it was called %d times", left, calls.Load())
	}
}

// With a command that kills it and starts it again, a target is killed too.
func TestTortureKillsATarget(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("without a shell there is no --kill-with")
	}
	dir := t.TempDir()
	addr := fixedPort(t, rand.New(rand.NewPCG(rand.Uint64(), 0)))
	script := filepath.Join(dir, "again")
	text := fmt.Sprintf("kill -9 $(cat %[1]s/pid)\n%[2]s serve --data %[1]s/data --listen %[3]s </dev/null >/dev/null 2>&1 & echo $! > %[1]s/pid\n", dir, binary, addr)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--listen", addr)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(dir, "pid")
	if err := os.WriteFile(pid, fmt.Append(nil, server.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		last, err := os.ReadFile(pid)
		if err != nil {
			t.Error(err)
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(last)))
		if err != nil {
			t.Error(err)
			return
		}
		if p, err := os.FindProcess(n); err == nil {
			_ = p.Kill()
		}
		_ = server.Wait()
	})
	r, code, _ := tortured(t, "--target", "http://"+addr, "--kill-with", sh+" "+script, "--kills", "2", "--operations", "300", "--clients", "4")
	if code != exitOK || r.Verdict != check.Clean || r.Counts.Faults[check.FaultKill] != 3 {
		t.Errorf("exit code %d, verdict %s %q, %+v", code, r.Verdict, r.Lacking, r.Counts)
	}
}

// Whoever interrupts a torture, or kills it, leaves nobody behind: neither clients
// nor the server, which would keep its directory locked.
func TestTortureLeavesNobodyBehind(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]os.Signal{"interrupted": os.Interrupt, "killed": os.Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "run")
			cmd := exec.Command(binary, "torture", "--dir", dir, "--duration", "10m", "--kills", "0")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(time.Minute)
			within := func(what string, happened func() bool) {
				t.Helper()
				for !happened() {
					if time.Now().After(deadline) {
						t.Fatalf("%s did not happen", what)
					}
					time.Sleep(10 * time.Millisecond) // nothing tells
				}
			}
			grown := func() bool {
				info, err := os.Stat(filepath.Join(dir, "client-0.jsonl"))
				return err == nil && info.Size() > 0
			}
			within("the load", grown)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // how is in its state
			if code := cmd.ProcessState.ExitCode(); name == "interrupted" && code != exitInconclusive {
				t.Errorf("exit code %d", code)
			}
			within("the end of the server", func() bool {
				return exec.Command(binary, "list", "account", "--limit", "1", "--data", filepath.Join(dir, "data")).Run() == nil
			})
			within("the end of the clients", func() bool {
				b, err := os.ReadFile(filepath.Join(dir, "client-0.jsonl"))
				return err == nil && bytes.Contains(b, []byte(`"type":"end"`))
			})
			// What was played can be judged; that it was not all is said.
			if m := manifest(t, dir); m.Finished || (m.Failed != "") != (name == "interrupted") || len(m.Files) < 4 {
				t.Errorf("the manifest is %+v", m)
			}
		})
	}
}

func manifest(t *testing.T, dir string) (m check.Manifest) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, check.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// A server that does not start again after a kill leaves a history that says so,
// and that is judged.
func TestTortureOfAServerThatDoesNotStartAgain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("the server that starts once is a script")
	}
	once := filepath.Join(t.TempDir(), "once")
	text := fmt.Sprintf("[ -e %[1]s.was ] && exit 7\ntouch %[1]s.was\nexec %[2]s serve \"$@\"\n", once, binary)
	if err := os.WriteFile(once, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	r, code, printed := tortured(t, "--exec", sh+" "+once+" --config {config} --data {data} --listen {addr}", "--dir", dir, "--operations", "300", "--kills", "2", "--clients", "4")
	if m := manifest(t, dir); m.Finished || m.Failed != check.FailedRestart || m.Took == 0 {
		t.Errorf("the manifest is %+v", m)
	}
	if code == exitOK || r.Verdict == check.Clean || r.Counts.Faults[check.FaultKill] != 1 || r.Counts.Done == 0 || !strings.Contains(printed, check.FailedRestart) {
		t.Errorf("exit code %d, verdict %s, %+v\n%s", code, r.Verdict, r.Counts, printed)
	}
}

// A page that cannot be written hides no violation.
func TestTortureCheckTellsTheVerdictFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const key = `"key":"k","op":"credit","agent":"account/a","cents":1,"print":"p"`
	for name, text := range map[string]string{
		check.ManifestFile: `{"version":1,"run":"t","took_ns":9,"finished":true,"files":["client-0.jsonl"],"goal":{}}`,
		// One call is done twice, by two answers that are no replays.
		"client-0.jsonl": `{"type":"invoke","at":1,"id":"0.1",` + key + `}
{"type":"ok","at":2,"id":"0.1","status":200,"reply":"r","balance":1}
{"type":"invoke","at":3,"id":"0.2",` + key + `}
{"type":"ok","at":4,"id":"0.2","status":200,"reply":"r","balance":1}
{"type":"end","at":5,"lines":4}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(binary, "torture", "check", dir, "--html", filepath.Join(dir, "none", "page.html"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	if !strings.Contains(stdout.String(), "VIOLATION executed_twice") || !strings.Contains(stderr.String(), "page.html") {
		t.Errorf("%s\n%s", stdout.String(), stderr.String())
	}
}

func TestTortureSelfTest(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "torture", "check", "--self-test").Output()
	if err != nil || strings.Contains(string(out), "WRONG") || strings.Count(string(out), "right") < 30 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Exit code 2 is for everything that proves nothing: mistakes in the command line,
// a server that does not start, no history.
func TestTortureProvesNothing(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--operations", "0"}, {"--duplicates", "200%"}, {"--dir", full}, {"--target", "http://127.0.0.1:1", "--kills", "3"},
		{"--exec", "false"}, {"--exec", filepath.Join(full, "none")}, {"check"}, {"check", full}, {"check", "--self-test", full},
	} {
		cmd := exec.Command(binary, append([]string{"torture"}, args...)...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitInconclusive || len(out) == 0 {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

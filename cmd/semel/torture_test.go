package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

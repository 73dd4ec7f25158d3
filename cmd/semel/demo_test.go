package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/demo"
)

// played runs the demo and returns its report and exit code.
func played(t *testing.T, args ...string) (r demo.Report, code int) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"demo", "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %q\n%s", err, stdout.String(), stderr.String())
	}
	return r, code
}

// ledger counts the charges of each invoice in the provider's file, without the
// demo's own eyes.
func ledgerOf(t *testing.T, dir string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		var c struct{ Invoice string }
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		count[c.Invoice]++
	}
	return count
}

// FAULTS 1, 2, 3: killed at each of the worst instants, every payment is made
// once, by the provider's own ledger.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	r, code := played(t, "--payments", "10", "--seed", "7", "--keep", dir)
	if code != exitOK || r.Verdict != "clean" || r.Kills != 8 || r.Seed != 7 || len(r.Payments) != 10 || len(r.Story) != 8 {
		t.Fatalf("exit code %d, %+v", code, r)
	}
	ledger := ledgerOf(t, dir)
	for _, p := range r.Payments {
		want := 1
		if p.Way == demo.Debit {
			want = 0
		}
		if ledger[p.ID] != want || p.Charged != want {
			t.Errorf("%s, a %s, is %d times in the ledger, and the report says %d", p.ID, p.Way, ledger[p.ID], p.Charged)
		}
	}
	if a := r.Account; a.Debits == 0 || a.Balance != a.Opened-a.Debited {
		t.Errorf("the account is %+v", a)
	}
	settled := make(map[string]string)
	for _, d := range r.Doubts {
		settled[d.Payment] = d.Resolution
	}
	for _, s := range r.Story {
		switch {
		case s.Killed == demo.After && !strings.Contains(s.Then, "byte for byte"):
			t.Errorf("killed %s, %s: %s", s.Killed, s.Payment, s.Then)
		case s.Way == demo.Ask && s.Killed == demo.Charged && settled[s.Payment] != "done",
			s.Way == demo.Ask && s.Killed == demo.Arrived && settled[s.Payment] != "not_done":
			t.Errorf("killed %s, %s was settled as %q", s.Killed, s.Payment, settled[s.Payment])
		case s.CutOff == 0 && s.Killed != demo.Random: // which may come when all was said
			t.Errorf("killed %s: no connection broke", s.Killed)
		}
	}
}

// The verdict can fail: a provider that charges twice is found, and told by the
// exit code. What it did can be looked at.
func TestDemoFindsADoubleCharge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, code := played(t, "--payments", "8", "--break", "--keep", dir)
	if code != exitNotDone || r.Verdict != "violated" || len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "charged 2 times") {
		t.Errorf("exit code %d, verdict %q, violations %q", code, r.Verdict, r.Violations)
	}
	twice := 0
	for _, n := range ledgerOf(t, dir) {
		if n == 2 {
			twice++
		}
	}
	if twice != 1 {
		t.Errorf("%d payments are twice in the ledger", twice)
	}
}

func TestDemoForPeople(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary, "demo", "--payments", "3").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"killed before the commit", "killed after the commit, before the reply", "killed after the charge, before its record",
		"ITS LEDGER", "charged once, ch-001", "CLEAN  3 kills, 3 payments",
	} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%q is not told:\n%s", want, out)
		}
	}
	if bytes.Contains(out, []byte("\x1b")) {
		t.Errorf("there are escapes, and no terminal:\n%q", out)
	}
}

func TestDemoUsage(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--payments", "0"}, {"--payments", "1001"}, {"--seed", "-1"}, {"--keep", full}, {"more"}} {
		var exit *exec.ExitError
		if err := exec.Command(binary, append([]string{"demo"}, args...)...).Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
			t.Errorf("demo %v: %v", args, err)
		}
	}
}

// An interrupt ends everything, and leaves nothing.
func TestDemoIsInterrupted(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	cmd := exec.Command(binary, "demo", "--payments", "1000")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), " 2 ") { // the second scene is told
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until its end
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitNotDone {
		t.Errorf("it ended with %v", err)
	}
	if files, err := os.ReadDir(tmp); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// mutants are servers with a planted bug, and the violations of which each must
// show one.
var mutants = []struct {
	name, file, old, new string
	codes                []string
	args                 []string // besides the usual ones
}{
	{"an effect of the policy ask is retried after a crash", "internal/core/effect_recover.go",
		"\t\te.reason = lostCall\n\t\ts.doubt(e)\n", "\t\te.status = effectAsked\n\t\ts.enqueue(e)\n",
		[]string{check.CodeBlindCall}, nil},
	{"an effect of the policy ask is retried when no answer came", "internal/core/effect.go",
		"\tdefault:\n\t\ts.doubt(e)\n\t}\n}\n\n// probedNotDone", "\tdefault:\n\t\te.status = effectAsked\n\t\ts.effectLater(e, s.backoff(e.id, e.attempts))\n\t}\n}\n\n// probedNotDone",
		[]string{check.CodeBlindCall}, nil},
	{"the outcome of what was deferred is not recorded", "internal/core/run.go",
		"\t\ts.recordOutcome(key, o)\n\t}\n\tif was.ReplyTo", "\t}\n\tif was.ReplyTo",
		[]string{check.CodeExecutedTwice, check.CodeOutcomeLost}, nil},
	{"answers leave before their unit is written", "internal/core/submit.go",
		"\tif after <= s.durable {\n\t\tafter = 0\n\t}\n\tif a.Replayed", "\tafter = 0\n\tif a.Replayed",
		[]string{check.CodeExecutedTwice, check.CodeNotLinearizable, check.CodeReplyChanged}, nil},
	{"another payload gets the recorded reply", "internal/core/submit.go",
		"if o.Fingerprint != env.msg.Fingerprint {", "if false {",
		[]string{check.CodeConflictMissing}, nil},
	{"another payload joins the call that is in flight", "internal/core/submit.go",
		"if o.Fingerprint != env.msg.Fingerprint {", "if o.Fingerprint != env.msg.Fingerprint && o.Status != message.StatusInFlight {",
		[]string{check.CodeConflictMissing}, nil},
	{"another payload joins a repetition that is being answered", "internal/core/submit.go",
		"if env.msg.Key != \"\" && other.msg.Fingerprint == env.msg.Fingerprint {", "if env.msg.Key != \"\" {",
		[]string{check.CodeConflictMissing}, nil},
	{"a prepared agent takes other messages", "internal/core/mailbox.go",
		"return decides(m) || k.until", "return m.Branch == nil || decides(m) || k.until",
		[]string{check.CodeNotSerializable}, transactions},
	{"a promise is forgotten when the server ends", "internal/core/cell.go",
		"c.exists, c.promise = row.version > 0, clone(row.prepared)", "c.exists, c.promise = row.version > 0, nil",
		[]string{check.CodeUpdateLost, check.CodeBalanceUnknown, check.CodeTotalChanged, check.CodeStateMismatch}, fewer},
	{"an aborted promise is kept", "internal/core/prepared.go",
		"\tcase b.Phase == message.Commit:\n\t\treturn done, s.keep", "\tcase b.Phase != message.Prepare:\n\t\treturn done, s.keep",
		[]string{check.CodeUpdateLost, check.CodeBalanceUnknown, check.CodeTotalChanged, check.CodeStateMismatch}, fewer},
	{"nobody is told of an abort", "twopc/machine.go",
		"\tcase b.Vote == VoteNone, // it was never asked\n", "\tcase !commit && !b.outside(), b.Vote == VoteNone,\n",
		[]string{check.CodeAccountHeld, check.CodeTransactionLeft}, fewer},
	{"the decision is forgotten before all were told", "twopc/machine.go",
		"\tb.Telling, b.Again = true, time.Time{}\n\tb.Attempts++\n\tif !b.outside() {\n\t\treturn []order{{kind: tellAgent, branch: i, commit: commit}}", "\tb.Again = time.Time{}\n\tb.Attempts++\n\tif !b.outside() {\n\t\tif b.Acked = now; i > 0 {\n\t\t\treturn nil\n\t\t}\n\t\treturn []order{{kind: tellAgent, branch: i, commit: commit}}",
		[]string{check.CodeAccountHeld, check.CodeTransactionLeft, check.CodeUpdateLost, check.CodeTotalChanged, check.CodeStateMismatch}, fewer},
	{"a no is taken for a yes", "twopc/answers.go",
		"\t\th.refusal.Branch = i + 1\n\t\treturn t.decide(Aborted, h.refusal.bounded(), now)\n\t}\n", "\t}\n",
		[]string{check.CodeReplyMalformed, check.CodeTotalChanged}, []string{"--transactions", "80%", "--operations", "400", "--kills", "2"}},
}

// transactions have a bank played, too. Some bugs have it stand still for a while, so
// little of it is enough of those.
var (
	transactions = []string{"--transactions", "60%", "--operations", "4000"}
	fewer        = []string{"--transactions", "80%", "--operations", "60", "--kills", "2", "--clients", "8"}
)

// mutant builds the server with a planted bug; the files on disk stay as they are.
func mutant(t *testing.T, file, old, changed string) string {
	t.Helper()
	name, err := filepath.Abs(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%s has not just once what is to be changed: %q", file, old)
	}
	dir := t.TempDir()
	instead, overlay, out := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "semel")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{name: instead}})
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{instead: []byte(strings.Replace(string(text), old, changed, 1)), overlay: replace} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", out, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return out
}

// caught tortures a server with a planted bug and returns what was found.
func caught(t *testing.T, server string, more ...string) (codes []string) {
	t.Helper()
	began := time.Now()
	r, code, _ := tortured(t, append([]string{"--exec", server + " serve --config {config} --data {data} --listen {addr}",
		"--operations", "8000", "--kills", "20", "--dir", filepath.Join(t.TempDir(), "run")}, more...)...)
	took := time.Since(began)
	if code != 1 || r.Verdict != check.Violated {
		t.Errorf("the planted bug was not found: exit code %d, verdict %s %q", code, r.Verdict, r.Lacking)
	}
	if took > 2*time.Minute && len(more) == 0 || took > 4*time.Minute { // a transaction waits for half a minute before it is given up
		t.Errorf("it took %v", took)
	}
	for code := range r.Broken {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	t.Logf("found in %v: %v", took.Round(time.Second), r.Broken)
	if len(r.Violations) > 0 {
		v := r.Violations[0]
		t.Logf("such as %s: %s", v.Code, v.Message)
		for _, e := range v.Evidence {
			t.Logf("    %s:%d %s", e.File, e.Line, e.Text)
		}
	}
	return codes
}

// A server with a planted bug is caught within two minutes. SEMEL_MUTANT names a
// binary that was built elsewhere.
func TestTortureCatchesAPlantedBug(t *testing.T) {
	if server := os.Getenv("SEMEL_MUTANT"); server != "" {
		caught(t, server)
		return
	}
	if os.Getenv("SEMEL_SOAK") == "" {
		t.Skip("SEMEL_SOAK=1 builds servers with planted bugs; SEMEL_MUTANT=FILE takes one")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			codes := caught(t, mutant(t, m.file, m.old, m.new), m.args...)
			if !slices.ContainsFunc(codes, func(code string) bool { return slices.Contains(m.codes, code) }) {
				t.Errorf("it was found for %q, not for one of %q", codes, m.codes)
			}
		})
	}
}

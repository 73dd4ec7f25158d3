package check

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The judge is judged: what is clean is clean, and each doctored history is
// refused for the reason for which it was doctored.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	all, err := SelfTest()
	if err != nil {
		t.Fatal(err)
	}
	doctored, codes := 0, make(map[string]bool)
	for _, r := range all {
		codes[verdict(r.Want)] = true
		if verdict(r.Want) == Violated {
			doctored++
		}
		if !r.OK {
			t.Errorf("%s: found %q, want %s", r.Name, r.Got, r.Want)
		}
	}
	if doctored < 30 {
		t.Errorf("only %d histories are doctored", doctored)
	}
	if !codes[Inconclusive] {
		t.Error("nothing is inconclusive")
	}
}

// Every reason for which a history can be refused is tried, but one: that the
// search for an order takes too long.
func TestEveryCodeIsTried(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "report.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{CodeUnclear: true}
	for _, c := range cases {
		tried[strings.TrimPrefix(c.want, unproved(""))] = true
	}
	codes := 0
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Code") {
			return true
		}
		codes++
		if code, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value); !tried[code] {
			t.Errorf("no doctored history is refused for %s", code)
		}
		return true
	})
	if codes < 30 {
		t.Errorf("only %d codes were found", codes)
	}
}

// A doctored history shows the least that contradicts itself, and says where.
func TestEvidence(t *testing.T) {
	t.Parallel()
	h := cleanHistory()
	h.arrives(Effect, "ask", Ask, ToldDone)
	r, err := judgeSource(h.open, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"VIOLATION effect_doubled: the effect ask (ask, 7 cents) took effect 2 times", `client-0.jsonl:`, `"receipt":"paid for ask"`,
		`ledger.jsonl:`, `"told":"done"`, "VIOLATED  2 times",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, text.String())
		}
	}
}

// A balance that is wrong shows the operations that left it.
func TestStateEvidence(t *testing.T) {
	t.Parallel()
	h := cleanHistory()
	h.record(typed(State, ""), 0).Balance = ptr(1)
	r, err := judgeSource(h.open, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Violations) != 1 || len(r.Violations[0].Evidence) < 7 || !strings.Contains(r.Violations[0].Evidence[1].Text, `"key":"c1"`) {
		t.Errorf("it shows %+v", r.Violations)
	}
}

// A history that should be whole, and of which a file is not there, is none.
func TestFileIsMissing(t *testing.T) {
	t.Parallel()
	h := cleanHistory()
	delete(h.files, fileLedger)
	if r, err := judgeSource(h.open, Options{}); err == nil {
		t.Errorf("the verdict is %s", r.Verdict)
	}
}

// The page has the violations and needs nothing else; what a server wrote does
// not get out of its place.
func TestPage(t *testing.T) {
	t.Parallel()
	h := cleanHistory()
	h.answer("c1", 1).Text = `{"cents":"<script>alert(1)</script>"}`
	r, err := judgeSource(h.open, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"The promise was broken", CodeConflictLeak, "\\u003cscript", `<rect class="kill"`, `<rect class="pause"`, "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	for _, never := range []string{"<script", "http://", "https://", "src=", "<link"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

// The checker shares no code with what it judges.
func TestItStandsAlone(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") && p != "github.com/anishathalye/porcupine" {
				t.Errorf("%s imports %s", name, p)
			}
		}
	}
}

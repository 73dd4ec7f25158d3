package check

import (
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
		if codes[r.Want] = true; r.Want != Clean && r.Want != Inconclusive {
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

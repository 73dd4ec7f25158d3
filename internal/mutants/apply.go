package mutants

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Mutated is the mutant's file with the bug in it. It is an error if the text
// that is to be replaced does not occur exactly once, or if what comes out is
// no Go.
func (m *Mutant) Mutated(root string) ([]byte, error) {
	path := filepath.Join(root, filepath.FromSlash(m.File))
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	if n := strings.Count(string(b), m.Old); n != 1 {
		return nil, fmt.Errorf("mutant %s: its old text occurs %d times in %s, and must occur once:\n%s", m.Name, n, m.File, m.Old)
	}
	mutated := strings.Replace(string(b), m.Old, m.New, 1)
	if _, err := parser.ParseFile(token.NewFileSet(), m.File, mutated, parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return []byte(mutated), nil
}

// overlay writes what `go build -overlay` reads, and the changed file beside it,
// into a directory. It returns the file's name.
func (m *Mutant) overlay(root, dir string) (string, error) {
	mutated, err := m.Mutated(root)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, "mutated.go.txt")
	if err := os.WriteFile(changed, mutated, 0o600); err != nil {
		return "", err
	}
	abs, err := filepath.Abs(filepath.Join(root, filepath.FromSlash(m.File)))
	if err != nil {
		return "", err
	}
	doc, err := json.Marshal(map[string]map[string]string{"Replace": {abs: changed}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, doc, 0o600)
}

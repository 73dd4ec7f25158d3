package mutants

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Every mutant compiles: what the compiler refuses would not be found, it would
// not be there. Types are checked here, without building a hundred packages.
func TestMutantsCompile(t *testing.T) {
	t.Parallel()
	byDir := make(map[string][]Mutant)
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	for _, m := range All() {
		dir := path.Dir(m.File)
		if byDir[dir] == nil {
			args = append(args, "./"+dir)
		}
		byDir[dir] = append(byDir[dir], m)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.Bytes())
	}
	exports := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[name] = file
	}
	set := token.NewFileSet()
	imp := importer.ForCompiler(set, "gc", func(name string) (io.ReadCloser, error) {
		if exports[name] == "" {
			return nil, fmt.Errorf("%s is not built", name)
		}
		return os.Open(exports[name])
	})
	for dir, mutants := range byDir {
		files, err := sources(set, filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		check := func(files map[string]*ast.File) error {
			all := make([]*ast.File, 0, len(files))
			for _, f := range files {
				all = append(all, f)
			}
			_, err := (&types.Config{Importer: imp}).Check(dir, set, all, nil)
			return err
		}
		if err := check(files); err != nil {
			t.Fatalf("%s as it is: %v", dir, err)
		}
		for _, m := range mutants {
			b, err := m.Mutated(root)
			if err != nil {
				t.Error(err)
				continue
			}
			f, err := parser.ParseFile(set, m.File, b, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			was := files[path.Base(m.File)]
			files[path.Base(m.File)] = f
			if err := check(files); err != nil {
				t.Errorf("mutant %s does not compile: %v", m.Name, err)
			}
			files[path.Base(m.File)] = was
		}
	}
}

// sources are the files of a package that are built here, without its tests.
func sources(set *token.FileSet, dir string) (map[string]*ast.File, error) {
	cmd := exec.Command("go", "list", "-f", `{{join .GoFiles " "}}`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	files := make(map[string]*ast.File)
	for name := range strings.FieldsSeq(string(out)) {
		if files[name], err = parser.ParseFile(set, filepath.Join(dir, name), nil, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
	}
	return files, nil
}

package semel_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/semel-dev/semel"

// levels are the rooms of the house (docs/design.md): imports point to a lower
// level only. A directory without an entry belongs to its parent's.
var levels = map[string]int{
	"crdt": 0, "vclock": 0, "message": 0,
	"internal/core": 1, "internal/outbound": 1, "store": 1,
	"internal/engine": 2, "internal/migrate": 2,
	".":         3,
	"webeffect": 4, "saga": 4, "twopc": 4, "replica": 4, "agents": 4, "outbox": 4, "bridge": 4,
	"saga/declare": 5, // definitions out of the program's file, on top of sagas
	"server":       5, "client": 5, "gateway": 5,
	"cmd": 6, "examples": 6,
	// For tests and measurements only: they import anything, and nothing
	// but their like imports them.
	"semeltest": testLevel, "torture": testLevel, "internal/sim": testLevel, "bench": testLevel, "store/storetest": testLevel, "twopc/partytest": testLevel,
	"internal/demo": testLevel, "internal/child": testLevel, "internal/mutants": testLevel,
	"internal/need": testLevel, "internal/pgtest": testLevel,
	"internal/mariadbtest": testLevel, "internal/testserver": testLevel,
}

const testLevel = 100

func levelOf(dir string) (level int, known bool) {
	for d := dir; ; d = path.Dir(d) {
		if l, ok := levels[d]; ok {
			return l, d != "." || dir == "."
		}
		if d == "." {
			return 0, false
		}
	}
}

// mayImport says whether a package may import another one of the module.
func mayImport(from, to string) bool {
	f, _ := levelOf(from)
	t, _ := levelOf(to)
	switch {
	case f == testLevel:
		return true
	case strings.HasPrefix(to, "store/"):
		return f == 6 // a store is chosen by the program, and passed in
	case to == "bench", to == "internal/demo", to == "torture", to == "torture/check":
		return f == 6 // measuring, showing and proving are verbs of the program
	case strings.HasPrefix(from, "store/") && to == "store":
		return true
	case strings.HasPrefix(from, "outbox/") && to == "outbox":
		return true // its drivers and sinks, which its other users do without
	case strings.HasPrefix(from, "twopc/") && to == "twopc":
		return true // its participants, whose drivers its other users do without
	}
	return t < f
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	eachFile(t, ".", func(dir, file string, f *ast.File, _ *token.FileSet) {
		if _, known := levelOf(dir); !known {
			t.Errorf("%s: the package has no level; give it one in imports_test.go", dir)
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if p != module && !strings.HasPrefix(p, module+"/") {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
			if to == "" {
				to = "."
			}
			if !mayImport(dir, to) {
				t.Errorf("%s imports %s: imports point down only", file, to)
			}
		}
	})
}

// What the root and all it stands on may import from outside of the module.
// The library's user pays for what is imported.
func TestTheLibraryIsLight(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"github.com/zeebo/xxh3", "google.golang.org/protobuf/encoding/protowire",
		// The API of OpenTelemetry, which does nothing by itself; never its SDK.
		"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes",
		"go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/trace",
	}
	eachFile(t, ".", func(dir, file string, f *ast.File, _ *token.FileSet) {
		if l, _ := levelOf(dir); l > 3 || strings.HasPrefix(dir, "store/") {
			return
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			first, _, _ := strings.Cut(p, "/")
			if strings.Contains(first, ".") && !strings.HasPrefix(p, module) && !slices.Contains(allowed, p) {
				t.Errorf("%s imports %s", file, p)
			}
		}
	})
}

// The core can be simulated because it has no way to do anything but compute.
func TestTheCoreIsPure(t *testing.T) {
	t.Parallel()
	imports := []string{
		"bytes", "cmp", "encoding/binary", "errors", "fmt", "hash/crc32", "iter", "maps", "math", "math/bits", "runtime/debug",
		"slices", "sort", "strconv", "strings", "time", "unicode/utf8", "container/heap",
		module + "/message", "github.com/zeebo/xxh3", "google.golang.org/protobuf/encoding/protowire",
	}
	// Of package time, only what a Duration needs.
	timeNames := []string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}
	eachFile(t, "internal/core", func(dir, file string, f *ast.File, set *token.FileSet) {
		for _, imp := range f.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(imports, p) {
				t.Errorf("%s imports %s, which is not known to be pure", file, p)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			bad := ""
			switch n := n.(type) {
			case *ast.GoStmt:
				bad = "starts a goroutine"
			case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
				bad = "uses a channel"
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					bad = "uses a channel"
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && !slices.Contains(timeNames, n.Sel.Name) {
					bad = "uses time." + n.Sel.Name
				}
			}
			if bad != "" {
				t.Errorf("%s: %s", set.Position(n.Pos()), bad)
			}
			return true
		})
	})
}

// eachFile parses every file below dir that is not a test's.
func eachFile(t *testing.T, dir string, visit func(dir, file string, f *ast.File, set *token.FileSet)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file != dir && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		visit(filepath.ToSlash(filepath.Dir(file)), filepath.ToSlash(file), f, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatalf("no file below %s was read", dir)
	}
}

// The rule itself, on imports that must not be.
func TestImportRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{".", "internal/engine", true},
		{".", "store", true},
		{".", "store/pebble", false},
		{"server", "store/mem", false},
		{"cmd/semel", "store/pebble", true},
		{"store/mem", "store", true},
		{"store/mem", "store/pebble", false},
		{"store", "internal/core", false},
		{"internal/core", "store", false},
		{"internal/engine", ".", false},
		{"agents/ledger", ".", true},
		{"agents/ledger", "saga", false},
		{"server", "agents/ledger", true},
		{"message", "store", false},
		{"outbox/pgxtx", "outbox", true},
		{"outbox", "outbox/pgxtx", false},
		{"outbox/httpsink", "outbox/agentsink", false},
		{"twopc/postgres", "twopc", true},
		{"twopc", "twopc/postgres", false},
		{"twopc/web", "webeffect", false},
		{".", "semeltest", false},
		{"cmd/semel", "bench", true},
		{"server", "bench", false},
		{"cmd/semel", "internal/demo", true},
		{"server", "internal/demo", false},
		{"cmd/semel", "torture/check", true},
		{"client", "torture", false},
		{"cmd/semel", "internal/child", false},
	} {
		if got := mayImport(c.from, c.to); got != c.ok {
			t.Errorf("mayImport(%q, %q) = %v", c.from, c.to, got)
		}
	}
}

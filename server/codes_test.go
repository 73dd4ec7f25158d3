package server

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Every code that the system has must have a status.
func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "../message/fault.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		code, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		a, known := answers[message.Code(code)]
		if !known || a.status < 400 || a.title == "" {
			t.Errorf("code %q has no answer in codes.go", code)
		}
		return true
	})
	if n < 20 {
		t.Errorf("only %d codes were found", n)
	}
}

// No outcome under a key: there is nothing to be found, and nothing is proven.
func TestUnknownKeyIsUnknown(t *testing.T) {
	t.Parallel()
	p, a, private := problemOf(&semel.UnknownError{Code: message.CodeUnknownKey, Detail: "detail"})
	if a.status != 404 || p.Code != "unknown_key" || p.Kind != "unknown" || !p.Retryable || p.Detail != "detail" || private {
		t.Errorf("%+v", p)
	}
}

func TestErrorsThatAreNobodys(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("secret"), &semel.NotDoneError{Code: "no_such_code", Detail: "secret"}} {
		p, a, private := problemOf(err)
		if a.status != 500 || p.Code != "internal" || !private || strings.Contains(p.Detail, "secret") {
			t.Errorf("%v: %+v", err, p)
		}
	}
}

// Package shop is the test that docs/guides/testing.md shows (shop_test.go),
// and what keeps the two alike. It has tests only.
package shop

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/semeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blocks are the code blocks of the guide to testing, by their language.
func blocks(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/guides/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]string)
	for i, part := range strings.Split(string(page), "\n```") {
		if i%2 == 1 {
			language, text, _ := strings.Cut(part, "\n")
			all[language] = append(all[language], text+"\n")
		}
	}
	return all
}

// The test in the guide is the one beside this one, which passes.
func TestTheGuideHasThisTest(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("shop_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if got := blocks(t)["go"]; len(got) == 0 || got[0] != string(file) {
		t.Errorf("the first Go code of docs/guides/testing.md is not shop_test.go; it is\n%s", got)
	}
}

// failure keeps the first failure that the kit tells of a test.
type failure struct {
	t    *testing.T
	text string
}

func (f *failure) T() *testing.T       { return f.t }
func (f *failure) Helper()             {}
func (f *failure) Name() string        { return f.t.Name() }
func (f *failure) Logf(string, ...any) {}

func (f *failure) Errorf(form string, args ...any) {
	if f.text == "" {
		f.text = fmt.Sprintf(form, args...)
	}
}

// What the guide says that the kit says, if the bank does not deduplicate, is
// what it says.
func TestTheGuideHasThisFailure(t *testing.T) {
	f := &failure{t: t}
	semeltest.EveryCrash(f, func(r *semeltest.Run) {
		place := Register(r.App, testBank{r.World.Service("bank")})
		r.Call(place.Request("o-1", 500, semel.Key("k1")))
		r.Call(place.Request("o-2", 700, semel.Key("k2")))
	})
	said := strings.ReplaceAll(f.text, t.Name(), "TestShop") + "\n"
	if got := blocks(t)["text"]; len(got) == 0 || got[0] != said {
		t.Errorf("docs/guides/testing.md shows the failure\n%s\nand it is\n%s", got, said)
	}
}

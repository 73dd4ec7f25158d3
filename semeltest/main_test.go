package semeltest_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel/semeltest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/semel-dev/semel/semeltest.forEver"))
}

// recorder is a TB that takes note of what the kit says, on behalf of a test
// that does not fail by it.
type recorder struct {
	t  *testing.T
	mu sync.Mutex

	errors, logs []string
}

func record(t *testing.T) *recorder { return &recorder{t: t} }

func (r *recorder) T() *testing.T { return r.t }
func (r *recorder) Helper()       {}
func (r *recorder) Name() string  { return r.t.Name() }

func (r *recorder) Logf(form string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = append(r.logs, fmt.Sprintf(form, args...))
}

func (r *recorder) Errorf(form string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(form, args...))
}

// fails checks that the kit failed the test, with words that say why.
func (r *recorder) fails(words string) {
	r.t.Helper()
	if all := strings.Join(r.errors, "\n"); !regexp.MustCompile(words).MatchString(all) {
		r.t.Errorf("the kit should have said %q; it said:\n%s", words, all)
	}
	r.t.Logf("the kit said:\n%s", strings.Join(r.errors, "\n"))
}

var _ semeltest.TB = (*recorder)(nil)

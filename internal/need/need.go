// Package need says what a test does when something it needs is not installed:
// it is skipped, and says so, unless SEMEL_REQUIRE asks for that thing. CI sets
// SEMEL_REQUIRE, so that nothing is skipped there unseen.
package need

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Skip skips the test because the thing of that name is not there, or fails it
// if SEMEL_REQUIRE, a list of names with commas or spaces between, has the name.
func Skip(t testing.TB, name, why string) {
	t.Helper()
	if Required(name) {
		t.Fatalf("%s: %s, and SEMEL_REQUIRE asks for it", name, why)
	}
	t.Skipf("%s: %s; SEMEL_REQUIRE=%s makes this an error", name, why, name)
}

// Required says whether SEMEL_REQUIRE has the name.
func Required(name string) bool {
	names := strings.FieldsFunc(os.Getenv("SEMEL_REQUIRE"), func(r rune) bool { return r == ',' || r == ' ' })
	return slices.Contains(names, name)
}

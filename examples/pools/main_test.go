package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const want = `job-1: 4 gpus
job-1: 2 licences
job-2: nothing, pool/licences says insufficient_capacity
job-3: 4 gpus
job-3: 1 licences
gpus: 0 of 8 are free
licences: 0 of 3 are free
`

// The example prints what the guide says that it prints.
func TestPools(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out, filepath.Join(t.TempDir(), "data")); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("it printed\n%s", out.String())
	}
	guide, err := os.ReadFile("../../docs/guides/allocation.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), "\n```text\n"+want+"```\n") {
		t.Error("docs/guides/allocation.md shows something else")
	}
}

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
)

// asProgram makes the test binary the program.
const asProgram = "SEMEL_EXAMPLE_TRANSFER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(pgtest.Around(m).Run())
}

const (
	wantCrash = `order-1, 400 cents: paid
order-2, 5000 cents: refused, account/alice says insufficient_funds
the process ends: the last order is decided, and PostgreSQL has not heard of it
`
	wantNext = `found in PostgreSQL, prepared by a process that is gone: 1 transfer
order-1, 400 cents: paid
order-2, 5000 cents: refused, account/alice says insufficient_funds
order-3, 300 cents: paid
alice has 300, and the shop 700
`
)

// The example prints what the guide says that it prints: the process that ends
// between the decision and PostgreSQL, and the next one, which finishes it.
func TestTransfer(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Shared(t).Database(t)
	const prepared = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
	data := filepath.Join(t.TempDir(), "data")
	if out, code := program(t, "-dsn", dsn, "-data", data, "-crash"); out != wantCrash || code != 3 {
		t.Errorf("the first run ended with %d and printed\n%s", code, out)
	}
	if n := pgtest.Value(t, dsn, prepared); n != "1" {
		t.Errorf("%s transactions are prepared after the crash", n)
	}
	if out, code := program(t, "-dsn", dsn, "-data", data); out != wantNext || code != 0 {
		t.Errorf("the second run ended with %d and printed\n%s", code, out)
	}
	if n := pgtest.Value(t, dsn, prepared); n != "0" {
		t.Errorf("%s transactions are prepared in the end", n)
	}
	guide, err := os.ReadFile("../../docs/guides/transactions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{wantCrash, wantNext} {
		if !strings.Contains(string(guide), "\n```text\n"+want+"```\n") {
			t.Errorf("docs/guides/transactions.md does not show\n%s", want)
		}
	}
}

func program(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

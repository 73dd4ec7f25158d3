package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/semel-dev/semel"
)

// What was done is not "not done" because nobody could be told.
func TestResultsThatCannotBePrinted(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no device that is full:", err)
	}
	defer full.Close()
	url := canned(t)
	const done, accepted = "semel: it was done; only printing the result failed: ", "semel: it was accepted; only printing so failed: "
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"call account/alice credit {\"cents\":5} --key k", exitUnknown, done},
		{"call account/alice long --key k --async", exitUnknown, accepted},
		{"call account/alice debit --key k", exitRejected, "rejected (poor)"},
		{"effects run charge {} --key k", exitUnknown, done},
		{"delete account/alice", exitUnknown, done},
		{"doubts resolve " + cannedID + " --done 1", exitUnknown, done},
		{"dead retry " + cannedID, exitUnknown, done},
		{"dead discard " + cannedID, exitUnknown, done},
		{"backup nightly", exitUnknown, done},
		{"get account/alice", exitNotDone, ""},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			args := append(strings.Fields(c.args), append(more, "--server", url, "--token", "secret")...)
			cmd := exec.CommandContext(t.Context(), binary, args...)
			var errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = full, &errs
			var exit *exec.ExitError
			if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			// Exit code 3 prints nothing for people, so there is nothing to fail.
			if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(errs.String(), c.err) {
				t.Errorf("%v: exit code %d, want %d: %s", args, code, c.code, errs.String())
			}
			if strings.HasPrefix(c.args, "call account/alice credit") && !strings.Contains(errs.String(), "next: repeat the same command: it has the same key") {
				t.Errorf("%v: %s", args, errs.String())
			}
		}
	}
}

// A store that cannot be closed after the work is no failure of the work.
func TestClosingAfterTheWork(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	no := &semel.Rejection{Code: "poor"}
	for name, c := range map[string]struct {
		work, closing error
		code          int
	}{
		"all well":         {nil, nil, exitOK},
		"closing":          {nil, broken, exitUnknown},
		"closing, coded":   {nil, &semel.NotDoneError{Code: "closed"}, exitUnknown},
		"rejected, broken": {no, broken, exitRejected},
		"not done, broken": {errors.New("no file"), broken, exitNotDone},
	} {
		for _, asJSON := range []bool{false, true} {
			var out bytes.Buffer
			err := newPrinter(&out, io.Discard, asJSON).fail(closed(c.work, c.closing))
			if code := exitCode(err); code != c.code {
				t.Errorf("%s: exit code %d, want %d: %v", name, code, c.code, err)
			}
			if c.code != exitUnknown {
				continue
			}
			if !strings.HasPrefix(err.Error(), "it was done; only closing the store failed: ") {
				t.Errorf("%s: %v", name, err)
			}
			var told struct{ Error failureJSON }
			if asJSON && (json.Unmarshal(out.Bytes(), &told) != nil || told.Error.Kind != "unknown" || !strings.HasPrefix(told.Error.Detail, "it was done; only closing")) {
				t.Errorf("%s: %s", name, out.String())
			}
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semel-dev/semel/bench"
)

// The binary measures, prints one JSON document, writes the page and leaves
// nothing else. Standard error is no terminal, so there is no progress on it.
func TestBench(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), t.TempDir()
	cmd := exec.Command(binary, "bench", "--data", data, "--round", "20ms", "--rounds", "1", "--callers", "2", "--batch", "0", "--agents", "10", "--json")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Command, "semel bench --data ") || r.Semel == "" || time.Since(r.Started) > time.Hour || len(r.Measurements) != 4+3 {
		t.Errorf("the report has %q, %q, %v and %d measurements", r.Command, r.Semel, r.Started, len(r.Measurements))
	}
	page, err := os.ReadFile(filepath.Join(dir, "semel-bench.html"))
	if err != nil || !bytes.Contains(page, []byte("--agents 10 --json")) {
		t.Errorf("the page does not tell its command: %v", err)
	}
	for _, d := range []string{dir, data} {
		files, _ := os.ReadDir(d)
		if want := map[string]int{dir: 1, data: 0}[d]; len(files) != want {
			t.Errorf("%d files are left in %s, not %d", len(files), d, want)
		}
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "semel: ") {
			t.Errorf("standard error has %q", line)
		}
	}
}

func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(binary, "bench", "--round", "1h")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for entries := 0; entries < 2; { // the page's file, and the directory of what is measured
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was interrupted: %v", err)
		case <-look.C:
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries = len(files)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != exitNotDone {
		t.Errorf("it ended with %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestBenchUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--callers", "0"}, {"--batch", "1001"}, {"--rounds", "0"}, {"--round", "-1s"}, {"--agents", "0"}, {"--only", "nothing"}, {"more"},
	} {
		cmd := exec.Command(binary, append([]string{"bench", "--html", ""}, args...)...)
		cmd.Dir = t.TempDir()
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
			t.Errorf("bench %v: %v", args, err)
		}
	}
}

func TestBenchCommandLine(t *testing.T) {
	t.Parallel()
	got := commandLine([]string{"/usr/bin/semel", "bench", "--only", "HTTP, 64", "--html", "", "it's"})
	if want := `semel bench --only 'HTTP, 64' --html '' 'it'\''s'`; got != want {
		t.Errorf("the command is %s, not %s", got, want)
	}
}

package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A child is the test binary, which lists its tests and ends.
func list(t *testing.T, ctx context.Context, pattern string, line func(string)) (*Process, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spawn(ctx, Options{Line: line, Log: os.Stderr, Own: true}, self, "-test.list", pattern)
}

func TestSpawnReturnsTheFirstLine(t *testing.T) {
	t.Parallel()
	var rest []string
	p, err := list(t, t.Context(), "^TestSpawn", func(line string) { rest = append(rest, line) })
	if err != nil {
		t.Fatal(err)
	}
	<-p.Ended
	if p.First != "TestSpawnReturnsTheFirstLine" || strings.Join(rest, " ") != "TestSpawnFails TestSpawnGivesInput" || !p.Cmd.ProcessState.Success() {
		t.Errorf("first %q, then %q, %v", p.First, rest, p.Cmd.ProcessState)
	}
}

func TestSpawnFails(t *testing.T) {
	t.Parallel()
	if _, err := list(t, t.Context(), "^$", nil); err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Errorf("a child that says nothing: %v", err)
	}
	if _, err := Spawn(t.Context(), Options{}, "./there-is-no-such-program"); err == nil {
		t.Error("no program was started")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// It may have said its line before anybody looked; else it is killed.
	if p, err := list(t, ctx, "^TestSpawn", nil); err != nil && err != context.Canceled {
		t.Errorf("%v, %v", p, err)
	}
}

// A child reads its input first, and what else it is told after it.
func TestSpawnGivesInput(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("cat"); err != nil {
		t.Skip("there is no cat here")
	}
	rest := make(chan string, 1)
	p, err := Spawn(t.Context(), Options{Input: []byte("first\n"), Line: func(line string) { rest <- line }}, "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stdin.Close()
	if _, err := fmt.Fprintln(p.Stdin, "second"); err != nil || p.First != "first" || <-rest != "second" {
		t.Errorf("first %q, %v", p.First, err)
	}
}

// Package killtest proves with real processes what no simulation can: a
// program that embeds Semel is killed by SIGKILL, or kills itself, between any
// two things that it does, while the outside world is another process with
// books of its own. It has tests only.
//
// The test binary runs itself again as the processes that it needs: outside
// (outside_test.go), the program with effects (program_test.go), one whose
// handler ends the process (poison_test.go), and one that coordinates
// transactions (transfer_program_test.go).
package killtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// roleVar says which process the test binary is to be.
const roleVar = "SEMEL_KILLTEST_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func() error{"outside": runOutside, "program": runProgram, "poison": runPoison, "transfers": runTransfers}
	role := os.Getenv(roleVar)
	if role == "" {
		goleak.VerifyTestMain(m) // it exits
	}
	go func() { // nobody is left behind when the test itself is killed
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := roles[role](); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

// patience bounds what should take milliseconds.
const patience = 30 * time.Second

// child is a process of ours. It prints its address first, and then a line for
// whatever the test waits for.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	lines  chan string // closed when its output ends
	stderr *bytes.Buffer
	ended  sync.Once
	err    error
}

func spawn(t *testing.T, role string, env ...string) *child {
	t.Helper()
	c, err := trySpawn(t, role, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trySpawn is spawn for a process that may end before it is ready.
func trySpawn(t *testing.T, role string, env ...string) (*child, error) {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 64), stderr: new(bytes.Buffer)}
	c.cmd.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	c.cmd.Stderr = c.stderr
	_, err := c.cmd.StdinPipe() // open as long as we live
	var out io.ReadCloser
	if err == nil {
		out, err = c.cmd.StdoutPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	t.Cleanup(c.kill)
	select {
	case line, ok := <-c.lines:
		if !ok {
			return c, fmt.Errorf("the %s ended before it was ready: %w\n%s", role, c.wait(), c.stderr)
		}
		c.url = line
		return c, nil
	case <-time.After(patience):
		c.kill() // before its standard error is read
		t.Fatalf("the %s was not ready within %v\n%s", role, patience, c.stderr)
		return nil, nil
	}
}

// expect waits for a line.
func (c *child) expect(want string) {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok || line != want {
			c.t.Fatalf("waited for %q and heard %q (%v)\n%s", want, line, ok, c.stderr)
		}
	case <-time.After(patience):
		c.kill() // before its standard error is read
		c.t.Fatalf("waited for %q and heard nothing\n%s", want, c.stderr)
	}
}

// wait returns how the process ended, once its output did.
func (c *child) wait() error {
	for range c.lines {
	}
	c.ended.Do(func() { c.err = c.cmd.Wait() })
	return c.err
}

// kill is SIGKILL, and returns when the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.wait()
}

// get asks the process for something; out may be nil.
func (c *child) get(path string, args url.Values, out any) error {
	res, err := http.Get(c.url + path + "?" + args.Encode())
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// must is get where nothing may fail.
func (c *child) must(path string, args url.Values, out any) {
	c.t.Helper()
	if err := c.get(path, args, out); err != nil {
		c.t.Fatalf("%s %v: %v\n%s", path, args, err, c.stderr)
	}
}

// args makes a query of names and values.
func args(pairs ...string) url.Values {
	v := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// say tells the test something. The line leaves at once.
func say(line string) { _, _ = os.Stdout.WriteString(line + "\n") }

// listenAndSay serves on a free port and prints the address.
func listenAndSay(h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	say("http://" + l.Addr().String())
	if err := http.Serve(l, h); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b)
}

func symlink(t *testing.T, old, new string) {
	t.Helper()
	if err := os.Symlink(old, new); err != nil {
		t.Skipf("this system makes no symbolic links: %v", err)
	}
}

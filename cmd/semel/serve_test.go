package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store/pebble"
)

// binary is the command under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "semel-cmd-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "semel")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// process is a server that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	stderr *output
	stdout chan string // what came after the first line
	client *http.Client
}

// output collects what a process writes, and tells who waits for a text.
type output struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    bytes.Buffer
	closed  bool
}

func newOutput() *output {
	o := new(output)
	o.changed = sync.NewCond(&o.mu)
	return o
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed.Broadcast()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// wait returns when the text came, or the process ended without it.
func (o *output) wait(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !strings.Contains(o.text.String(), text) {
		if o.closed {
			return false
		}
		o.changed.Wait()
	}
	return true
}

// start runs `semel serve` and waits until it is ready.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, stderr: newOutput(), stdout: make(chan string, 1)}
	p.cmd = exec.Command(binary, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.stderr.close()
	})
	r := bufio.NewReader(out)
	soon := p.within(time.Minute)
	line, err := r.ReadString('\n')
	soon()
	if err != nil {
		t.Fatalf("no line on standard output: %v\n%s", err, p.stderr)
	}
	go func() {
		rest, _ := io.ReadAll(r)
		p.stdout <- string(rest)
	}()
	p.url = strings.TrimSuffix(line, "\n")
	if !strings.HasPrefix(p.url, "http://127.0.0.1:") && !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Fatalf("the first line is %q", line)
	}
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 20 * time.Second}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// within kills the process if it takes longer until done is called. The process
// itself may live as long as its test.
func (p *process) within(limit time.Duration) (done func()) {
	late := time.AfterFunc(limit, func() {
		p.t.Errorf("the process is killed: what it should have done is not done in %v", limit)
		_ = p.cmd.Process.Kill()
	})
	return func() { late.Stop() }
}

// wait returns the exit code, or -1 when a signal ended the process.
func (p *process) wait() int {
	p.t.Helper()
	soon := p.within(time.Minute)
	rest := <-p.stdout
	err := p.cmd.Wait()
	soon()
	p.stderr.close()
	if rest != "" {
		p.t.Errorf("standard output has more than a line: %q", rest)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

// post calls an action. The error is that of the connection.
func (p *process) post(path, key, body string) (status int, reply string, replayed bool, err error) {
	req, err := http.NewRequest("POST", p.url+"/v1/agents/"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", false, err
	}
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		return 0, "", false, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header.Get("Idempotent-Replayed") == "true", err
}

func (p *process) mustPost(path, key, body string) string {
	p.t.Helper()
	status, reply, _, err := p.post(path, key, body)
	if err != nil || status != 200 {
		p.t.Fatalf("%s: %d %s %v", path, status, reply, err)
	}
	return reply
}

func TestServeAndDrain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	if !p.stderr.wait(dir) {
		t.Error("standard error does not name the data directory")
	}
	p.mustPost("account/alice/open", "open", `{"cents":5}`)

	// A call that is under way when the signal comes is answered.
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"cents":7}`
	fmt.Fprintf(conn, "POST /v1/agents/account/alice/credit HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: late\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // it is in the handler
		t.Fatal(line, err)
	}
	p.signal(syscall.SIGTERM)
	if !p.stderr.wait("stopping") {
		t.Fatalf("it did not stop: %s", p.stderr)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	_, _ = r.ReadString('\n') // ends the interim response
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 200 || string(reply) != `{"cents":12}` {
		t.Errorf("the late call: %d %s", res.StatusCode, reply)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}

	again := start(t, dir)
	if status, reply, replayed, err := again.post("account/alice/credit", "late", body); status != 200 || reply != `{"cents":12}` || !replayed {
		t.Errorf("after the restart: %d %s %v %v", status, reply, replayed, err)
	}
	again.signal(os.Interrupt)
	if code := again.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, again.stderr)
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/agents/account/a/credit HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	p.signal(syscall.SIGTERM)
	p.stderr.wait("stopping")
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != -1 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// FAULTS 15.
func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	out, err := exec.Command(binary, "serve", "--data", dir, "--listen", "127.0.0.1:0").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitNotDone || !strings.Contains(string(out), "in use by another process") || strings.Contains(string(out), "http://") {
		t.Errorf("%v: %s", err, out)
	}
	p.mustPost("account/alice/credit", "k", `{"cents":1}`) // undisturbed
}

// FAULTS 59: what is wrong is said, and nothing is served.
func TestStoreThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st, err := pebble.At(dir).OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.Open(t.Context(), 1, "test")
	if err != nil {
		t.Fatal(err)
	}
	u := &message.Unit{
		Version: message.Version{Epoch: s.Version().Epoch, Seq: s.Version().Seq + 1},
		Writes: []message.Write{{
			RowKey: message.RowKey{Table: message.TableMeta, Key: []byte("clock")}, Op: message.Put, Value: []byte("garbage"),
		}},
	}
	if err := errors.Join(s.Commit(t.Context(), u).Wait(), s.Close(), st.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "serve", "--data", dir, "--listen", "127.0.0.1:0").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitNotDone || strings.Contains(string(out), "http://") ||
		!strings.Contains(string(out), "the store cannot be used; closing it") || !strings.Contains(string(out), "semel: "+dir+": semel: start: shard 1: ") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestOnlyLate(t *testing.T) {
	t.Parallel()
	late := fmt.Errorf("closed before everything was finished: %w", context.DeadlineExceeded)
	broken := errors.New("the device is broken")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{late, true}, {broken, false}, {errors.Join(nil, late), true},
		{fmt.Errorf("close: %w", errors.Join(late, broken)), false},
		{fmt.Errorf("close: %w", errors.Join(late, errors.Join(late, context.DeadlineExceeded))), true},
		{context.Canceled, false},
	} {
		if got := onlyLate(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// FAULTS 2.
func TestKilledAndRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	p.mustPost("account/alice/open", "open", `{"cents":100}`)
	reply := p.mustPost("account/alice/transfer", "t", `{"cents":30,"to":"bob"}`)
	status, refused, _, err := p.post("account/alice/debit", "d", `{"cents":1000}`)
	if status != 422 || err != nil {
		t.Fatal(status, refused, err)
	}
	p.signal(syscall.SIGKILL)
	if code := p.wait(); code != -1 {
		t.Errorf("exit code %d", code)
	}
	p = start(t, dir)
	if status, again, replayed, err := p.post("account/alice/transfer", "t", `{"cents":30,"to":"bob"}`); status != 200 || again != reply || !replayed {
		t.Errorf("%d %s %v %v", status, again, replayed, err)
	}
	if status, again, replayed, err := p.post("account/alice/debit", "d", `{"cents":1000}`); status != 422 || again != refused || !replayed {
		t.Errorf("%d %s %v %v", status, again, replayed, err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"serve", "--data", t.TempDir(), "--listen", "0.0.0.0:0"}, exitUsage, "--insecure-public"},
		{[]string{"serve", "--data", t.TempDir(), "--listen", ":0"}, exitUsage, "--insecure-public"},
		{[]string{"serve", "--data", t.TempDir(), "--listen", "[::]:0"}, exitUsage, "--insecure-public"},
		{[]string{"serve", "--data", t.TempDir(), "--listen", "nonsense"}, exitUsage, "HOST:PORT"},
		{[]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--wait", "0s"}, exitUsage, "--wait"},
		{[]string{"serve", "--no-such-flag"}, exitUsage, "no-such-flag"},
		{[]string{"serve", "argument"}, exitUsage, "argument"},
		{[]string{"no-such-verb"}, exitUsage, "no-such-verb"},
		{[]string{"serve", "--data", "/dev/null/x", "--listen", "127.0.0.1:0"}, exitNotDone, "/dev/null/x"},
		{[]string{"version"}, exitOK, "semel "},
	} {
		out, err := exec.Command(binary, c.args...).CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("semel %s: exit code %d, %s", strings.Join(c.args, " "), code, out)
		}
	}
	out, err := exec.Command(binary, "version", "--json").Output()
	var info buildInfo
	if err != nil || json.Unmarshal(out, &info) != nil || info.Version == "" || info.Go == "" {
		t.Errorf("%s, %v", out, err)
	}
	p := start(t, t.TempDir(), "--insecure-public", "--listen", "0.0.0.0:0", "--host", "a.example", "--host", "b.example")
	p.mustPost("account/alice/credit", "k", `{"cents":1}`)
	for host, want := range map[string]int{"b.example": http.StatusOK, "c.example": http.StatusMisdirectedRequest} {
		req, err := http.NewRequest("GET", p.url+"/livez", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", host, res.Status)
		}
	}
}

// With --json the line of the address is an object.
func TestServeSaysWhereAsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(binary, "serve", "--json", "--data", dir, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var said struct{ URL, Data string }
	if err := json.NewDecoder(out).Decode(&said); err != nil || said.Data != dir {
		t.Fatalf("%+v, %v", said, err)
	}
	res, err := http.Get(said.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("readyz is %d", res.StatusCode)
	}
}

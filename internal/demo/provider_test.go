package demo

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A question does not overtake a charge that was sent before it, even if the
// charge's sender is not done yet.
func TestQuestionsWaitForCharges(t *testing.T) {
	t.Parallel()
	ledger := filepath.Join(t.TempDir(), "ledger")
	r, end := provide(t, ledger)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"invoice":"pay-1","cents":7}`
	if _, err := io.WriteString(conn, "POST /charge HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 29\r\n\r\n"+body[:20]); err != nil {
		t.Fatal(err)
	}
	question, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer question.Close()
	if _, err := io.WriteString(question, "GET /charges HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body[20:]); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close() // its sender is killed
	want := Charge{Receipt: "ch-001", Invoice: "pay-1", Cents: 7, Key: "k"}
	told, err := io.ReadAll(question)
	if err != nil || !strings.Contains(string(told), `[{"receipt":"ch-001",`) {
		t.Errorf("the provider told %q, %v", told, err)
	}
	all, err := r.charges(ctx)
	if err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("the provider told %+v, %v", all, err)
	}
	if written, err := readBook(ledger); err != nil || len(written) != 1 || written[0] != want {
		t.Errorf("its file has %+v, %v", written, err)
	}
	res, err := http.Get(r.url + "/charges/another")
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusNotFound {
		t.Errorf("a key that it does not know: %s", res.Status)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// provide runs a provider in this process until end is called.
func provide(t *testing.T, ledger string) (r *remoteProvider, end func() error) {
	t.Helper()
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Provide(ledger, false, in, out) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &remoteProvider{url: strings.TrimSpace(line), ledger: ledger}, func() error {
		_ = stdin.Close()
		return <-ended
	}
}

// The server does not outlive the demo, even if that is killed: the provider
// hears of its end, and kills the server.
func TestTheServerDoesNotOutliveTheDemo(t *testing.T) {
	t.Parallel()
	r, end := provide(t, filepath.Join(t.TempDir(), "ledger"))
	cat := exec.Command("cat") // it runs as long as it is let
	stdin, err := cat.StdinPipe()
	if err == nil {
		err = cat.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := r.guard(t.Context(), cat.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := cat.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v", err)
	}
}

// counted is a listener whose connections are pipes.
type counted struct {
	net.Listener
	accepted int
}

func (c *counted) Accept() (net.Conn, error) {
	c.accepted++
	_, conn := net.Pipe()
	return conn, nil
}

func TestOneConnectionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &counted{}
		l := newSerial(inner)
		first, _ := l.Accept()
		second := make(chan net.Conn)
		go func() {
			c, _ := l.Accept()
			second <- c
		}()
		synctest.Wait()
		if inner.accepted != 1 {
			t.Fatalf("%d connections are open", inner.accepted)
		}
		_ = first.Close()
		_ = first.Close() // as net/http may
		_ = (<-second).Close()
		if inner.accepted != 2 {
			t.Errorf("%d connections were accepted", inner.accepted)
		}
	})
}

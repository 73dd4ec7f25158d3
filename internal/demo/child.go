package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// child is a process of the demo.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   string        // what it printed when it was ready
	ended chan struct{} // closed when it has ended
}

// spawn starts the binary with these arguments and returns when it has printed
// its address. What it writes to standard error goes to log.
func spawn(ctx context.Context, binary string, log io.Writer, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	c.cmd.Env, c.cmd.Stderr = environment(), log
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		_ = c.cmd.Wait() // how it ended is in ProcessState
		close(c.ended)
	}()
	if err == nil && ctx.Err() == nil {
		c.url = strings.TrimSpace(line)
		return c, nil
	}
	c.kill()
	<-c.ended
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%s ended before it was ready (%v): %w", args[0], c.cmd.ProcessState, err)
}

// kill sends SIGKILL.
func (c *child) kill() { _ = c.cmd.Process.Kill() } // an error says that it has ended

// environment is ours without what would configure a server.
func environment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SEMEL_") {
			env = append(env, v)
		}
	}
	return env
}

// exchangeJSON talks to the provider: it sends in, if there is something, and
// reads out.
func exchangeJSON(ctx context.Context, method, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode > 299 {
		return errors.New("the provider answered " + res.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

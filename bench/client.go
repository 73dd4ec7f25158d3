package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// client speaks HTTP/1.1 on one connection that is kept open. It is written by
// hand because it shares the processors with the server that it measures:
// net/http's client, with its goroutines, header maps and contexts, costs as
// much as the server does (BenchmarkClients compares the two).
//
// It is not safe for concurrent use, and not to be used again after an error.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	host string
	out  []byte
	body []byte
}

func newClient(conn net.Conn, host string) *client {
	return &client{conn: conn, r: bufio.NewReader(conn), host: host}
}

// call makes one call and expects that it is done. No key is sent if key is
// empty. The names must need no escaping.
func (c *client) call(agentType, id, action, key, body string) error {
	out := append(c.out[:0], "POST /v1/agents/"...)
	out = append(out, agentType...)
	out = append(append(out, '/'), id...)
	out = append(append(out, '/'), action...)
	return c.finish(out, key, body)
}

// post posts a body to a path, and expects that the answer is a 200.
func (c *client) post(path, key, body string) error {
	return c.finish(append(append(c.out[:0], "POST "...), path...), key, body)
}

// finish sends a request whose first line is there as far as the path.
func (c *client) finish(out []byte, key, body string) error {
	out = c.appendHeaders(out, len(body))
	if key != "" {
		out = append(append(append(out, "Idempotency-Key: \""...), key...), "\"\r\n"...)
	}
	out = append(append(out, "\r\n"...), body...)
	c.out = out
	if _, err := c.conn.Write(out); err != nil {
		return err
	}
	return c.expectOK()
}

func (c *client) appendHeaders(out []byte, length int) []byte {
	out = append(append(append(out, " HTTP/1.1\r\nHost: "...), c.host...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	return append(strconv.AppendInt(out, int64(length), 10), "\r\n"...)
}

// expectOK reads one answer and drops it, unless it is not a 200.
func (c *client) expectOK() error {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok, status := bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")), ""
	if !ok {
		status = string(bytes.TrimSpace(line))
	}
	length := -1
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return fmt.Errorf("the server's answer has a Content-Length %q", value)
			}
		}
	}
	if length < 0 {
		return errors.New("the server's answer has no Content-Length")
	}
	if ok {
		_, err = c.r.Discard(length)
		return err
	}
	text, err := io.ReadAll(io.LimitReader(c.r, int64(min(length, 1000))))
	return errors.Join(fmt.Errorf("the server answered %s: %s", status, text), err)
}

// beginBatch begins a batch of calls; addToBatch adds to it, and callBatch
// makes the calls.
func (c *client) beginBatch() { c.body = append(c.body[:0], '[') }

func (c *client) addToBatch(agentType, id, action, key, body string) {
	b := c.body
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(append(append(append(append(b, `{"agent":"`...), agentType...), '/'), id...), `","action":"`...)
	b = append(append(b, action...), '"')
	if key != "" {
		b = append(append(append(b, `,"key":"`...), key...), '"')
	}
	c.body = append(append(append(b, `,"body":`...), body...), '}')
}

// callBatch expects that all n calls of the batch are done.
func (c *client) callBatch(n int) error {
	c.body = append(c.body, ']')
	out := c.appendHeaders(append(c.out[:0], "POST /v1/calls"...), len(c.body))
	c.out = append(append(out, "\r\n"...), c.body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s: %.1000s", answer.Status, text)
	}
	if bytes.Count(text, []byte(`"status":200`)) == n {
		return nil
	}
	var answers []json.RawMessage
	if err := json.Unmarshal(text, &answers); err != nil {
		return fmt.Errorf("the answer to a batch: %w", err)
	}
	for i, a := range answers {
		if !bytes.Contains(a, []byte(`"status":200`)) {
			return fmt.Errorf("call %d of a batch was answered %.1000s", i, a)
		}
	}
	return fmt.Errorf("a batch of %d calls has %d answers", n, len(answers))
}

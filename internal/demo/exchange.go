package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// taps are moments in the way of one request. Each may say that the client is
// cut off here. Nil ones let it pass.
type taps struct {
	last  func() (cut bool) // everything is sent but the last byte
	sent  func() (cut bool) // everything is sent
	reply func() (cut bool) // the first byte of the reply has come; the client has not seen it
}

// errCut says that a client was cut off.
var errCut = errors.New("the connection is cut")

// reply is what a client was answered.
type reply struct {
	status   int
	body     []byte
	replayed bool
}

// exchange sends one request on a connection of its own, by hand: an HTTP
// client would not tell when the last byte leaves and the first one comes. With
// errCut it also returns the reply that the client does not get, if it was there.
func exchange(ctx context.Context, req *http.Request, t taps) (reply, error) {
	var wire bytes.Buffer
	req.Close = true
	if err := req.Write(&wire); err != nil {
		return reply{}, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	all := wire.Bytes()
	if _, err := conn.Write(all[:len(all)-1]); err != nil {
		return reply{}, err
	}
	if t.last != nil && t.last() {
		return reply{}, errCut
	}
	if _, err := conn.Write(all[len(all)-1:]); err != nil {
		return reply{}, err
	}
	if t.sent != nil && t.sent() {
		return reply{}, errCut
	}
	in := bufio.NewReader(conn)
	if _, err := in.Peek(1); err != nil {
		return reply{}, err
	}
	if t.reply == nil || !t.reply() {
		return readReply(in, req)
	}
	// The server is dead. What it sent is here, or never will be.
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return reply{}, err
	}
	r, err := readReply(in, req)
	if err != nil {
		r = reply{}
	}
	return r, errCut
}

func readReply(in *bufio.Reader, req *http.Request) (reply, error) {
	res, err := http.ReadResponse(in, req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, body, res.Header.Get("Idempotent-Replayed") == "true"}, err
}

// request is the submission of a payment to a server.
func (p *payment) request(ctx context.Context, base, token string) (*http.Request, error) {
	path, body := "/v1/effects/"+url.PathEscape(string(p.way)), p.invoice()
	if p.way == Debit {
		path, body = "/v1/agents/"+account+"/debit", p.amount()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", `"`+p.id+`"`)
	return req, nil
}

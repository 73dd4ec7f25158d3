package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// inProcess is a transport to a handler of this process, without a socket, so
// that a verb is written once for a server and for a directory.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. The handler gets the request's body
// as it is, and its context.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &responseWriter{header: make(http.Header), begun: make(chan *http.Response, 1), request: r, cancel: cancel}
	go func() {
		defer func() {
			_ = in.Body.Close()
			w.finish(recover())
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case res := <-w.begun:
		if res == nil {
			cancel()
			return nil, fmt.Errorf("the handler gave up: %w", w.failed)
		}
		return res, nil
	case <-r.Context().Done():
		cancel()
		return nil, r.Context().Err()
	}
}

// responseWriter gathers what a handler writes. The response begins when it
// ends, or flushes; from then on it is a stream.
type responseWriter struct {
	header  http.Header
	begun   chan *http.Response // gets one response, or nil if there is none
	request *http.Request
	cancel  context.CancelFunc

	mu     sync.Mutex
	status int
	buf    bytes.Buffer
	stream *io.PipeWriter // once it began as one
	failed error          // set before nil goes into begun
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	stream := w.stream
	if stream == nil {
		defer w.mu.Unlock()
		return w.buf.Write(b)
	}
	w.mu.Unlock()
	return stream.Write(b)
}

// Flush begins a stream. What was written so far is its beginning.
func (w *responseWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	if w.stream != nil {
		w.mu.Unlock()
		return
	}
	r, pw := io.Pipe()
	w.stream = pw
	begin := bytes.Clone(w.buf.Bytes())
	w.mu.Unlock()
	res := w.response(-1, &closer{io.MultiReader(bytes.NewReader(begin), r), func() {
		w.cancel()
		_ = r.Close()
	}})
	res.TransferEncoding = []string{"chunked"}
	w.begun <- res
}

// SetReadDeadline and SetWriteDeadline have nothing to bound: no peer is slow.
func (w *responseWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is of use for connections only.
func (w *responseWriter) SetWriteDeadline(time.Time) error { return nil }

// finish ends the response when the handler returned, or panicked.
func (w *responseWriter) finish(panicked any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if panicked != nil {
		w.failed = fmt.Errorf("it panicked: %v", panicked)
		if err, ok := panicked.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			w.failed = io.ErrUnexpectedEOF
		}
	}
	switch {
	case w.stream != nil:
		_ = w.stream.CloseWithError(w.failed) // nil is the end
	case w.failed != nil:
		w.begun <- nil
	default:
		if w.status == 0 {
			w.status = http.StatusOK
		}
		body := bytes.Clone(w.buf.Bytes())
		w.begun <- w.response(int64(len(body)), &closer{bytes.NewReader(body), w.cancel})
	}
}

func (w *responseWriter) response(length int64, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), ContentLength: length, Body: body, Request: w.request,
	}
}

// closer is a reader that does something when it is closed.
type closer struct {
	io.Reader
	close func()
}

func (c *closer) Close() error {
	c.close()
	return nil
}

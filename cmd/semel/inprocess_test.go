package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func inProcessClient(h http.HandlerFunc) *http.Client {
	return &http.Client{Transport: inProcess{h}}
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	c := inProcessClient(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Host != "localhost" || r.RequestURI != "/a%2Fb?x=1" || r.Header.Get("K") != "v" {
			t.Errorf("%v %s %s %v", err, r.Host, r.RequestURI, r.Header)
		}
		w.Header().Set("X", "y")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		_, _ = w.Write(body)
	})
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/a%2Fb?x=1", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("K", "v")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || string(b) != "hello" || res.StatusCode != http.StatusTeapot || res.ContentLength != 5 || res.Header.Get("X") != "y" {
		t.Errorf("%q %v %+v", b, err, res)
	}
}

// What is flushed arrives while the handler goes on, and closing the body ends it.
func TestInProcessStream(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	c := inProcessClient(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			if _, err := io.WriteString(w, "line\n"); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
				return
			}
			if r.Context().Err() != nil {
				return
			}
		}
	})
	res, err := c.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(res.Body)
	for range 3 {
		if line, err := r.ReadString('\n'); err != nil || line != "line\n" {
			t.Fatal(line, err)
		}
	}
	_ = res.Body.Close()
	<-ended
}

// A handler that gives up is an error of the connection, as over a socket.
func TestInProcessFailures(t *testing.T) {
	t.Parallel()
	if _, err := inProcessClient(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }).Get("http://localhost/"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	res, err := inProcessClient(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}).Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "half" {
		t.Errorf("%q %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	left := make(chan struct{})
	go func() {
		<-entered
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inProcessClient(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	}).Do(req); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-left
}

package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
)

// feedServer serves connections of a feed, one function for each in turn.
func feedServer(t *testing.T, conns ...func(w io.Writer, flush func(), r *http.Request)) *Client {
	t.Helper()
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(conns) {
			t.Errorf("connection %d: %v", i+1, r.Header)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flush := func() {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Log(err)
			}
		}
		flush()
		conns[i](w, flush, r)
	}))
	t.Cleanup(srv.Close)
	return newClient(t, srv.URL, Options{Retries: 2})
}

const eventText = "id: %s\nevent: change\ndata: {\"agent\":\"account/a\",\"version\":%d,\"state\":{\"n\":%d}}\n\n"

// A feed that is cut goes on where it was: after the last whole event.
func TestChangesResume(t *testing.T) {
	t.Parallel()
	c := feedServer(t,
		func(w io.Writer, flush func(), r *http.Request) {
			if r.URL.RawQuery != "from=start&type=account" || r.Header.Get("Last-Event-ID") != "" || r.Header.Get("Accept") != "text/event-stream" {
				t.Errorf("%s %v", r.URL.RawQuery, r.Header)
			}
			fmt.Fprintf(w, ": hello\n\nretry: 1\n\n"+eventText+eventText+"id: p3\nevent: change\ndata: {\"agent\":", "p1", 1, 1, "p2", 2, 2)
		},
		func(w io.Writer, flush func(), r *http.Request) { // dies before it says anything
			if r.URL.RawQuery != "type=account" || r.Header.Get("Last-Event-ID") != "p2" {
				t.Errorf("%s %v", r.URL.RawQuery, r.Header)
			}
			panic(http.ErrAbortHandler)
		},
		func(w io.Writer, flush func(), r *http.Request) {
			if r.Header.Get("Last-Event-ID") != "p2" {
				t.Errorf("%v", r.Header)
			}
			fmt.Fprint(w, "event: reset\ndata:\n\n")
			fmt.Fprintf(w, eventText, "p3", 3, 3)
			fmt.Fprint(w, "id: p4\r\nevent: deleted\r\ndata: {\"agent\":\"account/a\",\r\ndata: \"version\":4}\r\n\r\n")
			fmt.Fprint(w, "id: p5\revent: new\rdata: x\r\r\n")
			flush()
			<-r.Context().Done()
		})
	var got []string
	for e, err := range c.ChangesFrom(t.Context(), "account", FromStart) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d %s", e.Event, e.Position, e.Agent, e.Version, e.State))
		if e.Position == "p5" {
			break
		}
	}
	want := []string{
		`change p1 account/a 1 {"n":1}`, `change p2 account/a 2 {"n":2}`, `reset p2  0 `, `change p3 account/a 3 {"n":3}`,
		`deleted p4 account/a 4 `, `new p5  0 `,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Cut before there was a position: what came in between is lost, and that is said.
func TestChangesLostBeforeAPosition(t *testing.T) {
	t.Parallel()
	c := feedServer(t,
		func(io.Writer, func(), *http.Request) { panic(http.ErrAbortHandler) },
		func(w io.Writer, flush func(), r *http.Request) {
			if r.Header.Get("Last-Event-ID") != "" {
				t.Errorf("%v", r.Header)
			}
			fmt.Fprintf(w, eventText, "p9", 9, 9)
			flush()
			<-r.Context().Done()
		})
	var got []string
	for e, err := range c.Changes(t.Context(), "account") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Event)
		if e.Position == "p9" {
			break
		}
	}
	if fmt.Sprint(got) != "[reset change]" {
		t.Error(got)
	}
}

// A connection that is silent for too long is given up, though it stands.
func TestChangesFromASilentServer(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	c := feedServer(t,
		func(w io.Writer, flush func(), r *http.Request) {
			fmt.Fprintf(w, eventText, "p1", 1, 1)
			flush()
			<-r.Context().Done() // when the client goes
			close(released)
		},
		func(w io.Writer, flush func(), r *http.Request) {
			fmt.Fprintf(w, eventText, "p2", 2, 2)
			flush()
			<-r.Context().Done()
		})
	c.idle = 50 * time.Millisecond
	for e, err := range c.Changes(t.Context(), "account") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Position == "p2" {
			break
		}
	}
	<-released
}

func TestChangesEnd(t *testing.T) {
	t.Parallel()
	// With the context.
	ctx, cancel := context.WithCancel(t.Context())
	c := feedServer(t, func(_ io.Writer, _ func(), r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	for _, err := range c.Changes(ctx, "account") {
		if !errors.Is(err, context.Canceled) || semel.KindOf(err) != semel.KindNotDone {
			t.Error(err)
		}
	}
	// With a refusal.
	n := 0
	refused := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) {
		n++
		return respond(404, problemBody(404, "unknown_agent_type", "not_done", false)), nil
	})
	for _, err := range refused.Changes(t.Context(), "x") {
		if !errors.Is(err, semel.ErrUnknownAgentType) || n != 1 {
			t.Error(n, err)
		}
	}
	// After as many failures in a row as are allowed.
	n = 0
	down := scripted(t, Options{Retries: 2}, func(int, *http.Request, string) (*http.Response, error) {
		n++
		return nil, io.ErrUnexpectedEOF
	})
	for e, err := range down.Changes(t.Context(), "x") {
		if semel.KindOf(err) != semel.KindNotDone || n != 3 {
			t.Error(n, e, err)
		}
	}
	// With something that is no feed.
	other := scripted(t, Options{}, func(int, *http.Request, string) (*http.Response, error) { return respond(200, `{}`), nil })
	for _, err := range other.Changes(t.Context(), "x") {
		var e *semel.NotDoneError
		if !errors.As(err, &e) || e.Code != CodeNotUnderstood {
			t.Error(err)
		}
	}
}

// The reader of events takes any bytes, and tells the same however they are cut.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\nevent: change\ndata: {}\n\n"), 3)
	f.Add([]byte("\xef\xbb\xbfdata\r\ndata: a\rid: \x00\n\r\n: c\n\nretry: 10\n\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		read := func(r io.Reader) (all []string) {
			s := newEventReader(r, func() {})
			for {
				e, err := s.next()
				if err != nil {
					if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Error(err)
					}
					return all
				}
				if e.name == "" || strings.ContainsAny(e.id+e.name, "\r\n") || bytes.ContainsRune(e.data, '\r') {
					t.Errorf("%q", e)
				}
				all = append(all, fmt.Sprintf("%q %q %q", e.id, e.name, e.data))
			}
		}
		at := 0
		if len(b) > 0 {
			at = int(uint(cut) % uint(len(b)))
		}
		whole, parts := read(bytes.NewReader(b)), read(io.MultiReader(bytes.NewReader(b[:at]), bytes.NewReader(b[at:])))
		if strings.Join(whole, "\n") != strings.Join(parts, "\n") {
			t.Errorf("%q\n%q", whole, parts)
		}
	})
}

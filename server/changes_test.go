package server_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
)

// turnstile lets so many requests in.
type turnstile struct{ left atomic.Int64 }

func (a *turnstile) Authenticate(*http.Request) (server.Principal, error) {
	if a.left.Add(-1) < 0 {
		return server.Principal{}, server.ErrUnauthorized
	}
	return server.Principal{Tenant: "default", Name: "reader", Roles: server.AllRoles}, nil
}

// follow opens a stream and reads its first lines.
func follow(t *testing.T, s *site, n int) (lines []string, end context.CancelFunc, res *http.Response) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/changes?type=account&from=start", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err = s.http.Do(req); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	for r := bufio.NewScanner(res.Body); len(lines) < n && r.Scan(); {
		lines = append(lines, r.Text())
	}
	return lines, cancel, res
}

func TestChangesAreStreamed(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{ChangeFeed: true}, server.Options{}, nil)
	s.call("account/alice/credit", "k", `{"cents":5}`)
	lines, _, res := follow(t, s, 3)
	if res.Header.Get("Content-Type") != "text/event-stream" || len(lines) != 3 || !strings.HasPrefix(lines[0], "id: ") || lines[1] != "event: change" ||
		lines[2] != `data: {"agent":"account/alice","version":1,"state":{"cents":5,"pending":0,"opened":false}}` {
		t.Errorf("%v %q", res.Header, lines)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{ChangeFeed: true}, server.Options{Followers: 1}, nil)
	s.call("account/alice/credit", "k", `{"cents":5}`)
	follow(t, s, 1)
	wantProblem(t, s.do("GET", "/v1/changes?type=account", ""), 429, "overloaded", "not_done")
}

// FAULTS 61: a stream does not outlive its token, nor a stop of the server.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	auth, stopping := new(turnstile), make(chan struct{})
	auth.left.Store(2) // the call and the stream; whoever asks again hears no
	s := serve(t, semel.Config{ChangeFeed: true}, server.Options{Auth: auth}, nil)
	s.call("account/alice/credit", "k", `{"cents":5}`)
	_, _, res := follow(t, s, 0)
	for r := bufio.NewScanner(res.Body); r.Scan(); {
		if r.Text() == ":" {
			t.Error("a stream lives on without its token")
		}
	}
	s = serve(t, semel.Config{ChangeFeed: true}, server.Options{Stopping: stopping}, nil)
	s.call("account/alice/credit", "k", `{"cents":5}`)
	_, _, res = follow(t, s, 1)
	close(stopping)
	for r := bufio.NewScanner(res.Body); r.Scan(); { // until it ends
	}
}

func TestBatchOfNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, semel.Config{}, server.Options{}, nil)
	wantProblem(t, s.do("POST", "/v1/calls", "["+strings.Repeat("{},", 200_000)+"{}]"), 413, "too_large", "not_done")
}

package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/agents/ledger"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store/mem"
)

// node starts a server that is a node of a cluster.
func node(t *testing.T, disk *mem.Disk, secret string) *site {
	client := &http.Client{Transport: new(http.Transport)}
	srv := httptest.NewUnstartedServer(nil)
	address := "http://" + srv.Listener.Addr().String()
	app, err := semel.Open(t.Context(), disk, &semel.Config{Owner: address, Cluster: &semel.Cluster{Address: address, Ask: server.AskNodes(secret, client)}})
	if err != nil {
		t.Fatal(err)
	}
	ledger.Register(app)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = server.Handler(app, server.Options{NodeSecret: secret})
	srv.Start()
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		srv.Close()
	})
	return &site{t: t, app: app, url: srv.URL, http: srv.Client()}
}

// share waits until each node holds as many shards.
func share(t *testing.T, sites []*site, each int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		even := true
		for _, s := range sites {
			nodes, err := s.app.Nodes(ctx)
			if err != nil {
				t.Fatal(err)
			}
			even = even && len(nodes) == len(sites)
			for _, n := range nodes {
				even = even && len(n.Shards) == each
			}
		}
		if even {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the nodes never came to share the shards")
		}
	}
}

// Whichever node of a cluster is asked, over HTTP, it answers for all, and a
// repetition at another node is a replay.
func TestNodes(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(6), mem.RemoteReads(), mem.Shared(time.Second, time.Now))
	sites := []*site{node(t, disk, "s3cret"), node(t, disk, "s3cret"), node(t, disk, "s3cret")}
	share(t, sites, 2)
	for i := range 12 {
		path := fmt.Sprintf("account/a%d/credit", i)
		for at, s := range sites {
			r := s.call(path, "k", `{"cents":100}`)
			if replayed := r.header.Get("Idempotent-Replayed") == "true"; r.status != 200 || replayed != (at > 0) {
				t.Errorf("%s at node %d: %d %v %s", path, at, r.status, r.header, r.body)
			}
			if r := s.do("GET", fmt.Sprintf("/v1/agents/account/a%d", i), ""); r.status != 200 {
				t.Errorf("state of a%d at node %d: %d %s", i, at, r.status, r.body)
			}
		}
	}
}

// Whoever does not know the nodes' secret is no node.
func TestNodeSecret(t *testing.T) {
	t.Parallel()
	disk := mem.New(mem.Shards(2), mem.RemoteReads(), mem.Shared(time.Second, time.Now))
	s := node(t, disk, "s3cret")
	for _, authorization := range []string{"", "Semel-Node ", "Semel-Node wrong", "Bearer s3cret", "s3cret"} {
		if r := s.do("POST", "/v1/node", `{"Op":"look"}`, "Authorization", authorization); r.status != 401 || r.body != "" {
			t.Errorf("%q: %d %s", authorization, r.status, r.body)
		}
	}
	for _, secret := range []string{"", "wrong"} {
		if _, err := server.AskNodes(secret, s.http)(t.Context(), s.url, []byte(`{"Op":"look"}`)); !errors.Is(err, semel.ErrNodeNotAsked) {
			t.Errorf("secret %q: %v", secret, err)
		}
	}
	if _, err := server.AskNodes("s3cret", s.http)(t.Context(), "http://127.0.0.1:1", nil); !errors.Is(err, semel.ErrNodeNotAsked) {
		t.Errorf("a node that is not there: %v", err)
	}
	if b, err := server.AskNodes("s3cret", s.http)(t.Context(), s.url, []byte(`{"Op":"look"}`)); err != nil || len(b) == 0 {
		t.Errorf("%s, %v", b, err)
	}
	plain := serve(t, semel.Config{}, server.Options{}, nil)
	if r := plain.do("POST", "/v1/node", `{"Op":"look"}`, "Authorization", "Semel-Node "); r.status != 404 {
		t.Errorf("a server that is no node: %d %s", r.status, r.body)
	}
}

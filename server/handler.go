package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// Options tune a handler. A zero field means its default.
type Options struct {
	// Wait bounds how long a call waits for its outcome unless its request
	// prefers otherwise; 10 s. A call that was accepted and takes longer goes on
	// and is answered 409 in_flight; one that was not is given up and answered
	// 503 canceled, as is a read.
	Wait time.Duration
	// MaxBody bounds a request's body in bytes; 1 MiB. The App has a bound of
	// its own (semel.Config.MaxBody). A batch may have sixteen times as much.
	MaxBody int64
	// Hosts are names under which a request may ask for this server on a
	// connection to the loopback address, besides localhost and the loopback
	// addresses themselves: those that a proxy on this machine passes on. A
	// request for any other name is answered 421 (see host.go).
	Hosts []string
	// Auth says who sent a request; nil is Anonymous.
	Auth Authenticator
	// Effects are the names of the effects that may be called by
	// /v1/effects/{name}. They are registered with the App as webeffect does.
	Effects []string
	// Transactions runs those of /v1/transactions; nil for none. It is of the same
	// App.
	Transactions *twopc.Coordinator
	// Sagas has those of /v1/sagas; nil for none. It is of the same App.
	Sagas *saga.Registry
	// Followers bounds the change feeds that are followed at once, 256: each
	// holds a connection and, while its reader is slow, some states.
	Followers int
	// Backups is the directory that backups are made in; empty for none.
	Backups string
	// NodeSecret is what the nodes of a cluster prove to each other that they
	// are; empty for a server that is no node. See AskNodes.
	NodeSecret string
	// Version is the program's, for the description of the API and the metrics.
	Version string
	// Stopping, when closed, makes the server unready and ends the streams of
	// changes, which would keep an orderly stop waiting. Nil for never.
	Stopping <-chan struct{}
	// Logger hears of failures that the caller is not told the details of;
	// slog.Default.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.Followers == 0 {
		o.Followers = 256
	}
	if o.Auth == nil {
		o.Auth = Anonymous
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// api is what the handlers share.
type api struct {
	Options
	app       *semel.App
	arriving  room          // for bodies
	described func() []byte // the description of the API, made when it is first asked for
	metrics   *metrics
	followers atomic.Int64
}

// Handler serves the API of an App. It is safe for concurrent use.
func Handler(app *semel.App, opts Options) http.Handler {
	s := newAPI(app, opts)
	// A page of another site must not act through its visitor's browser: the
	// server listens on the loopback address, where no password protects it.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, codeForbidden, "a browser may not send this from a page of another origin")
	}))
	public := s.ownHosts(origin.Handler(s.authenticated(s.plainPaths(s.mux()))))
	if opts.NodeSecret == "" {
		return public
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == nodePath {
			s.node(w, r)
			return
		}
		public.ServeHTTP(w, r)
	})
}

func newAPI(app *semel.App, opts Options) *api {
	opts.setDefaults()
	s := &api{app: app, Options: opts, metrics: newMetrics(app, opts.Version), arriving: newRoom(opts.MaxBody)}
	s.described = sync.OnceValue(func() []byte {
		b, err := json.Marshal(s.describe())
		if err != nil {
			panic(fmt.Sprintf("semel: the description of the API: %v", err)) // of our own types
		}
		return b
	})
	return s
}

// mux routes requests by the table in routes.go.
func (s *api) mux() *http.ServeMux {
	mux := http.NewServeMux()
	allowed := make(map[string][]string) // by path
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.method+" "+rt.path, s.allow(rt))
		allowed[rt.path] = append(allowed[rt.path], rt.method)
		if rt.method == http.MethodGet {
			allowed[rt.path] = append(allowed[rt.path], http.MethodHead)
		}
	}
	for path, methods := range allowed {
		if path == keysPath {
			continue // it is an action's path as well, which answers for both
		}
		list := strings.Join(methods, ", ")
		both := strings.Join(append(allowed[keysPath], methods...), ", ")
		// The mux's own answer to another method is not a problem document.
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			list := list
			if path == actionPath && r.PathValue("action") == keysAction {
				list = both
			}
			w.Header().Set("Allow", list)
			s.refuse(w, codeMethodNotAllowed, "this path takes "+list)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, codeNotFound, "there is nothing at this path")
	})
	return mux
}

// plainPaths keeps from the mux the paths that it would redirect to another
// spelling: an agent's id may be empty or dots by mistake only, and a client
// that followed the redirect would call something else.
func (s *api) plainPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		if !strings.Contains(path, "/.") && !strings.Contains(path, "//") && !strings.HasSuffix(path, "/") && path != "" {
			next.ServeHTTP(w, r) // nearly always
			return
		}
		for i, segment := range strings.Split(path, "/") {
			if i > 0 && (segment == "" && r.URL.Path != "/" || segment == "." || segment == "..") {
				s.refuse(w, codeNotFound, "the path has an empty segment, or one of dots; escape what is meant: %2F for a slash")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

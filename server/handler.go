package server

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/semel-dev/semel"
)

// Options tune a handler. A zero field means its default.
type Options struct {
	// Wait bounds how long a call waits for its outcome; 10 s. A call that was
	// accepted and takes longer goes on and is answered 409 in_flight; one that
	// was not is given up and answered 503 canceled, as is a read.
	Wait time.Duration
	// MaxBody bounds a request's body in bytes; 1 MiB. The App has a bound of
	// its own (semel.Config.MaxBody).
	MaxBody int64
	// Hosts are names under which a request may ask for this server on a
	// connection to the loopback address, besides localhost and the loopback
	// addresses themselves: those that a proxy on this machine passes on. A
	// request for any other name is answered 421 (see host.go).
	Hosts []string
	// Ready is asked by /readyz before the App is; an error makes the server
	// unready. A server that is about to stop uses it.
	Ready func() error
	Auth  Authenticator // who sent a request; nil is Anonymous
	// Logger hears of failures that the caller is not told the details of;
	// slog.Default.
	Logger *slog.Logger
}

// Handler serves the API of an App. It is safe for concurrent use.
func Handler(app *semel.App, opts Options) http.Handler {
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = 1 << 20
	}
	if opts.Ready == nil {
		opts.Ready = func() error { return nil }
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &api{app: app, Options: opts}

	mux := http.NewServeMux()
	route := func(path string, methods map[string]http.HandlerFunc) {
		var allowed []string
		for _, m := range []string{http.MethodGet, http.MethodPost} {
			if h := methods[m]; h != nil {
				mux.HandleFunc(m+" "+path, h)
				allowed = append(allowed, m)
			}
		}
		if methods[http.MethodGet] != nil {
			allowed = append(allowed, http.MethodHead)
		}
		// The mux's own answer to another method is not a problem document.
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.refuse(w, codeMethodNotAllowed, "this path takes "+strings.Join(allowed, ", "))
		})
	}
	route("/v1/agents/{type}/{id}/{action}", map[string]http.HandlerFunc{http.MethodPost: s.call})
	route("/v1/agents/{type}/{id}", map[string]http.HandlerFunc{http.MethodGet: s.state})
	route("/livez", map[string]http.HandlerFunc{http.MethodGet: s.live})
	route("/readyz", map[string]http.HandlerFunc{http.MethodGet: s.ready})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, codeNotFound, "there is nothing at this path")
	})

	// A page of another site must not act through its visitor's browser: the
	// server listens on the loopback address, where no password protects it.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, codeForbidden, "a browser may not send this from a page of another origin")
	}))
	return s.ownHosts(origin.Handler(plainPaths(mux, s)))
}

// plainPaths keeps from the mux the paths that it would redirect to another
// spelling: an agent's id may be empty or dots by mistake only, and a client
// that followed the redirect would call something else.
func plainPaths(next http.Handler, s *api) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i, segment := range strings.Split(r.URL.EscapedPath(), "/") {
			if i > 0 && (segment == "" && r.URL.Path != "/" || segment == "." || segment == "..") {
				s.refuse(w, codeNotFound, "the path has an empty segment, or one of dots; escape what is meant: %2F for a slash")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// api is what the handlers share.
type api struct {
	Options
	app *semel.App
}

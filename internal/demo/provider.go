package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// provider takes payments. It is a process of its own.
type provider struct {
	broken bool // it charges its first payment twice

	mu     sync.Mutex
	book   *book
	all    []Charge
	armed  order
	server int // the server's process, which must not outlive the demo
}

// order tells the provider to kill the server when a charge of this invoice
// has arrived, or is in the books, and to answer nothing.
type order struct {
	Invoice string  `json:"invoice"`
	When    Instant `json:"when"`
}

// Provide is the provider's process. It prints its address, and runs until in
// ends, which is when the demo does, however that came about.
func Provide(ledger string, broken bool, in io.Reader, out io.Writer) error {
	b, err := createBook(ledger)
	if err != nil {
		return err
	}
	p := &provider{book: b, broken: broken}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	srv.SetKeepAlivesEnabled(false)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(newSerial(l)) }()
	if _, err := fmt.Fprintln(out, "http://"+l.Addr().String()); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	select {
	case err = <-failed:
	case err = <-ended:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(err, p.killServer(), srv.Close(), p.book.f.Close())
}

func (p *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charge", p.charge)
	mux.HandleFunc("GET /charges/{key}", p.find)
	mux.HandleFunc("GET /charges", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		answer(w, append([]Charge{}, p.all...))
	})
	// How the demo directs it.
	mux.HandleFunc("PUT /demo/order", func(w http.ResponseWriter, r *http.Request) { p.take(w, r, &p.armed) })
	mux.HandleFunc("PUT /demo/server", func(w http.ResponseWriter, r *http.Request) { p.take(w, r, &p.server) })
	return mux
}

func (p *provider) take(w http.ResponseWriter, r *http.Request, into any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// charge charges whatever arrives. It promises nothing about keys.
func (p *provider) charge(w http.ResponseWriter, r *http.Request) {
	var c Charge
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil || c.Cents <= 0 {
		http.Error(w, "a charge has an invoice and a positive amount of cents", http.StatusBadRequest)
		return
	}
	c.Key = r.Header.Get("Idempotency-Key")
	dead, err := p.enter(&c)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case dead:
		<-r.Context().Done() // nobody must hear of it, not even in its last instant
	default:
		answer(w, c)
	}
}

// enter writes a charge to the ledger, and kills the server where it was told
// to: then there is nobody to answer.
func (p *provider) enter(c *Charge) (dead bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ordered := p.armed.Invoice == c.Invoice && c.Invoice != ""
	if ordered && p.armed.When == Arrived {
		return true, p.killServer()
	}
	times := 1
	if p.broken && len(p.all) == 0 {
		times = 2
	}
	for range times {
		c.Receipt = fmt.Sprintf("ch-%03d", len(p.all)+1)
		if err := p.book.append(*c); err != nil {
			return false, err
		}
		p.all = append(p.all, *c)
	}
	if ordered && p.armed.When == Charged {
		return true, p.killServer()
	}
	return false, nil
}

// killServer sends SIGKILL and forgets the order. It is called with the lock.
func (p *provider) killServer() error {
	pid := p.server
	p.armed, p.server = order{}, 0
	if pid == 0 {
		return nil
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// find says whether it charged under a key.
func (p *provider) find(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		if c.Key == r.PathValue("key") {
			answer(w, c)
			return
		}
	}
	http.NotFound(w, r)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone
}

// serial takes one connection at a time, in the order in which they came. So a
// question cannot overtake a charge whose sender was killed a moment ago: the
// promise that a probe must be able to rely on, and a person too.
type serial struct {
	net.Listener
	free chan struct{}
}

func newSerial(l net.Listener) *serial { return &serial{l, make(chan struct{}, 1)} }

func (s *serial) Accept() (net.Conn, error) {
	s.free <- struct{}{}
	c, err := s.Listener.Accept()
	if err != nil {
		<-s.free
		return nil, err
	}
	return &served{Conn: c, done: sync.OnceFunc(func() { <-s.free })}, nil
}

type served struct {
	net.Conn
	done func()
}

func (c *served) Close() error {
	defer c.done()
	return c.Conn.Close()
}

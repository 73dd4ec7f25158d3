package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// How often the network does what it should not, in percent, besides losing
// replies.
const (
	cutRate, delayRate, duplicateRate = 1.0, 2.0, 2.0
	longestDelay                      = 40 * time.Millisecond
	longestBody                       = 64 << 20
)

// proxyConfig is what the proxy is told.
type proxyConfig struct {
	File        string   `json:"file"`
	Epoch       int64    `json:"epoch"`
	Targets     []string `json:"targets"` // any of them may be asked
	Seed        uint64   `json:"seed"`
	LostReplies float64  `json:"lost_replies"`
}

// proxy is a network that nobody should trust. It never tries again by itself.
type proxy struct {
	proxyConfig
	rec    *recorder
	client *http.Transport
	calm   atomic.Bool // it does nothing any more that it should not

	mu  sync.Mutex
	rng *rand.Rand
}

// runProxy is the proxy's process.
func runProxy(c proxyConfig, talk conversation) error {
	rec, err := newRecorder(c.File, c.Epoch)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := &proxy{proxyConfig: c, rec: rec, rng: rand.New(rand.NewPCG(c.Seed, 1)),
		client: &http.Transport{MaxIdleConnsPerHost: maxClients, DisableCompression: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}}
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(listener) }() // it ends with the process
	if err := talk.say("http://" + listener.Addr().String()); err != nil {
		return err
	}
	for {
		command, _, err := talk.next()
		if err != nil {
			break
		}
		if command == "calm" {
			p.calm.Store(true)
			if err := talk.say("calm"); err != nil {
				return err
			}
		}
	}
	return errors.Join(srv.Close(), rec.close())
}

// fate draws what becomes of a request, and how long something takes.
func (p *proxy) fate() (what string, wait time.Duration) {
	if p.calm.Load() {
		return "", 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = time.Duration(p.rng.Int64N(int64(longestDelay)))
	x := p.rng.Float64() * 100
	for _, f := range []struct {
		what string
		rate float64
	}{{check.FaultLostReply, p.LostReplies}, {check.FaultCut, cutRate}, {check.FaultDelay, delayRate}, {check.FaultDuplicate, duplicateRate}} {
		if x < f.rate {
			return f.what, wait
		}
		x -= f.rate
	}
	return "", wait
}

// ServeHTTP passes a request on, or not.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, longestBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	what, wait := p.fate()
	if what != "" {
		p.rec.write(befell(what, r, body))
	}
	switch what {
	case check.FaultCut:
		if wait > longestDelay/2 { // else it does not even arrive
			p.aside(r, body)
		}
		panic(http.ErrAbortHandler)
	case check.FaultDelay:
		time.Sleep(wait)
	case check.FaultDuplicate:
		p.aside(r, body)
	}
	res, reply, err := p.forward(r.Context(), r, body)
	if err != nil || what == check.FaultLostReply {
		panic(http.ErrAbortHandler)
	}
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(reply) // the client may be gone
}

// befell is the record of what became of a request, with the key of its call, or
// with those of all of a batch.
func befell(what string, r *http.Request, body []byte) check.Record {
	rec := check.Record{Type: check.Fault, Fault: what, Key: strings.Trim(r.Header.Get("Idempotency-Key"), `"`)}
	var calls []batchCall
	if r.URL.Path == batchPath && json.Unmarshal(body, &calls) == nil {
		for _, c := range calls {
			rec.Keys = append(rec.Keys, c.Key)
		}
	}
	return rec
}

// aside sends a request whose answer nobody hears.
func (p *proxy) aside(r *http.Request, body []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	copied := r.Clone(ctx)
	go func() { // it ends with the process, if not before
		defer cancel()
		_, _, _ = p.forward(ctx, copied, body)
	}()
}

// forward sends a request to one of the targets, and to the next if none listens
// there.
func (p *proxy) forward(ctx context.Context, r *http.Request, body []byte) (res *http.Response, reply []byte, err error) {
	p.mu.Lock()
	first := p.rng.IntN(len(p.Targets))
	p.mu.Unlock()
	for i := range p.Targets {
		res, reply, err = p.forwardTo(ctx, p.Targets[(first+i)%len(p.Targets)], r, body)
		if op := (*net.OpError)(nil); !errors.As(err, &op) || op.Op != "dial" {
			break
		}
	}
	return res, reply, err
}

func (p *proxy) forwardTo(ctx context.Context, target string, r *http.Request, body []byte) (*http.Response, []byte, error) {
	out, err := http.NewRequestWithContext(ctx, r.Method, target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > 0 {
		out.GetBody = nil // or the transport tries again by itself
	}
	for name, values := range r.Header {
		if name != "Connection" {
			out.Header[name] = values
		}
	}
	res, err := p.client.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, longestBody))
	return res, reply, err
}

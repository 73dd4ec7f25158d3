package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What transactions call at the branches.
const (
	takeOut = "out"
	takeIn  = "in"
	undo    = "-undo"    // of a saga's action
	try     = "-try"     // of a participant, as
	confirm = "-confirm" // those of DTM's
	cancel  = "-cancel"  // TCC are named
)

// branchCalls are all of them, each a bit of what is remembered of a transaction.
var branchCalls = []string{
	takeOut, takeIn, takeOut + undo, takeIn + undo,
	takeOut + try, takeIn + try, takeOut + confirm, takeIn + confirm, takeOut + cancel, takeIn + cancel,
}

// branches is the server of both participants' branches. It does nothing but
// remember which transactions called what, and says yes at once: what is
// measured is what the manager of the transactions costs.
//
// It is one process with the callers, whoever the manager is.
type branches struct {
	server  *http.Server
	address string
	served  chan error
	more    chan struct{} // has a token when something was called since it was taken
	shards  [64]branchShard
	seed    maphash.Seed
}

type branchShard struct {
	mu     sync.Mutex
	called map[string]uint16 // by transaction, a bit for each of branchCalls
	again  int               // calls that were made before
}

// serveBranches serves on a loopback address.
func serveBranches() (*branches, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &branches{address: listener.Addr().String(), served: make(chan error, 1), more: make(chan struct{}, 1), seed: maphash.MakeSeed()}
	mux := http.NewServeMux()
	for i, name := range branchCalls {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) { b.serve(w, r, 1<<i) })
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn)
	b.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	go func() { b.served <- b.server.Serve(listener) }()
	return b, nil
}

func (b *branches) url(call string) string { return "http://" + b.address + "/" + call }

// body is what a branch of a transaction is called with.
func branchBody(tx string) string { return `{"tx":"` + tx + `","cents":30}` }

func (b *branches) serve(w http.ResponseWriter, r *http.Request, bit uint16) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	var in struct{ Tx string }
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil || in.Tx == "" {
		http.Error(w, fmt.Sprintf("a branch was called with %.200q (%v)", text, err), http.StatusBadRequest)
		return
	}
	s := b.shard(in.Tx)
	s.mu.Lock()
	if s.called == nil {
		s.called = map[string]uint16{}
	}
	if s.called[in.Tx]&bit != 0 {
		s.again++
	}
	s.called[in.Tx] |= bit
	s.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}") // who does not hear it calls again
}

func (b *branches) shard(tx string) *branchShard {
	return &b.shards[maphash.String(b.seed, tx)%uint64(len(b.shards))]
}

// called waits until each of some transactions has called all of what it should,
// and forgets them. again is how many calls came twice since it was last asked.
func (b *branches) called(ctx context.Context, txs []string, calls []string) (again int, err error) {
	var want uint16
	for i, name := range branchCalls {
		for _, c := range calls {
			if c == name {
				want |= 1 << i
			}
		}
	}
	for _, tx := range txs {
		if err := b.await(ctx, tx, want, calls); err != nil {
			return 0, err
		}
	}
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		again += s.again
		s.called, s.again = nil, 0
		s.mu.Unlock()
	}
	return again, nil
}

func (b *branches) await(ctx context.Context, tx string, want uint16, calls []string) error {
	s := b.shard(tx)
	for {
		s.mu.Lock()
		got := s.called[tx]
		s.mu.Unlock()
		if got&want == want {
			return nil
		}
		select {
		case <-b.more:
		case <-ctx.Done():
			return fmt.Errorf("transaction %s ended, and did not call all of %s: %w", tx, strings.Join(calls, ", "), context.Cause(ctx))
		}
	}
}

func (b *branches) close() error {
	err := b.server.Close() // nobody calls any more, but for connections that are kept
	if e := <-b.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

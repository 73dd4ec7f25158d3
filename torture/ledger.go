package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// slowness is how long a slow answer of the outside world takes after it did what
// it was asked: room for a kill between the effect and its record.
const slowness = 30 * time.Millisecond

// ledgerConfig is what the outside world is told.
type ledgerConfig struct {
	File  string `json:"file"`
	Epoch int64  `json:"epoch"`
	Addr  string `json:"addr"`
	Run   string `json:"run"`
}

// wish is the body of an effect's request: what is to be done, and how the
// outside world is to behave at the first call.
type wish struct {
	Run   string `json:"run"`
	Op    string `json:"op"` // the caller's key
	Cents int64  `json:"cents"`
	How   string `json:"how"`
}

// How the outside world behaves at the first call for a key.
const (
	howDone    = "done"
	howSlow    = "slow"    // it does it, and answers late
	howLose    = "lose"    // it does it, and hangs up
	howDrop    = "drop"    // it does not, and hangs up
	howDecline = "decline" // it does not, and says so
)

// ledger is the outside world. Under the policy keyed it knows keys; under the
// others it does whatever arrives, also twice.
type ledger struct {
	run   string
	rec   *recorder
	order *order
	sync  *syncer

	mu     sync.Mutex
	known  map[string]*deed // by effect key
	number int
}

// deed is what is known of an effect key.
type deed struct {
	calls   int
	receipt string // of what was done, empty if nothing was
}

// runLedger is the outside world's process.
func runLedger(c ledgerConfig, talk conversation) error {
	rec, err := newRecorder(c.File, c.Epoch)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	l := &ledger{run: c.Run, rec: rec, order: newOrder(), sync: newSyncer(rec), known: make(map[string]*deed)}
	srv := &http.Server{Handler: l.handler(), ReadHeaderTimeout: 10 * time.Second, ConnContext: l.order.context}
	srv.SetKeepAlivesEnabled(false)
	go func() { _ = srv.Serve(l.order.listen(listener)) }() // it ends with the process
	if err := talk.say("http://" + listener.Addr().String()); err != nil {
		return err
	}
	guarded := make(map[string]int) // by its name, the process that must not outlive the torture
	for {
		command, argument, err := talk.next()
		if err != nil {
			break
		}
		if command == "server" {
			name, pid, _ := strings.Cut(argument, " ")
			if guarded[name], err = strconv.Atoi(pid); err != nil {
				return err
			}
		}
	}
	for _, pid := range guarded {
		if pid != 0 {
			killGroup(pid)
		}
	}
	return errors.Join(srv.Close(), rec.close())
}

func (l *ledger) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /effects/{policy}", l.effect)
	mux.HandleFunc("GET /probe/{key}", func(w http.ResponseWriter, r *http.Request) { l.find(w, r, true) })
	mux.HandleFunc("GET /books/{key}", func(w http.ResponseWriter, r *http.Request) { l.find(w, r, false) })
	return mux
}

// effect does what it is asked, or not.
func (l *ledger) effect(w http.ResponseWriter, r *http.Request) {
	var asked wish
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if asked.Run != l.run {
		// An earlier run asked for it, whose ledger we are not: whether it was done
		// then nobody knows here, and nothing is done now.
		http.Error(w, "this ledger is of another run", http.StatusServiceUnavailable)
		return
	}
	rec := check.Record{Type: check.Call, Key: asked.Op, Cents: asked.Cents, EffectKey: r.Header.Get("Idempotency-Key"), Policy: r.PathValue("policy")}
	how := l.enter(&rec, asked.How)
	l.order.done(r.Context())
	if rec.Type == check.Effect {
		l.sync.wait() // nobody hears of what is not on the disk
	}
	switch rec.Told {
	case check.ToldNothing:
		panic(http.ErrAbortHandler)
	case check.ToldDeclined:
		w.WriteHeader(http.StatusPaymentRequired)
		return
	}
	if how == howSlow {
		time.Sleep(slowness)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(receiptReply(rec.Receipt)) // whoever asked may be gone
}

// receiptReply is the answer to an effect that was done. It has no white space,
// so that it is the same bytes wherever it is told.
func receiptReply(receipt string) []byte { return fmt.Appendf(nil, `{"receipt":%q}`, receipt) }

// enter decides what is done, and writes it down.
func (l *ledger) enter(rec *check.Record, how string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.known[rec.EffectKey]
	if d == nil {
		d = &deed{}
		l.known[rec.EffectKey] = d
	}
	if d.calls++; d.calls > 1 {
		how = howDone
	}
	switch {
	case how == howDecline:
		rec.Told = check.ToldDeclined
	case how == howDrop:
		rec.Told = check.ToldNothing
	case d.receipt != "" && rec.Policy == check.Keyed:
		rec.Told = check.ToldDone
	default:
		l.number++
		rec.Type, rec.Told, d.receipt = check.Effect, check.ToldDone, fmt.Sprintf("receipt-%d", l.number)
		if how == howLose {
			rec.Told = check.ToldNothing
		}
	}
	rec.Receipt = d.receipt
	l.rec.write(*rec)
	return how
}

// find says whether something was done under a key. It looks when everything
// that was sent before the question has been entered.
func (l *ledger) find(w http.ResponseWriter, r *http.Request, probe bool) {
	l.order.await(r.Context())
	key := r.PathValue("key")
	l.mu.Lock()
	d := l.known[key]
	found := d != nil && d.receipt != ""
	if probe {
		l.rec.write(check.Record{Type: check.Probed, EffectKey: key, Found: found})
	}
	l.mu.Unlock()
	if !found {
		http.NotFound(w, r)
		return
	}
	l.sync.wait()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(receiptReply(d.receipt)) // whoever asked may be gone
}

// syncer syncs a recorder's file for many at once.
type syncer struct {
	mu      sync.Mutex
	waiting []chan struct{}
	busy    bool
	rec     *recorder
}

func newSyncer(rec *recorder) *syncer { return &syncer{rec: rec} }

// wait returns when everything that was written before is on the disk. Those who
// come while a sync is under way share the next one.
func (s *syncer) wait() {
	done := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, done)
	if s.busy {
		s.mu.Unlock()
		<-done
		return
	}
	s.busy = true
	for len(s.waiting) > 0 {
		group := s.waiting
		s.waiting = nil
		s.mu.Unlock()
		s.rec.sync()
		for _, c := range group {
			close(c)
		}
		s.mu.Lock()
	}
	s.busy = false
	s.mu.Unlock()
}

package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// loaderConfig is what a process of clients is told.
type loaderConfig struct {
	File       string   `json:"file"`
	Epoch      int64    `json:"epoch"`
	URL        string   `json:"url"` // of the proxy
	Token      string   `json:"token"`
	Run        string   `json:"run"`
	Seed       uint64   `json:"seed"`
	Number     int      `json:"number"` // of this process
	Callers    int      `json:"callers"`
	Clients    int      `json:"clients"` // callers of all processes
	Policies   []string `json:"policies"`
	Duplicates float64  `json:"duplicates"` // percent
}

const (
	// alteredRate is how many keys are used for another payload too, in percent.
	alteredRate = 5.0
	// batchRate is how often a caller sends batchSize operations in one request, in
	// percent of its turns.
	batchRate = 2.0
	batchSize = 20
	// requestTime bounds a request; the server answers in_flight long before.
	requestTime = 20 * time.Second
	// waitFor is what the server is asked to wait for an outcome.
	waitFor = "wait=2"
	// patience is how often a caller asks for what is in flight before it goes on
	// to the next operation. At the end it comes back.
	patience = 2
	// stuck is how long nothing may be decided at the end: what is not decided then
	// never will be.
	stuck = time.Minute
)

// loader is a process of clients. Each of its callers makes an operation after
// the other, and repeats each until it is decided.
type loader struct {
	loaderConfig
	rec    *recorder
	client *http.Client
	ids    atomic.Int64
	done   atomic.Int64 // operations that were played
	stop   chan struct{}
	aimed  atomic.Bool // the conductor waits for an answer, to kill the server at once
	talk   conversation

	mu         sync.Mutex
	undecided  []*operation
	decided    []*operation
	generation int // the last one of accounts that was used
}

// runLoader is the process of clients.
func runLoader(c loaderConfig, talk conversation) error {
	rec, err := newRecorder(c.File, c.Epoch)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * c.Callers, DisableCompression: true}
	l := &loader{loaderConfig: c, rec: rec, talk: talk, stop: make(chan struct{}), client: &http.Client{Transport: transport, Timeout: requestTime}}
	if err := talk.say("ready"); err != nil {
		return err
	}
	var load sync.WaitGroup
	for {
		command, _, err := talk.next()
		if err != nil {
			break
		}
		switch command {
		case "load":
			for i := range c.Callers {
				load.Go(func() { l.caller(i) })
			}
			go l.report(talk)
		case "aim":
			l.aimed.Store(true)
		case "drain":
			close(l.stop)
			load.Wait()
			rec.write(check.Record{Type: check.Drain, Left: l.drain()})
			err = errors.Join(talk.say("generation", l.generation), talk.say("drained"))
		case "again":
			l.again()
			rec.flush()
			err = talk.say("finished")
		}
		if err != nil {
			return err
		}
	}
	return rec.close()
}

// report says how many operations were played, until the load stops.
func (l *loader) report(talk conversation) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	said := int64(0)
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			if n := l.done.Load(); n != said {
				said = n
				if talk.say("played", n) != nil {
					return // nobody listens
				}
			}
		}
	}
}

// caller is one client.
func (l *loader) caller(i int) {
	seed := uint64(l.Number*maxClients + i)
	m := &maker{rng: rand.New(rand.NewPCG(l.Seed, seed)), run: l.Run, name: fmt.Sprint(l.Number, "-", i), accounts: accountsFor(l.Clients), policies: l.Policies}
	m.span = max(1, operationsEach*m.accounts/l.Clients)
	rng := rand.New(rand.NewPCG(l.Seed, ^seed))
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		if rng.Float64()*100 < batchRate {
			l.playBatch(m, rng)
		} else {
			l.play(m.next(), rng)
		}
		l.mu.Lock()
		l.generation = max(l.generation, m.generation())
		l.mu.Unlock()
	}
}

// play sends an operation until it is decided, or must wait for the end.
func (l *loader) play(o *operation, rng *rand.Rand) {
	if o.kind != check.OpRead && rng.Float64()*100 < l.Duplicates {
		l.finish(o, l.twice(o), rng)
	} else {
		l.finish(o, l.send(o, check.PhaseLoad, 0), rng)
	}
}

// playBatch sends many operations in one request, or twice so at once, until there
// is an answer. Those that are not decided then are sent again by themselves.
func (l *loader) playBatch(m *maker, rng *rand.Rand) {
	var all []*operation
	for len(all) < batchSize {
		if o := m.next(); o.kind != check.OpRead {
			all = append(all, o)
		}
	}
	var answers, others []check.Record
	if rng.Float64()*100 < l.Duplicates {
		for _, o := range all {
			l.rec.write(check.Record{Type: check.Fault, Fault: check.FaultTwice, Key: o.key})
		}
		var both sync.WaitGroup
		both.Go(func() { others = l.batch(all, check.PhaseLoad) })
		answers = l.batch(all, check.PhaseLoad)
		both.Wait()
	} else {
		answers = l.batch(all, check.PhaseLoad)
		others = answers
	}
	for i := range all {
		answers[i] = better(answers[i], others[i])
	}
	for !l.stopped() {
		rest := unheard(answers)
		if len(rest) == 0 {
			break
		}
		time.Sleep(4 * shortPause(rng)) // a batch weighs more
		var again []*operation
		for _, i := range rest {
			again = append(again, all[i])
		}
		for k, a := range l.batch(again, check.PhaseLoad) {
			answers[rest[k]] = a
		}
	}
	for i, o := range all {
		l.finish(o, answers[i], rng)
	}
}

// unheard are the places of answers that did not come, or that the server was too
// busy to give.
func unheard(answers []check.Record) (all []int) {
	for i := range answers {
		if a := &answers[i]; a.Code == codeLost || busy(a) {
			all = append(all, i)
		}
	}
	return all
}

// shortPause is between two attempts. The server is back, or not so busy, soon.
func shortPause(rng *rand.Rand) time.Duration {
	return 5*time.Millisecond + time.Duration(rng.Int64N(int64(20*time.Millisecond)))
}

// finish goes on with an operation that was answered for the first time.
func (l *loader) finish(o *operation, last check.Record, rng *rand.Rand) {
	if o.kind == check.OpRead {
		return
	}
	defer l.done.Add(1)
	for asked := 1; ; asked++ {
		switch {
		case final(&last):
			l.keep(&l.decided, o)
			if rng.Float64()*100 < alteredRate {
				l.send(o, check.PhaseAltered, 1)
			}
			return
		case last.Type == check.Fail && !busy(&last):
			l.later(o) // which should not be
			return
		case last.Code == "in_doubt", last.Code == "in_flight" && asked > patience, l.stopped():
			l.later(o)
			return
		}
		if last.Code != "in_flight" { // which waits by itself
			time.Sleep(shortPause(rng))
		}
		last = l.send(o, check.PhaseLoad, 0)
	}
}

// later keeps an operation for the end. What is malformed is never decided.
func (l *loader) later(o *operation) {
	if o.kind != check.OpMalformed {
		l.keep(&l.undecided, o)
	}
}

func (l *loader) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *loader) keep(list *[]*operation, o *operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, o)
}

// twice sends two requests at once, and returns the better answer.
func (l *loader) twice(o *operation) check.Record {
	l.rec.write(check.Record{Type: check.Fault, Fault: check.FaultTwice, Key: o.key})
	var other check.Record
	var both sync.WaitGroup
	both.Go(func() { other = l.send(o, check.PhaseLoad, 0) })
	one := l.send(o, check.PhaseLoad, 0)
	both.Wait()
	return better(one, other)
}

// better is the answer of two that says more. A refusal of one request says
// nothing of the other.
func better(one, other check.Record) check.Record {
	if final(&other) || one.Type == check.Fail && !final(&one) {
		return other
	}
	return one
}

// send makes one request, and writes down what became of it. What more adds to
// the amount makes it another payload.
func (l *loader) send(o *operation, phase string, more int64) check.Record {
	id := fmt.Sprintf("%d.%d", l.Number, l.ids.Add(1))
	body := o.body(more)
	req, err := l.request(o, body)
	if err != nil {
		panic(err) // all of it is of our own making
	}
	l.rec.write(o.invoke(id, phase, body, more))
	rec := l.exchange(o, req)
	if rec.Type == check.OK && !rec.Replayed && o.kind != check.OpRead && l.aimed.CompareAndSwap(true, false) {
		_ = l.talk.say("hit") // if nobody listens, nobody is killed
	}
	rec.ID, rec.At = id, l.rec.now()
	l.rec.write(rec)
	return rec
}

func (l *loader) request(o *operation, body []byte) (req *http.Request, err error) {
	switch o.kind {
	case check.OpRead:
		return l.newRequest(http.MethodGet, "/v1/agents/"+o.agent, nil)
	case check.OpEffect:
		req, err = l.newRequest(http.MethodPost, "/v1/effects/"+effectName+o.policy, body)
	default:
		req, err = l.newRequest(http.MethodPost, "/v1/agents/"+o.agent+"/"+o.action, body)
	}
	if err == nil {
		req.Header.Set("Idempotency-Key", `"`+o.key+`"`)
		req.Header.Set("Prefer", waitFor)
	}
	return req, err
}

func (l *loader) newRequest(method, path string, body []byte) (*http.Request, error) {
	req, err := newRequest(context.Background(), method, l.URL+path, body)
	if err == nil && l.Token != "" {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	return req, err
}

// exchange sends a request and reads its answer.
func (l *loader) exchange(o *operation, req *http.Request) check.Record {
	status, header, body, err := do(l.client, req)
	if err != nil {
		return lostReply()
	}
	if o.kind == check.OpRead && status == http.StatusNotFound {
		zero := int64(0)
		return check.Record{Type: check.OK, Status: status, Balance: &zero} // nobody has touched it yet
	}
	return answered(o, status, body, header.Get("Idempotent-Replayed") == "true")
}

var errTooLong = errors.New("the answer is too long")

// do sends a request and reads the whole answer.
func do(c *http.Client, req *http.Request) (int, http.Header, []byte, error) {
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, longestBody+1))
	if err == nil && len(body) > longestBody {
		err = errTooLong
	}
	return res.StatusCode, res.Header, body, err
}

package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

// loaderConfig is what a process of clients is told.
type loaderConfig struct {
	File       string        `json:"file"`
	Epoch      int64         `json:"epoch"`
	URL        string        `json:"url"` // of the proxy
	Token      string        `json:"token"`
	Run        string        `json:"run"`
	Seed       uint64        `json:"seed"`
	Number     int           `json:"number"` // of this process
	Callers    int           `json:"callers"`
	Clients    int           `json:"clients"` // callers of all processes
	Policies   []string      `json:"policies"`
	Duplicates float64       `json:"duplicates"` // percent
	Bank       float64       `json:"bank"`       // percent of the operations
	Timeout    time.Duration `json:"timeout"`    // of its transactions
}

const (
	// alteredRate is how many keys are used for something else too when they are
	// decided, and openRate how many while they are not, of those that stay open for
	// a moment; in percent.
	alteredRate = 5.0
	openRate    = 20.0
	// batchRate is how often a caller sends batchSize operations in one request, in
	// percent of its turns.
	batchRate = 2.0
	batchSize = 20
	// requestTime bounds a request; the server answers in_flight long before.
	requestTime = 20 * time.Second
	// waitFor is what the server is asked to wait for an outcome; or it is to answer
	// when the call is durably accepted.
	waitFor = "wait=2"
	accept  = "respond-async"
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
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var load sync.WaitGroup
	for command := range listen(ctx, cancel, talk) {
		var err error
		switch command {
		case "load":
			for i := range c.Callers {
				load.Go(func() { l.caller(ctx, i) })
			}
			go l.report(ctx, talk)
		case "aim":
			l.aimed.Store(true)
		case "drain":
			close(l.stop)
			load.Wait()
			rec.write(check.Record{Type: check.Drain, Left: l.drain(ctx)})
			err = errors.Join(talk.say("generation", l.generation), talk.say("drained"))
		case "again":
			l.again(ctx)
			err = talk.say("finished")
		case "fund":
			l.fund(ctx)
			err = talk.say("funded")
		case "last":
			l.readAll(ctx)
			err = talk.say("read")
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	load.Wait() // each writes down what became of its request
	return rec.close()
}

// listen hands commands on. While one is carried out, the end of the conversation
// is heard too: it ends ctx, and with it whatever is under way.
func listen(ctx context.Context, end context.CancelFunc, talk conversation) <-chan string {
	commands := make(chan string)
	go func() {
		defer close(commands)
		defer end()
		for {
			command, _, err := talk.next()
			if err != nil {
				return
			}
			select {
			case commands <- command:
			case <-ctx.Done():
				return
			}
		}
	}()
	return commands
}

// report says how many operations were played, until the load stops.
func (l *loader) report(ctx context.Context, talk conversation) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	said := int64(0)
	for {
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
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
func (l *loader) caller(ctx context.Context, i int) {
	seed := uint64(l.Number*maxClients + i)
	m := &maker{rng: rand.New(rand.NewPCG(l.Seed, seed)), run: l.Run, name: fmt.Sprint(l.Number, "-", i), accounts: accountsFor(l.Clients), policies: l.Policies, bank: l.Bank, timeout: l.Timeout, first: i == 0}
	m.span = max(1, operationsEach*m.accounts/l.Clients)
	rng := rand.New(rand.NewPCG(l.Seed, ^seed))
	for !l.stopped(ctx) {
		if l.Bank < 100 && chance(rng, batchRate) {
			l.playBatch(ctx, m, rng)
		} else {
			l.play(ctx, m.next(), rng)
		}
		l.mu.Lock()
		l.generation = max(l.generation, m.generation())
		l.mu.Unlock()
	}
}

// chance says whether a thing of this percentage happens.
func chance(rng *rand.Rand, percent float64) bool { return rng.Float64()*100 < percent }

// play sends an operation until it is decided, or must wait for the end.
func (l *loader) play(ctx context.Context, o *operation, rng *rand.Rand) {
	var first check.Record
	switch {
	case o.kind != check.OpRead && chance(rng, l.Duplicates):
		first = l.twice(ctx, o)
	case o.staysOpen() && chance(rng, openRate):
		if first = l.send(ctx, o, check.PhaseLoad, accept); open(&first) {
			l.alter(ctx, o, rng)
		}
	default:
		first = l.send(ctx, o, check.PhaseLoad, waitFor)
	}
	l.finish(ctx, o, first, rng)
}

// playBatch sends many operations in one request, or twice so at once, until there
// is an answer. Those that are not decided then are sent again by themselves.
func (l *loader) playBatch(ctx context.Context, m *maker, rng *rand.Rand) {
	var all []*operation
	bank := m.bank
	m.bank = 0 // no batch takes a transaction
	for len(all) < batchSize {
		if o := m.next(); o.kind != check.OpRead {
			all = append(all, o)
		}
	}
	m.bank = bank
	var answers, others []check.Record
	if chance(rng, l.Duplicates) {
		for _, o := range all {
			l.rec.write(check.Record{Type: check.Fault, Fault: check.FaultTwice, Key: o.key})
		}
		var both sync.WaitGroup
		both.Go(func() { others = l.batch(ctx, all, check.PhaseLoad) })
		answers = l.batch(ctx, all, check.PhaseLoad)
		both.Wait()
	} else {
		answers = l.batch(ctx, all, check.PhaseLoad)
		others = answers
	}
	for i := range all {
		answers[i] = better(answers[i], others[i])
	}
	for !l.stopped(ctx) {
		rest := unheard(answers)
		if len(rest) == 0 {
			break
		}
		sleep(ctx, 4*shortPause(rng)) // a batch weighs more
		var again []*operation
		for _, i := range rest {
			again = append(again, all[i])
		}
		for k, a := range l.batch(ctx, again, check.PhaseLoad) {
			answers[rest[k]] = a
		}
	}
	for i, o := range all {
		l.finish(ctx, o, answers[i], rng)
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
func (l *loader) finish(ctx context.Context, o *operation, last check.Record, rng *rand.Rand) {
	if o.kind == check.OpRead {
		return
	}
	defer l.done.Add(1)
	for asked := 1; ; asked++ {
		switch {
		case final(&last):
			l.keep(&l.decided, o)
			if chance(rng, alteredRate) {
				l.alter(ctx, o, rng)
			}
			return
		case last.Type == check.Fail && !busy(&last):
			l.later(o) // which should not be
			return
		case last.Code == codeDoubt && chance(rng, openRate):
			l.alter(ctx, o, rng)
			l.later(o)
			return
		case last.Code == codeDoubt, last.Code == codeOpen && asked > patience && o.kind != check.OpTransaction, l.stopped(ctx):
			l.later(o)
			return
		}
		if last.Code != codeOpen { // which waits by itself
			sleep(ctx, shortPause(rng))
		}
		last = l.send(ctx, o, check.PhaseLoad, waitFor)
	}
}

// later keeps an operation for the end. What is malformed is never decided.
func (l *loader) later(o *operation) {
	if o.kind != check.OpMalformed {
		l.keep(&l.undecided, o)
	}
}

func (l *loader) stopped(ctx context.Context) bool {
	select {
	case <-l.stop:
		return true
	case <-ctx.Done():
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
func (l *loader) twice(ctx context.Context, o *operation) check.Record {
	l.rec.write(check.Record{Type: check.Fault, Fault: check.FaultTwice, Key: o.key})
	var other check.Record
	var both sync.WaitGroup
	both.Go(func() { other = l.send(ctx, o, check.PhaseLoad, waitFor) })
	one := l.send(ctx, o, check.PhaseLoad, waitFor)
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

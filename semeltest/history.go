package semeltest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/store/mem"
)

// plan is what is done to a program in one case.
type plan struct {
	crashes []crash    // one for each life but the last
	shuffle *rand.Rand // the calls are made in another order
	copies  *rand.Rand // each call comes two or three times
	lose    bool       // the first answer to each effect gets lost
}

// crash is an instant at which a life ends, and what becomes of its data.
type crash struct {
	point point // as another life came by it
	keep  bool  // what was not durable is kept, else it is lost
}

// history is one case: everything that survives the lives of the program.
type history struct {
	o      *options
	plan   plan
	disk   *mem.Disk
	ledger *ledger

	steps []step         // of the first life
	told  map[int]answer // by step: what its caller was told
	lives int
	order []int   // in which the steps were last taken
	at    []point // where the lives crashed

	points  []point // of the last life
	result  *result // of the last life
	trace   *trace
	unknown []semel.AgentName // who heard that an outcome is unknown for ever

	moved atomic.Uint64 // what was done
	hangs bool          // it never came to its end
	left  error         // what still ran of a life that was over

	mu    sync.Mutex
	wrong []string
}

func (h *history) blame(form string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(form, args...))
}

// play runs a case to its end, in a bubble unless time is real.
func play(t *testing.T, o *options, w Workload, p plan) *history {
	shards := 2
	if o.realTime {
		shards = 1 // nobody says whose turn it is: with one, fewer things happen in this order or in that
	}
	h := &history{o: o, plan: p, disk: mem.New(mem.Shards(shards)), ledger: newLedger(o), trace: newTrace(), told: make(map[int]answer)}
	maps.Copy(h.ledger.effects, o.effects)
	if o.realTime {
		h.play(w)
		return h
	}
	wrong, hangs := bubble(t, o.hang(), &h.moved, func() { h.play(w) })
	switch {
	case hangs: // and may go on, so nothing of it can be looked at
		return &history{o: o, plan: p, hangs: true, wrong: []string{wrong}}
	case wrong != "" && len(h.wrong) == 0:
		h.blame("something of the program did not end although its life was over, and its context had ended: "+
			"an effect's function must return then, whatever it waits for (%s; %v)", wrong, h.left)
	}
	return h
}

// restart is how long a program that crashed is down, in a bubble: so that
// whatever it takes from the clock is different afterwards.
const restart = 7*time.Second + 77*time.Millisecond + 7*time.Microsecond + 7

// lastBreath is how long, in a bubble, what is left of a life may take to end:
// an effect's function that does not look at its context.
const lastBreath = time.Hour

func (h *history) play(w Workload) {
	if !h.o.realTime {
		defer time.Sleep(lastBreath) // a bubble must not end before what is in it
	}
	for {
		var c *crash
		if h.lives < len(h.plan.crashes) {
			c = &h.plan.crashes[h.lives]
		}
		h.lives++
		crashed, err := h.live(w, c)
		if err != nil {
			h.blame("%v", err)
			return
		}
		if !crashed {
			return
		}
		if !h.o.realTime {
			time.Sleep(restart)
		}
	}
}

// describe says where the lives crashed.
func (p point) describe(c crash) string {
	what := p.before
	switch {
	case p.commit && c.keep:
		what = p.after
	case p.tail && c.keep:
		what += " (unsynced data kept)"
	case p.tail && !p.commit:
		what += " (unsynced data lost)"
	}
	if p.during != "" {
		what += ", during " + p.during
	}
	return what
}

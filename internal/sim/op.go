package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/message"
)

// op is one thing that a client wants done once.
type op struct {
	n       uint32
	agent   message.Agent
	action  string
	body    body
	key     string // empty: an at-least-once call
	row     string // the identity's row key
	token   string
	accept  bool
	final   *message.Outcome
	settled bool         // nothing more is asked
	unknown bool         // expired: nobody can say
	twice   bool         // its key, which has no time, may have run again, as an outcome that no client heard was forgotten
	first   message.Time // when it was first sent, by the machine's clock
	rush    bool         // it was first sent when the unit was full
	retries bool         // or each of several that are refused at once would be tried again
	waiting int          // requests without an answer
	sent    int
	arrived int      // at machines
	lostIn  uint64   // the timeline of the last failover that lost anything of it; zero if none did
	excused bool     // ... and no answer came since of what is not lost
	runs    int      // of its handler
	codes   []string // that its handlers refused it with
}

// String is for failures.
func (o *op) String() string {
	return fmt.Sprintf("op%d (%s of %s)", o.n, o.action, o.agent)
}

// workload is how a seed's clients behave.
type workload struct {
	agents   int
	bulky    bool // bodies, contexts and replies are large
	bursts   bool // ops come many at a time
	duration time.Duration
}

// burstSize is how many ops come at once, and burstPad bounds how much more
// than usual each replies: far more than one unit has room for.
const burstSize, burstPad = 30, 5000

// everyOp is how many milliseconds of a run there are for each op.
const everyOp = 15 * time.Millisecond

// drawOps draws what is to be done. An op depends on the seed and its number
// alone, so a run with fewer has the first of them.
func drawOps(seed uint64, n int) (workload, []*op) {
	r := newRNG(seed, 1)
	w := workload{agents: pick(r, 3, 6, maxAgents), bulky: r.oneIn(3), bursts: r.oneIn(3), duration: time.Duration(n) * everyOp}
	ops := make([]*op, n)
	for i := range ops {
		ops[i] = w.draw(newRNG(seed, 1<<40|uint64(i)), uint32(i))
	}
	if w.bursts {
		w.gather(r, ops)
	}
	return w, ops
}

func (w *workload) account(r *rng) message.Agent { return accounts[r.intn(w.agents)] }

// gather makes half of each burst one for one agent, which is held for a while:
// what waits for the hold to end is let loose by one event.
func (w *workload) gather(r *rng, ops []*op) {
	for i := 0; i+burstSize <= len(ops); i += burstSize {
		a := w.account(r)
		for j, o := range ops[i : i+burstSize/2] {
			o.action, o.agent, o.accept, o.body = "credit", a, false, body{op: o.n, amt: 1, pad: uint16(r.intn(burstPad))}
			if j == 0 {
				o.action, o.body = "hold", body{op: o.n, ms: 10 + int32(r.intn(40)), n: 1}
			}
		}
	}
}

// draw draws something to do.
func (w *workload) draw(r *rng, n uint32) *op {
	o := &op{n: n, agent: w.account(r), accept: r.oneIn(4)}
	o.body = body{op: n, amt: 1 + int32(r.intn(50)), to: uint8(r.intn(w.agents))}
	if r.oneIn(6) {
		o.body.fails = 1 + int8(r.intn(5))
	}
	o.choose(r, r.intn(116))
	if o.action == "poison" {
		o.accept = true // or it would never end
	}
	if w.bulky && r.oneIn(2) && o.agent.Type == "acct" {
		// An effect has its body twice, and all of it fits an eighth of a unit.
		o.body.text, o.body.pad = zeros[:r.intn(2500)], uint16(r.intn(3000))
	}
	if w.bursts && r.oneIn(4) {
		o.action, o.agent, o.body = "again", tallies[r.intn(len(tallies))], body{}
	}
	return o
}

// choose is the mix of actions.
func (o *op) choose(r *rng, k int) {
	b := &o.body
	switch {
	case k < 18:
		o.action = "credit"
		if r.oneIn(3) {
			o.token = pick(r, "1", "2")
		}
	case k < 22:
		o.action, b.amt = "credit", -1
	case k < 27:
		o.action = "quick"
	case k < 33:
		o.action = "debit"
	case k < 47:
		o.action = "transfer"
		if r.oneIn(4) {
			b.n = 1
		}
		if r.oneIn(3) {
			b.ms = int32(r.intn(100))
		}
	case k < 57:
		o.spawn(r)
	case k < 60:
		o.action, b.ms, b.n = "hold", 20+int32(r.intn(400)), 1+int32(r.intn(2))
	case k < 63:
		o.action, b.n = "release", 1+int32(r.intn(2))
		o.token = fmt.Sprint(b.n)
	case k < 75:
		o.action, b.policy = "effect", uint8(r.intn(len(policies)))
		if r.oneIn(4) {
			b.n = 1
		}
		if !r.oneIn(4) {
			b.fails = 0
		}
	case k < 81:
		o.action, b.policy, b.n = "ask", uint8(r.intn(len(policies))), 0
		b.action = pick[uint8](r, effectAction, effectAction, poisonAction, creditAction, creditAction)
		b.amt = 0
	case k < 83:
		o.action = "poison"
	case k < 84:
		o.action = "invalid"
	case k < 90:
		o.action, o.agent = "set", clocks[r.intn(len(clocks))]
		b.timer, b.ms, b.n, b.fails = uint8(r.intn(len(timers))), pick[int32](r, 0, 0, 1, 5, 50, 300), int32(o.n)+1, 0
	case k < 92:
		o.action, o.agent, b.timer = "cancel", clocks[r.intn(len(clocks))], uint8(r.intn(len(timers)))
	case k < 93:
		o.action, o.agent = "remove", clocks[r.intn(len(clocks))]
	case k < 97:
		o.action, o.agent = "count", tallies[r.intn(len(tallies))]
		*b = body{op: o.n, fails: int8(r.intn(2))}
	case k < 100:
		o.action = "again"
		if r.oneIn(2) {
			b.amt = -1
		}
	case k < 108:
		o.drawTx(r)
	case k < 112:
		o.action, o.agent, o.token = "poke", banks[r.intn(len(banks))], ""
	default:
		o.drawRetract(r)
	}
}

func (o *op) spawn(r *rng) {
	b := &o.body
	o.action, b.n = "spawn", 1+int32(r.intn(3))
	if r.oneIn(40) {
		b.n = 90 // more than a mailbox keeps in memory
	}
	switch k := r.intn(12); {
	case k < 3:
		b.action = []uint8{poisonAction, killAction, invalidAction}[k]
		if r.oneIn(3) {
			b.ms = 1 + int32(r.intn(50))
		}
	case k < 6:
		b.action, b.ms = creditAction, int32(r.intn(50))
	}
}

// fingerprint tells payloads apart, as a driver's does.
func fingerprint(o *op, b []byte) (f message.Fingerprint) {
	h := xxh3.Hash128(b)
	binary.LittleEndian.PutUint64(f[:], h.Hi)
	binary.LittleEndian.PutUint64(f[8:], h.Lo)
	binary.LittleEndian.PutUint64(f[16:], xxh3.HashString(o.action+"|"+o.token))
	return f
}

// name gives an op its key when it is first sent: half of them carry a time.
func (o *op) name(s *Sim, now message.Time) {
	r, off := s.rng, s.cfg.Skew*19/20
	if o.key != "" || o.action == "again" {
		return
	}
	// A transaction runs once, whatever happens: no other has its name.
	if !o.rush && !s.brief && o.agent.Type != "coord" && r.oneIn(2) {
		o.key = fmt.Sprintf("key-%d", o.n)
	} else {
		at := now + r.between(-off, off)
		ms := uint64(at) / 1e6
		o.key = fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, o.n)
	}
	o.row = string(message.AppendKeyIdentity(o.agent.AppendKey(nil), principal, o.key))
}

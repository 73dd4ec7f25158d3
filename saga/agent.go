package saga

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/semel-dev/semel"
)

// definition is a definition without its types, and the agent type whose agents
// are its sagas. The agent's steps do no more than to bring events to the machine
// and to carry out what it orders.
type definition struct {
	registry *Registry
	name     string // what people call it
	typ      string // of the agents
	plans    map[int]*plan
	latest   int
	begin    func(json.RawMessage) (json.RawMessage, error)

	agent  *semel.Agent[record]
	start  *semel.Action[json.RawMessage, json.RawMessage]
	cancel *semel.Action[said, moved]
	resume *semel.Action[said, moved]
	settle *semel.Action[settlement, moved]
	get    *semel.QueryHandle[struct{}, View]

	tick     semel.Ref[about, struct{}]
	over     semel.Ref[about, struct{}]
	answered semel.ContinuationRef[about, json.RawMessage]
	ended    semel.ContinuationRef[about, struct{}]
}

// said is the body of cancel and resume.
type said struct {
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// moved is their reply.
type moved struct {
	Phase Phase `json:"phase"`
}

// register makes the agent type.
func (d *definition) register(app *semel.App) {
	d.tick = semel.RefTo[about, struct{}](d.typ, "tick")
	d.over = semel.RefTo[about, struct{}](d.typ, "over")
	d.answered = semel.ContinuationTo[about, json.RawMessage]("answered")
	d.ended = semel.ContinuationTo[about, struct{}]("ended")

	d.agent = semel.NewAgent[record](app, d.typ)
	d.start = semel.On(d.agent, "start", d.onStart)
	// Orders are repeated without harm, so they need no key.
	d.cancel = semel.On(d.agent, "cancel", ordered(d, func(m *machine, in said) *semel.Rejection { return m.cancel(in.By, in.Why) }), semel.AtLeastOnce)
	d.resume = semel.On(d.agent, "resume", ordered(d, func(m *machine, _ said) *semel.Rejection { return m.resume() }), semel.AtLeastOnce)
	d.settle = semel.On(d.agent, "settle", ordered(d, (*machine).settle), semel.AtLeastOnce)
	semel.On(d.agent, "tick", d.onTick)
	semel.On(d.agent, "over", onOver)
	semel.Then(d.agent, "answered", d.onAnswered)
	semel.Then(d.agent, "ended", d.onEnded)
	d.get = semel.Query(d.agent, "get", d.view)
}

// machine is the machine for one step.
func (d *definition) machine(r *record, s *semel.Step) *machine {
	p := d.plans[r.Version]
	m := &machine{
		r: r, now: s.Now(), maxState: d.registry.cfg.MaxState, keep: d.registry.cfg.Keep,
		jitter: func() float64 {
			id := s.NewID() // as good as drawn, and the same when the step is repeated
			return float64(binary.BigEndian.Uint64(id[:8])>>11) / (1 << 53)
		},
	}
	if m.misfit = p.misfit(r, d.versions()); m.misfit == nil {
		m.p = p
	}
	return m
}

func (d *definition) versions() []int { return slices.Sorted(maps.Keys(d.plans)) }

// onStart begins a saga, and answers at its end.
func (d *definition) onStart(r *record, s *semel.Step, in json.RawMessage) (json.RawMessage, error) {
	var state json.RawMessage
	if err := protect(func() (err error) { state, err = d.begin(in); return err }); err != nil {
		return nil, semel.Reject("invalid_input", "the saga cannot begin with this: %v", err)
	}
	if n := d.registry.cfg.MaxState; len(state) > n {
		return nil, semel.Reject(CodeTooLarge, "the state has %d bytes; at most %d are allowed", len(state), n)
	}
	sum := sha256.Sum256(state)
	input := hex.EncodeToString(sum[:12])
	if r.Phase != "" {
		return d.startAgain(r, s, input)
	}
	p := d.plans[d.latest]
	id := s.NewID()
	*r = record{
		Format: 1, Version: p.version, Shape: p.shape, Instance: hex.EncodeToString(id[:8]), Input: input, Pivot: p.pivot,
		Principal: s.Principal(), Phase: Running, Steps: make([]stepRecord, len(p.steps)), State: state, Started: s.Now(),
	}
	if w := s.Waiting(); w != "" {
		r.Waiting = []semel.Waiting{w}
	}
	for i := range p.steps {
		r.Steps[i].Name = p.steps[i].name
	}
	m := d.machine(r, s)
	if p.timeout > 0 {
		r.Deadline = s.Now().Add(p.timeout)
		m.order(order{kind: orderLimit, after: p.timeout})
	}
	m.advance()
	d.perform(r, s, m, true)
	if r.Phase.Ended() {
		return r.outcome()
	}
	if !m.asks() {
		d.tell(r, s, s.Waiting()) // it is parked; what defers must have asked for something
	}
	return semel.Defer[json.RawMessage]()
}

// startAgain answers who starts a saga that is there: its outcome was forgotten
// before it was, or another agent asks.
func (d *definition) startAgain(r *record, s *semel.Step, input string) (json.RawMessage, error) {
	switch {
	case r.Input != input:
		return nil, semel.Reject(CodeConflict, "the key was used for another input")
	case r.Phase.Ended():
		return r.outcome()
	case len(r.Waiting) >= maxWaiting:
		return nil, semel.Reject(CodeBusy, "%d wait for the end of this saga already", len(r.Waiting))
	}
	w := s.Waiting()
	if w != "" && !slices.Contains(r.Waiting, w) {
		r.Waiting = append(r.Waiting, w)
	}
	d.tell(r, s, w)
	return semel.Defer[json.RawMessage]()
}

// maxWaiting bounds who waits for one saga's end.
const maxWaiting = 8

// onAnswered brings the answer to a Do or an Undo. It may find any state: the
// saga went another way, or was forgotten.
func (d *definition) onAnswered(r *record, s *semel.Step, a about, res semel.Result[json.RawMessage]) (json.RawMessage, error) {
	if r.Phase == "" {
		return gone(s)
	}
	was := r.Phase
	m := d.machine(r, s)
	m.answered(a, res)
	m.advance()
	d.perform(r, s, m, len(r.Waiting) > 0 && s.Waiting() == r.Waiting[0])
	if r.Phase.Ended() && !was.Ended() {
		return r.outcome()
	}
	return semel.Defer[json.RawMessage]()
}

// onTick brings a timer.
func (d *definition) onTick(r *record, s *semel.Step, a about) (struct{}, error) {
	if r.Phase == "" {
		return struct{}{}, semel.Reject(codeUnknownSaga, "there is no such saga any more")
	}
	m := d.machine(r, s)
	m.ticked(a)
	m.advance()
	d.perform(r, s, m, false)
	return struct{}{}, nil
}

// ordered is the step of an operator's order.
func ordered[In any](d *definition, order func(*machine, In) *semel.Rejection) func(*record, *semel.Step, In) (moved, error) {
	return func(r *record, s *semel.Step, in In) (moved, error) {
		if r.Phase == "" {
			return moved{}, semel.Reject(codeUnknownSaga, "there is no such saga")
		}
		m := d.machine(r, s)
		if no := order(m, in); no != nil {
			return moved{}, no
		}
		d.perform(r, s, m, false)
		return moved{Phase: r.phase()}, nil
	}
}

// onOver is what a saga asks of itself to be given the word for who waits: only
// what brings an answer can settle another message. It says no, since a step that
// does leaves no trace.
func onOver(*record, *semel.Step, about) (struct{}, error) {
	return struct{}{}, semel.Reject("over", "a saga tells who waits for it")
}

// onEnded tells who waits for the saga's end, if that is there.
func (d *definition) onEnded(r *record, s *semel.Step, a about, _ semel.Result[struct{}]) (json.RawMessage, error) {
	switch {
	case r.Phase == "":
		return gone(s)
	case r.Instance == a.Instance && r.Phase.Ended():
		return r.outcome()
	}
	return semel.Defer[json.RawMessage]()
}

// gone is the step of an answer that finds no saga: it must not make one. If
// somebody still waits, the saga was deleted under way.
func gone(s *semel.Step) (json.RawMessage, error) {
	s.Forget()
	return nil, semel.OutcomeUnknown("the saga was deleted before its end")
}

const defaultKeep = 24 * time.Hour

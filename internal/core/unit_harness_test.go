package core

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// single drives one shard without faults: reads are answered at once, unless a
// test keeps them, and units are committed when the test says so.
type single struct {
	t       *testing.T
	m       *Shard
	store   *modelStore
	cfg     Config
	b       Behavior
	now     message.Time
	answers map[*Caller]Answer
	held    []AnswerTo
	calls   []EffectJob
	alarms  []Alarm
	retired []Retire
	calling map[message.ID]bool // by the process, for a former session
	keep    bool                // keep reads instead of answering them
	loads   []*Load
}

func newSingle(t *testing.T, b Behavior, change func(*Config)) *single {
	d := &single{t: t, store: newModelStore(1), b: b, now: simStart, answers: make(map[*Caller]Answer)}
	d.cfg = Config{
		Shards: 1, MaxUnitBytes: 1 << 20, Lease: time.Second, Retention: time.Hour, Skew: time.Minute, MaxJump: 24 * time.Hour,
		CacheBytes: 1 << 20, WindowKeys: 1000, MaxState: 1 << 13, BackoffBase: time.Millisecond, BackoffMax: time.Second,
		MaxAttempts: 3, Running: 10, InboxBatch: 100, Suspects: 10,
	}
	if change != nil {
		change(&d.cfg)
	}
	d.open(false)
	return d
}

func (d *single) open(unclean bool) {
	d.t.Helper()
	for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
		r.epoch++
	}
	rec := d.store.recovered(0)
	rec.Unclean, rec.Calling = unclean, d.calling
	m, err := New(d.cfg, d.b, d.now, rec)
	if err != nil {
		d.t.Fatal(err)
	}
	d.m, d.held, d.loads, d.calls = m, nil, nil, nil
}

// crash loses what was not synced and opens the shard again.
func (d *single) crash() {
	d.t.Helper()
	d.store.crash()
	d.open(true)
}

// work does everything that the machine asks for but to commit.
func (d *single) work() {
	d.t.Helper()
	for {
		w := d.m.Take()
		d.held = append(d.held, w.Answers...)
		d.calls = append(d.calls, w.Calls...)
		d.alarms = append(d.alarms, w.Alarms...)
		if w.Retire != nil {
			d.retired = append(d.retired, *w.Retire)
			d.store.retire(0, *w.Retire)
		}
		loads, pulls := append([]*Load(nil), w.Loads...), append([]message.Cursor(nil), w.Pulls...)
		if w.Trial {
			d.m.TrialGranted(d.now)
		}
		d.release()
		if d.keep {
			d.loads = append(d.loads, loads...)
			loads = nil
		}
		if len(loads)+len(pulls) == 0 {
			return
		}
		for _, l := range loads {
			d.load(l)
		}
		for _, c := range pulls {
			if err := d.m.Delivered(d.now, c.Source, d.store.inbox(0, c, d.cfg.InboxBatch)); err != nil {
				d.t.Fatal(err)
			}
		}
	}
}

func (d *single) load(l *Load) {
	d.t.Helper()
	var err error
	if l.Due != nil {
		found, following := d.store.due(0, l)
		err = d.m.DueLoaded(d.now, l, found, following)
	} else {
		values := make([][]byte, len(l.Keys))
		for i, k := range l.Keys {
			values[i] = d.store.visible[0].get(k)
		}
		err = d.m.Loaded(d.now, l, values)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *single) release() {
	held := d.held
	d.held = nil
	for _, a := range held {
		if a.After > d.m.Durable() {
			d.held = append(d.held, a)
			continue
		}
		if _, twice := d.answers[a.Caller]; twice {
			d.t.Error("a caller is answered twice")
		}
		d.answers[a.Caller] = a.Answer
	}
}

// commit seals and commits once; the unit is visible, not durable.
func (d *single) commit() bool {
	d.t.Helper()
	d.work()
	u := d.m.Seal()
	if u == nil {
		return false
	}
	if err := d.store.commit(copyUnit(0, u)); err != nil {
		d.t.Fatal(err)
	}
	for range d.m.TakeWakes() {
		d.m.Hint(0)
	}
	return true
}

func (d *single) sync() {
	d.t.Helper()
	d.store.sync(len(d.store.log))
	d.m.Committed(d.store.durable[0].seq)
	d.work()
}

// settle lets everything happen that can happen now.
func (d *single) settle() {
	d.t.Helper()
	for range 100_000 {
		d.m.Tick(d.now)
		d.work()
		if !d.commit() {
			d.sync()
			checkGauges(d.t.Errorf, d.m, d.store.visible[0])
			if !d.m.HasUnit() && (d.m.NextTick() == 0 || d.m.NextTick() > d.now) {
				return
			}
			continue
		}
		d.sync()
	}
	d.t.Fatal("the machine does not come to rest")
}

func (d *single) submit(c *Caller, m message.Message) *Caller {
	if m.Principal == "" {
		m.Principal = simPrincipal
	}
	d.m.Submit(d.now, c, &m)
	return c
}

// ask submits, settles and returns the answer.
func (d *single) ask(m message.Message) Answer {
	d.t.Helper()
	c := d.submit(new(Caller), m)
	d.settle()
	a, ok := d.answers[c]
	if !ok {
		d.t.Fatalf("%s has no answer", m.Action)
	}
	return a
}

func (d *single) rows(t message.Table) int { return len(d.store.visible[0].tables[t]) }

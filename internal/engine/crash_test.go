package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/internal/engine"
	"github.com/semel-dev/semel/internal/sim/crashfs"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/pebble"
)

// sample is n, or what suits how thorough the run is to be: the race detector
// is slow.
func sample(n int64) int64 { return int64(crashfs.Every(int(n), 8*int(n))) }

// patience bounds what should take milliseconds, and is only ever used up by a
// bug: the workload's operations wait while the crashes before them are
// checked, which on a machine that does much else may take a minute.
const patience = 4 * time.Minute

// process is one life of the program on a file system.
type process struct {
	*engine.Engine
	h *history
	k int // its session
	// alive ends when the store or the engine says that the process must end,
	// with their reason as its cause.
	alive context.Context
	end   context.CancelCauseFunc

	followed chan struct{} // closed when the follower has ended
	feedErr  error         // why it did
}

func newProcess(h *history, k int) *process {
	p := &process{h: h, k: k, followed: make(chan struct{})}
	p.alive, p.end = context.WithCancelCause(context.Background())
	return p
}

// directory is where the workload's data is.
func directory(fsys vfs.FS, shards int, fatal func(error)) store.Opener {
	return pebble.At("data", pebble.Options{
		Shards: shards, FS: fsys, CacheBytes: 256 << 10, MemTableBytes: 64 << 10, MaxUnitBytes: 1 << 20,
		Logger: slog.New(slog.DiscardHandler),
		Fatal:  fatal,
	})
}

// start opens the directory and starts the engine at a time.
func (p *process) start(fsys vfs.FS, now time.Time) error {
	return p.startOn(directory(fsys, 2, p.fatal), now)
}

func (p *process) fatal(err error) {
	p.end(err)
	select {} // as good as the end of the process: nothing behind it goes on
}

func (p *process) startOn(opener store.Opener, now time.Time) error {
	e, err := engine.Open(context.Background(), opener, engine.Config{
		Retention: keep, MaxClockJump: 1000 * time.Hour, MaxAttempts: maxAttempts, CacheBytes: 16 << 10, WindowKeys: 64, MaxState: 64 << 10,
		BackoffBase: time.Millisecond, BackoffMax: 4 * time.Millisecond, FreeFloor: 1, Feed: true,
		Now:   func() time.Time { return now },
		Fatal: p.fatal,
	})
	if err != nil {
		return err
	}
	p.Engine = e
	if err := e.Start(program(p.h), p.h.outside()); err != nil {
		close(p.followed)
		return errors.Join(err, p.stop())
	}
	go func() {
		defer close(p.followed)
		p.feedErr = p.follow()
	}()
	return nil
}

// stop closes the engine in order.
func (p *process) stop() error {
	ctx, cancel := context.WithTimeout(p.alive, patience)
	defer cancel()
	err := p.Close(ctx)
	select {
	case <-p.followed:
	case <-ctx.Done():
		err = errors.Join(err, errors.New("a follower of the feed does not end with the engine"))
	}
	return err
}

// refused is an answer that the workload never expects of a healthy engine.
type refused struct {
	op    op
	fault *message.Fault
}

func (r refused) Error() string {
	return fmt.Sprintf("%s of %s (%s) was answered %v", r.op.action, r.op.agent, r.op.Tag, r.fault)
}

func (p *process) submit(o op, accept bool) (core.Answer, error) {
	m, err := o.message()
	if err != nil {
		return core.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(p.alive, patience)
	defer cancel()
	a := p.Submit(ctx, m, accept)
	if a.Fault != nil {
		return a, refused{o, a.Fault}
	}
	return a, nil
}

// handOver has an operation accepted.
func (p *process) handOver(o op) error {
	if p.h.wasAccepted(o.Tag) {
		return nil
	}
	if _, err := p.submit(o, true); err != nil {
		return err
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.h.accepted[o.Tag] = true
	return nil
}

// ask repeats an operation until its answer is final. A doubt that it waits
// for is settled by the judge.
func (p *process) ask(o op) (a core.Answer, err error) {
	for {
		if a, err = p.submit(o, false); err != nil {
			return a, err
		}
		switch a.Outcome.Status {
		case message.StatusInFlight:
		case message.StatusInDoubt:
			doubt, found, err := p.Effect(p.alive, a.Outcome.Doubt)
			if err != nil || !found {
				continue
			}
			r := p.h.judge(o.Tag)
			r.Seen = doubt.Seen
			settled := p.Resolve(p.alive, a.Outcome.Doubt, r)
			if f := settled.Fault; f != nil {
				if f.Code == message.CodeTooEarly {
					p.h.untaken(o)
				}
				if f.Code == message.CodeUnknownDoubt || f.Code == message.CodeAlreadyResolved || f.Code == message.CodeTooEarly {
					continue // a probe was quicker, what was said before the crash takes hold, or it is looked up again
				}
				return settled, refused{o, f}
			}
			if r.Status == message.StatusDone {
				p.h.mu.Lock()
				p.h.resolved[a.Outcome.Doubt] = p.k
				p.h.mu.Unlock()
			}
		default:
			return a, nil
		}
	}
}

func answerOf(a core.Answer) answer {
	return answer{a.Outcome.Status, string(a.Outcome.Body), a.Outcome.Code, a.Outcome.Detail}
}

// work runs the scripts of the session, as far as they are not done yet.
func (p *process) work() error {
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for _, o := range script(p.k, client) {
				if o.accept {
					if errs[client] = p.handOver(o); errs[client] != nil {
						return
					}
					continue
				}
				if _, known := p.h.final(o.Tag); known {
					continue
				}
				a, err := p.ask(o)
				if err != nil {
					errs[client] = err
					return
				}
				p.h.mu.Lock()
				p.h.finals[o.Tag] = answerOf(a)
				p.h.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// remembered asks again for everything that clients were told: it is
// replayed, byte for byte. Only what is older than the retention may be
// refused as expired instead; it is never executed again, as settled sees.
func (p *process) remembered() error {
	var errs []error
	say := func(o op, form string, args ...any) {
		errs = append(errs, fmt.Errorf("%s %s of %s: "+form, append([]any{o.action, o.Tag, o.agent}, args...)...))
	}
	for k := range p.k + 1 {
		for client := range clients {
			for _, o := range script(k, client) {
				was, settled := p.h.final(o.Tag)
				if o.accept {
					if p.h.wasAccepted(o.Tag) && !settled {
						if got, err := p.Outcome(p.alive, o.name(), message.Anonymous, o.Tag); err != nil || got == nil {
							say(o, "it was accepted, and now its outcome is %v, %v", got, err)
						}
					}
					continue
				}
				if !settled {
					continue
				}
				a, err := p.submit(o, false)
				old := k < p.k-1
				switch {
				case old && a.Fault != nil && a.Fault.Code == message.CodeKeyExpired:
				case err != nil:
					say(o, "it was answered %+v, and now: %w", was, err)
				case answerOf(a) != was || !a.Replayed:
					say(o, "it was answered %+v, and now %+v (replayed: %v)", was, answerOf(a), a.Replayed)
				}
				// FAULTS 17: the same key with another payload tells nothing.
				other := o
				other.N++
				a, _ = p.submit(other, false)
				switch {
				case a.Fault == nil:
					say(o, "the key with another payload was answered %+v", answerOf(a))
				case a.Fault.Code != message.CodeConflict && !(old && a.Fault.Code == message.CodeKeyExpired):
					say(o, "the key with another payload was answered %v", a.Fault)
				}
			}
		}
	}
	p.h.mu.Lock()
	resolved := make(map[message.ID]int)
	for id, k := range p.h.resolved {
		resolved[id] = k
	}
	p.h.mu.Unlock()
	for id, k := range resolved {
		if k < p.k-1 {
			continue
		}
		if a := p.Resolve(p.alive, id, core.Resolution{Status: message.StatusNotDone, By: "fool"}); a.Fault == nil || a.Fault.Code != message.CodeAlreadyResolved {
			errs = append(errs, fmt.Errorf("doubt %s was settled as done; another resolution was answered %+v", id, a))
		}
	}
	return errors.Join(errs...)
}

// settled waits until all that the scripts caused is over, and compares it
// with the outcomes: states with their counts of steps, the outside's ledger,
// the dead letters, and that nothing is left under way.
func (p *process) settled() error {
	want := p.h.expected(p.k)
	deadline := time.Now().Add(patience / 3)
	for {
		differ, err := p.compare(want)
		if err != nil {
			return err
		}
		if len(differ) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return errors.New(strings.Join(differ, "\n"))
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond) // nobody tells when the last timer's step is durable
	}
	if wrong := p.h.effects(p.k); len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	dead := make(map[string]int)
	for d, err := range p.DeadLetters(p.alive, "") {
		if err != nil {
			return err
		}
		dead[d.Message.Key]++
		if d.Attempts != maxAttempts {
			return fmt.Errorf("dead letter %s was tried %d times: %s", d.Message.Key, d.Attempts, d.Reason)
		}
	}
	for k := range p.k + 1 {
		for client := range clients {
			for _, o := range script(k, client) {
				if o.action == "poison" && dead[o.Tag] != 1 {
					return fmt.Errorf("%d dead letters for %s", dead[o.Tag], o.Tag)
				}
				delete(dead, "")
			}
		}
	}
	if len(dead) != clients*(p.k+1) {
		return fmt.Errorf("the dead letters are %v", dead)
	}
	return nil
}

func (p *process) compare(want map[string]*book) (differ []string, err error) {
	for agent, b := range want {
		a := p.Query(p.alive, op{agent: agent}.name(), func(s core.State, _ uint64, _ bool) core.Answer {
			enc, err := s.Append(nil)
			return core.Answer{Outcome: &message.Outcome{Body: enc}, Err: err}
		})
		if a.Fault != nil || a.Err != nil {
			return nil, fmt.Errorf("read %s: %v, %v", agent, a.Fault, a.Err)
		}
		var got book
		if err := json.Unmarshal(a.Outcome.Body, &got); err != nil {
			return nil, err
		}
		if got.Sum != b.Sum {
			differ = append(differ, fmt.Sprintf("%s: the sum is %d, and its outcomes add up to %d", agent, got.Sum, b.Sum))
		}
		if !reflect.DeepEqual(got.Seen, b.Seen) {
			for what, n := range b.Seen {
				if got.Seen[what] != n {
					differ = append(differ, fmt.Sprintf("%s: %s ran %d times, not %d", agent, what, got.Seen[what], n))
				}
			}
			for what, n := range got.Seen {
				if b.Seen[what] == 0 {
					differ = append(differ, fmt.Sprintf("%s: %s ran %d times, and never should", agent, what, n))
				}
			}
		}
	}
	for e, err := range p.Agents(p.alive, message.DefaultTenant, "book", "") {
		if err != nil {
			return nil, err
		}
		is, err := p.look(e.Agent)
		if err != nil {
			return nil, err
		}
		p.h.mu.Lock()
		if known := p.h.mirror[e.Agent.ID]; known != is {
			differ = append(differ, fmt.Sprintf("who follows the feed knows %s as %q, and it is %q", e.Agent, known, is))
		}
		p.h.mu.Unlock()
		if want[e.Agent.ID] == nil {
			differ = append(differ, "there is an agent "+e.Agent.String())
		}
	}
	for e, err := range p.Effects(p.alive, "") {
		if err != nil {
			return nil, err
		}
		differ = append(differ, fmt.Sprintf("effect %s is still under way: %+v", e.Name, e))
	}
	return differ, nil
}

// moment is what a crash leaves: a disk, and a world that remembers.
type moment struct {
	disk  *crashfs.Disk
	h     *history
	k     int
	n     int64
	what  string
	depth int
}

// freeze takes a moment: what was told and what was called up to now, and what
// the disk keeps if the power fails now.
func freeze(disk *crashfs.Disk, h *history, k, unsynced int, n int64, what string) *moment {
	m := &moment{k: k, n: n, what: fmt.Sprintf("%s (%d%% of the unsynced data kept)", what, unsynced)}
	m.h = h.fork(func() { m.disk = disk.Crash(unsynced, uint64(n)<<8|uint64(unsynced)) })
	return m
}

// recover starts on what a crash left, finds everything remembered, finishes
// the session, and starts once more when its timers are over: everything
// happened once. With crashes, the power fails again on the way (FAULTS 6).
func (m *moment) recover(crashes bool) error {
	fsys := vfs.FS(m.disk)
	var again *moment
	if crashes {
		// A start makes some dozens of operations; it is cut anywhere within
		// it or soon after.
		at := int64(rand.New(rand.NewPCG(uint64(m.n), 1)).IntN(80))
		fsys = m.disk.Before(func(n int64, op errorfs.Op) {
			if n == at+1 {
				again = freeze(m.disk, m.h, m.k, int(m.n%3)*50, m.n, fmt.Sprintf("%s, and again at operation %d of the recovery (%v %s)", m.what, at+1, op.Kind, op.Path))
				again.depth = m.depth + 1
			}
		})
	}
	if err := m.finish(fsys); err != nil {
		return fmt.Errorf("%s: %w", m.what, err)
	}
	if again != nil {
		return again.recover(again.depth < 2)
	}
	return nil
}

func (m *moment) finish(fsys vfs.FS) error {
	return m.finishOn(func(p *process) (store.Opener, error) { return directory(fsys, 2, p.fatal), nil })
}

// finishOn is finish with a store that is asked for before each start.
func (m *moment) finishOn(place func(*process) (store.Opener, error)) error {
	for _, now := range []time.Time{sessionTime(m.k), sessionTime(m.k).Add(later)} {
		p := newProcess(m.h, m.k)
		opener, err := place(p)
		if err == nil {
			err = p.startOn(opener, now)
		}
		if err != nil {
			return err
		}
		err = p.remembered()
		if err == nil {
			err = p.work()
		}
		if err == nil && now != sessionTime(m.k) {
			err = p.settled()
		}
		if err = errors.Join(err, p.stop()); err != nil {
			return err
		}
	}
	return nil
}

// workload runs all sessions, each by a process of its own.
func workload(fsys vfs.FS, h *history, session *atomic.Int64) error {
	for k := range sessions {
		session.Store(int64(k))
		p := newProcess(h, k)
		if err := p.start(fsys, sessionTime(k)); err != nil {
			return err
		}
		err := p.work()
		if k == sessions-1 && err == nil {
			err = p.forgot(script(0, 0)[0])
		}
		if err := errors.Join(err, p.stop()); err != nil {
			return err
		}
	}
	return nil
}

// forgot checks that an operation is so old that its generation was dropped:
// else the workload would not test retention.
func (p *process) forgot(o op) error {
	if a, _ := p.submit(o, false); a.Fault == nil || a.Fault.Code != message.CodeKeyExpired {
		return fmt.Errorf("%s is older than the retention, and was answered %+v", o.Tag, a)
	}
	return nil
}

// FAULTS 1, 2, 3, 4, 6, 8, 11, 34, 35: the power fails before every operation
// that changes the file system, and nothing, half or all of the unsynced data
// survives. Afterwards every answer that anybody was given is given again;
// every step, message, timer and effect of it happened exactly once, or as its
// policy says; and clients that go on find everything as if nothing had been.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	disk, h := crashfs.New(), newHistory()
	var session, ops atomic.Int64
	every := sample(6)
	moments := make(chan *moment, runtime.GOMAXPROCS(0))
	var checkers sync.WaitGroup
	var checked, twice atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		checkers.Go(func() {
			for m := range moments {
				if t.Failed() {
					continue // one broken moment is enough to look at
				}
				crashes := checked.Add(1)%4 == 0
				if crashes {
					twice.Add(1)
				}
				if err := m.recover(crashes); err != nil {
					t.Errorf("a crash before operation %v\nrerun: SEMEL_SOAK=1 go test ./internal/engine -run '^TestCrashAtEveryOperation$'", err)
				}
			}
		})
	}
	fsys := disk.Before(func(n int64, op errorfs.Op) {
		ops.Store(n)
		for i, unsynced := range []int{0, 50, 100} {
			if (n+int64(i)*every/3)%every == 0 || crashfs.Soak {
				moments <- freeze(disk, h, int(session.Load()), unsynced, n, fmt.Sprintf("%d (%v %s) of session %d", n, op.Kind, op.Path, session.Load()))
			}
		}
	})
	err := workload(fsys, h, &session)
	moments <- freeze(disk, h, sessions-1, 0, ops.Load(), "after the workload")
	close(moments)
	checkers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes checked at %d operations, %d of them crashed again during recovery", checked.Load(), ops.Load(), twice.Load())
}

// FAULTS 9: one operation of the device fails, at every place in turn. No
// answer leaves, before or after, that a crash with all unsynced data lost
// would not keep; whoever is refused or left without an answer tries again
// after the restart, and everything happened once.
func TestFailAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprintf("dead=%v", dead), func(t *testing.T) {
			t.Parallel()
			step, failed, fatal := sample(9), 0, 0
			first := int64(1)
			if dead {
				first += step / 2
			}
			for n := first; !t.Failed(); n += step {
				hit, told := failOnce(t, n, dead)
				if !hit {
					break
				}
				failed++
				if told {
					fatal++
				}
			}
			if failed < 5 {
				t.Errorf("only %d operations could fail", failed)
			}
			if fatal == 0 {
				t.Errorf("of %d failures of the device, Fatal heard of none", failed)
			}
			t.Logf("%d operations failed; Fatal heard of %d, the others failed while the store was opened or closed", failed, fatal)
		})
	}
}

// failOnce runs the workload on a device that fails at operation n. It reports
// whether the workload came that far, and whether Fatal was called.
func failOnce(t *testing.T, n int64, dead bool) (hit, told bool) {
	disk, h := crashfs.New(), newHistory()
	d := disk.Fail(n, dead)
	var err error
	last := 0 // the session that began last
	for k := 0; k < sessions && err == nil; k++ {
		last = k
		p := newProcess(h, k)
		done := make(chan error, 1)
		go func() {
			err := p.start(d, sessionTime(k))
			if err == nil {
				err = errors.Join(p.work(), p.stop())
			}
			done <- err
		}()
		select {
		case err = <-done:
		case <-p.alive.Done():
			told, err = true, context.Cause(p.alive)
			if what, _ := d.Failed(); !errors.Is(err, store.ErrBroken) {
				t.Errorf("operation %d (%s): Fatal was told %v, which is not ErrBroken", n, what, err)
			}
		}
	}
	what, hit := d.Failed()
	m := freeze(disk, h, last, 0, n, fmt.Sprintf("operation %d (%s) failed, and then a crash", n, what))
	d.Mend()
	var r refused
	if errors.As(err, &r) {
		t.Errorf("operation %d (%s): calls were refused, and Fatal was not called: %v", n, what, err)
	}
	if !hit {
		if err != nil {
			t.Errorf("nothing failed, and the workload: %v", err)
		}
		return false, false
	}
	if err := m.recover(false); err != nil {
		t.Errorf("%v\nrerun: SEMEL_SOAK=1 go test ./internal/engine -run '^TestFailAtEveryOperation$'", err)
	}
	return true, told
}

package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"time"

	"github.com/semel-dev/semel/torture/check"
)

const (
	// One kill of so many comes at a random moment; the others right after an answer.
	randomKills = 3
	aiming      = 200 * time.Millisecond // how long an answer is waited for
	// One pause for so many kills, and how long it takes.
	killsAPause  = 8
	longestPause = 150 * time.Millisecond
	// stalled is how long nothing may be played before something is wrong with
	// the torture itself.
	stalled = 2 * time.Minute
)

// torment breaks the server, or the cluster, until that was done as often as it
// should and enough was played. The faults are spread evenly, with jitter, over the
// operations, or over the time if that was asked for.
func (s *stage) torment(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(s.opt.Seed, 2))
	for i := range s.opt.Kills {
		share := (float64(i) + rng.Float64()) / float64(s.opt.Kills)
		if err := s.reach(ctx, share, i); err != nil {
			return err
		}
		if i == s.opt.Kills/2 {
			if err := s.midway(ctx); err != nil {
				return err
			}
		}
		befall := s.befall
		if s.isCluster() {
			befall = s.round
		}
		if err := befall(ctx, rng, i); err != nil {
			return err
		}
	}
	if s.opt.Kills == 0 {
		if err := s.midway(ctx); err != nil {
			return err
		}
	}
	return s.reach(ctx, 1, s.opt.Kills)
}

// befall kills the server for the i-th time, and stops it now and then.
func (s *stage) befall(ctx context.Context, rng *rand.Rand, i int) error {
	if s.canPause() && i%killsAPause == 0 {
		if err := s.pauseServer(ctx, time.Duration(rng.Int64N(int64(longestPause)))); err != nil {
			return err
		}
	}
	if i%randomKills != 0 {
		if err := s.aim(ctx); err != nil {
			return err
		}
	}
	return s.killAll(ctx)
}

// midway runs the user's command.
func (s *stage) midway(ctx context.Context) error {
	if s.opt.Midway == "" {
		return nil
	}
	r := check.Record{Type: check.Fault, Fault: check.FaultMidway, At: s.rec.now()}
	command := exec.CommandContext(ctx, "sh", "-c", s.opt.Midway)
	command.Stdout, command.Stderr = s.log, s.log
	if err := command.Run(); err != nil {
		return fmt.Errorf("--midway: %w; see %s", err, s.log.Name())
	}
	r.Until = s.rec.now()
	s.rec.write(r)
	return nil
}

// aim returns when a client has just been answered: an answer that left before what
// it says was written is wrong from the next moment on.
func (s *stage) aim(ctx context.Context) error {
	late := time.NewTimer(aiming)
	defer late.Stop()
	before := s.tally.count("hit")
	if err := s.tellClients("aim"); err != nil {
		return err
	}
	for s.tally.count("hit") == before {
		select {
		case <-s.tally.changed:
		case <-late.C:
			return nil // it is busy; then at a random moment
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *stage) canPause() bool { return canPause && s.nodes[0].process != nil }

// reach returns when a share of the operations and of the time is over.
func (s *stage) reach(ctx context.Context, share float64, kills int) error {
	due := s.began.Add(time.Duration(share * float64(s.opt.Duration)))
	want := int64(share * float64(s.opt.Operations))
	if s.opt.Duration > 0 && share < 1 {
		want = 0 // by time alone
	}
	for {
		n := s.tally.total()
		s.opt.Progress(int(n), s.opt.Operations, s.describe(n, kills))
		late := time.Until(due)
		if n >= want && late <= 0 {
			return s.ended()
		}
		var timer <-chan time.Time
		if n >= want {
			timer = time.After(late)
		}
		select {
		case <-s.tally.changed:
		case <-timer:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(stalled):
			return errStalled
		}
	}
}

// ended says that a server has ended by itself.
func (s *stage) ended() error {
	for _, k := range s.nodes {
		if err := k.ended(); err != nil {
			return err
		}
	}
	return nil
}

// killAll kills every server and starts it again.
func (s *stage) killAll(ctx context.Context) error {
	at := s.rec.now()
	for _, k := range s.nodes {
		if err := k.kill(ctx); err != nil {
			return fmt.Errorf("%w; see %s", err, s.log.Name())
		}
	}
	for _, k := range s.nodes {
		if err := s.restarted(ctx, k, check.Record{Type: check.Fault, Fault: check.FaultKill, At: at}); err != nil {
			return err
		}
	}
	return nil
}

// restarted starts a server that was ended.
func (s *stage) restarted(ctx context.Context, k *keeper, r check.Record) error {
	return s.noteStart(ctx, k, r, k.start(ctx))
}

// noteStart writes down the fault that ended a server, also if it did not start.
func (s *stage) noteStart(ctx context.Context, k *keeper, r check.Record, err error) error {
	if err == nil {
		r.Until = s.rec.now()
	}
	r.Node = k.number
	s.rec.write(r)
	if err != nil && ctx.Err() == nil { // else we did not wait for it
		return fmt.Errorf("%w: %w; see %s", errNotAgain, err, s.log.Name())
	}
	return err
}

func (s *stage) pauseServer(ctx context.Context, d time.Duration) error {
	r := check.Record{Type: check.Fault, Fault: check.FaultPause, At: s.rec.now()}
	if err := s.nodes[0].pause(ctx, d); err != nil {
		return err
	}
	r.Until = s.rec.now()
	s.rec.write(r)
	return nil
}

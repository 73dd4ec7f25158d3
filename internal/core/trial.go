package core

import (
	"fmt"
	"slices"

	"github.com/semel-dev/semel/message"
)

// After an unclean start, whatever may have killed the last process is tried
// alone: the attempt is durable before the message runs, and nothing else of
// the shard runs until its step is durable too. A message that was begun
// maxTrials times and never came to its end is what kills, and dies itself
// (FAULTS 54). Suspects are the first messages behind every durable cursor,
// and the mailboxes, retries, timers and effects that were recovered: those
// that can have been under way.
type trialState struct {
	unclean bool
	since   message.Epoch // of this process's first session; zero if this is it
	budget  int
	counts  map[message.ID]int // attempts begun, as the store has them

	env     *envelope   // on trial
	granted bool        // it is this shard's turn
	begun   message.Seq // the unit with the attempt
	ended   message.Seq // the unit with its step, once it ran
	queue   []*envelope // wait for the trial to end
}

const (
	trialKey  = "trial"
	maxTrials = 3
	// trialBudget bounds how many recovered messages are tried alone besides
	// those of the inboxes.
	trialBudget = 1024
)

// recoverTrial reads how often a message was begun and not ended.
func (s *Shard) recoverTrial(k message.RowKey, value []byte) error {
	row, err := readTrial(k, value)
	if err != nil {
		return err
	}
	id, err := idOf(k.Key[len(trialKey):])
	if err != nil {
		return &CorruptError{rowName(k), err.Error()}
	}
	if !s.trial.unclean {
		s.write(message.TableMeta, 0, message.Delete, s.key(k.Key), nil) // nothing killed the last process
		return nil
	}
	if s.trial.since != 0 && row.epoch >= s.trial.since && row.begun > 0 {
		row.begun-- // this process began it, and lives
	}
	s.trial.counts[id] = row.begun
	return nil
}

// trialRow is the value of a message's row of TableMeta, while it is on trial.
type trialRow struct {
	begun int           // attempts
	epoch message.Epoch // of the session that began the last
}

func appendTrial(b, key []byte, r trialRow) []byte {
	start := len(b)
	b = putUint(begin(b), 1, uint64(r.begun))
	b = putUint(b, 2, uint64(r.epoch))
	return seal(b, start, key)
}

func readTrial(k message.RowKey, value []byte) (r trialRow, err error) {
	err = decode(k, value, func(f field) error {
		switch f.num {
		case 1:
			r.begun = int(min(f.val, maxTrials))
		case 2:
			r.epoch = message.Epoch(f.val)
		}
		return nil
	})
	return r, err
}

// Suspects says whether messages that may have killed the last process may
// still wait for their trial. While they do, whoever opens the shard again
// passes Recovered.Unclean on. It may say so in error: then a message is tried
// alone without need.
func (s *Shard) Suspects() bool {
	t := &s.trial
	if !t.unclean {
		return false
	}
	if t.env != nil || len(t.counts) > 0 || len(s.firing) > 0 ||
		s.timers.loading || s.timers.next != 0 && s.timers.next < s.timers.suspectBelow {
		return true
	}
	for _, src := range s.sources {
		if src.taken < src.suspectUpTo && (src.pulling || src.again || len(src.queue) > 0) {
			return true
		}
	}
	for _, e := range s.effects {
		if e.mem.suspect {
			return true
		}
	}
	for _, c := range s.cells {
		if c.control != nil && s.suspectControl(c.control) {
			return true
		}
	}
	return false
}

// suspectControl says whether a mailbox or a retry that was recovered may
// still be tried alone.
func (s *Shard) suspectControl(k *controlRow) bool {
	return s.trial.budget < trialBudget && k.head < k.tail ||
		slices.ContainsFunc(k.retries, func(r *retry) bool { return r.suspect })
}

// spend takes one from the budget of recovered suspects.
func (t *trialState) spend() bool {
	if !t.unclean || t.budget >= trialBudget {
		return false
	}
	t.budget++
	return true
}

func trialRowKey(id message.ID) []byte { return append([]byte(trialKey), id[:]...) }

// onTrial keeps an envelope back while another is on trial, or puts it on
// trial. It reports whether the envelope must wait.
func (s *Shard) onTrial(env *envelope) bool {
	t := &s.trial
	if t.env == env {
		return false // its turn
	}
	if t.env != nil {
		t.queue = append(t.queue, env)
		return true
	}
	if !env.suspect || env.tried {
		return false
	}
	identify(env.msg)
	t.env, t.granted, t.begun, t.ended = env, false, 0, 0
	s.work.Trial = true
	return true
}

// OnTrial says whether the shard has a suspect on trial.
func (s *Shard) OnTrial() bool { return s.trial.env != nil }

// TrialGranted says that it is this shard's turn: no other has a trial.
func (s *Shard) TrialGranted(now message.Time) {
	s.advanceClock(now)
	t := &s.trial
	if t.env == nil || t.granted {
		return
	}
	t.granted = true
	id := t.env.msg.ID
	if t.counts[id] >= maxTrials {
		t.env.tried, t.env.kills = true, true
		s.advance(t.env)
		return
	}
	t.counts[id]++
	key := s.key(trialRowKey(id))
	a := s.open.arena
	start := len(a)
	s.write(message.TableMeta, 0, message.Put, key, s.value(appendTrial(a, key, trialRow{t.counts[id], s.epoch}), start))
	t.begun = s.openSeq()
}

// condemn puts a message that kills the process among the dead letters.
func (s *Shard) condemn(env *envelope) {
	n := s.trial.counts[env.msg.ID]
	s.consume(env)
	s.die(env, n, fmt.Sprintf("the process ended %d times while this message ran", n))
	s.finish(env)
	s.drain(env.cell)
}

// endTrial forgets, when a message is consumed, that it was begun, and notes
// in which unit if it was on trial.
func (s *Shard) endTrial(env *envelope) {
	t := &s.trial
	if _, begun := t.counts[env.msg.ID]; begun { // by this session or one before
		delete(t.counts, env.msg.ID)
		s.write(message.TableMeta, 0, message.Delete, s.key(trialRowKey(env.msg.ID)), nil)
	}
	if t.env == env && t.ended == 0 {
		t.ended = s.openSeq()
	}
}

// trialDurable moves the trial on when its units are durable.
func (s *Shard) trialDurable() {
	t := &s.trial
	if t.env == nil {
		return
	}
	if t.ended == 0 && t.begun != 0 && t.begun <= s.durable && !t.env.tried {
		t.env.tried = true
		s.advance(t.env)
		return
	}
	if t.ended == 0 || t.ended > s.durable {
		return
	}
	queue := t.queue
	t.env, t.queue = nil, nil
	for _, env := range queue {
		s.advance(env)
	}
	s.resumeSources()
}

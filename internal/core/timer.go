package core

import (
	"bytes"
	"encoding/binary"

	"github.com/semel-dev/semel/message"
)

// Timers live in the store: TableTimer says what a timer brings, TableDue in
// which order timers are due. The machine keeps only the time of the next one,
// and reads those that are due in pages. Setting or cancelling a timer never
// reads: it leaves a due row behind that no longer matches, and firing drops
// such rows.
type timerState struct {
	next    message.Time // no sealed timer is due before; zero if there is none
	opened  message.Time // the same of the timers in the open unit, which no read can see
	loading bool
	stalled bool // a whole page of timers waits for its steps: no other is read before one is done

	suspectBelow message.Time // timers due before it were due when the last process died
}

// dueTimer is one row of TableDue.
type dueTimer struct {
	due   message.Time
	row   []byte // the key of its TableTimer row
	value []byte // of that row when it fired
}

// delayedPrefix begins the timer rows of delayed sends, which belong to no
// agent: they survive their sender's deletion.
const delayedPrefix = 0xff

// timerPage bounds how many due timers are read at once.
const timerPage = 256

// timerRowKey is an agent's timer, or a delayed send (its name begins with \x01,
// which no user's timer name can).
func (s *Shard) timerRowKey(c *cell, name string) []byte {
	if name[0] == 1 {
		return s.key([]byte{delayedPrefix}, []byte(name[1:]))
	}
	return s.key([]byte(c.key), []byte(name))
}

func dueKey(due message.Time, row []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(due)), row...)
}

func readDue(key []byte) (dueTimer, error) {
	if len(key) < 9 {
		return dueTimer{}, &CorruptError{rowName(message.RowKey{Table: message.TableDue, Key: key}), "the key is too short"}
	}
	return dueTimer{due: message.Time(binary.BigEndian.Uint64(key)), row: key[8:]}, nil
}

// changeTimer sets or cancels a timer.
func (s *Shard) changeTimer(c *cell, t timerChange) {
	row := s.timerRowKey(c, t.name)
	if t.msg == nil {
		s.write(message.TableTimer, 0, message.Delete, row, nil)
		return
	}
	a := s.open.arena
	start := len(a)
	s.write(message.TableTimer, 0, message.Put, row, s.value(appendTimer(a, row, timerRow{due: t.due, msg: t.msg}), start))
	s.write(message.TableDue, 0, message.Put, s.key(dueKey(t.due, row)), nil)
	if s.timers.opened == 0 || t.due < s.timers.opened {
		s.timers.opened = t.due
	}
}

// seal lets the timers of the unit that was sealed be found.
func (t *timerState) seal() {
	if t.opened != 0 {
		t.lower(t.opened)
		t.opened = 0
	}
}

func (t *timerState) lower(at message.Time) {
	if t.next == 0 || at < t.next {
		t.next = at
	}
}

// removeTimers drops an agent's own timers.
func (s *Shard) removeTimers(c *cell) {
	prefix := []byte(c.key)
	s.write(message.TableTimer, 0, message.DeletePrefix, s.key(prefix), nil)
	for _, w := range s.open.unit.Writes {
		if w.Table == message.TableTimer && w.Op == message.Put && bytes.HasPrefix(w.Key, prefix) {
			s.write(message.TableTimer, 0, message.Delete, s.key(w.Key), nil)
		}
	}
}

// pullTimers reads a page of the timers that are due.
func (s *Shard) pullTimers() {
	t := &s.timers
	if t.loading || t.next == 0 || t.next > s.now {
		return
	}
	t.loading = true
	// New timers that are set while the page is read lower it again.
	t.next = 0
	s.issue(&Load{Due: binary.BigEndian.AppendUint64(nil, uint64(s.now)+1), Limit: timerPage})
}

// DueLoaded gives back a Load of due rows: those found, and the first row that
// was not due or did not fit, if there is one.
func (s *Shard) DueLoaded(now message.Time, l *Load, rows []message.Row, following *message.Row) error {
	s.advanceClock(now)
	l.done = true
	defer s.trim()
	s.timers.loading = false
	if following != nil {
		d, err := readDue(following.Key)
		if err != nil {
			return err
		}
		s.timers.lower(d.due)
	}
	if len(rows) == 0 {
		return nil
	}
	load := &Load{}
	for _, r := range rows {
		d, err := readDue(r.Key)
		if err != nil {
			return err
		}
		load.fire = append(load.fire, d)
		load.Keys = append(load.Keys, message.RowKey{Table: message.TableTimer, Key: d.row})
	}
	s.timers.loading = true
	load.apply = func(values [][]byte) error { return s.fireTimers(load, values) }
	s.issue(load)
	return nil
}

// fireTimers makes messages of the timers that are due.
func (s *Shard) fireTimers(l *Load, values [][]byte) error {
	s.timers.loading = false
	stalled := len(l.fire) == timerPage
	for i, d := range l.fire {
		if s.Full() {
			s.timers.lower(d.due) // this one and those after it, when the unit is sealed
			return nil
		}
		if s.firing[string(d.row)] == d.due {
			continue // its message waits already
		}
		stalled = false
		value := values[i]
		if r := s.overlay.get(message.TableTimer, d.row); r != nil {
			value = r.value
		}
		if value == nil {
			s.dropDue(d)
			continue
		}
		t, err := readTimer(l.Keys[i], value)
		if err != nil {
			return err
		}
		if t.due != d.due {
			s.dropDue(d)
			continue
		}
		if d.row[0] == delayedPrefix {
			s.consumeTimer(d)
			s.send(t.msg)
			continue
		}
		s.firing[string(d.row)] = d.due
		d.value = clone(value)
		env := s.accepted(t.msg, fromTimer)
		env.timer = d
		env.rows = []needed{{key: l.Keys[i], value: values[i]}}
		env.read, env.issued = true, l.issued
		env.suspect = d.due < s.timers.suspectBelow && s.trial.spend()
		s.advance(env)
	}
	if stalled {
		s.timers.next, s.timers.stalled = 0, true
	}
	return nil
}

func (s *Shard) dropDue(d dueTimer) {
	s.write(message.TableDue, 0, message.Delete, s.key(dueKey(d.due, d.row)), nil)
}

// overtaken says whether a timer that fired was replaced or cancelled while
// its message waited; then the message is dropped. The due row stays if the
// timer that replaced it is due at the same time, for it is that one's now.
func (s *Shard) overtaken(env *envelope) bool {
	if env.origin != fromTimer {
		return false
	}
	d := env.timer
	value, _ := s.row(env, 0)
	if bytes.Equal(value, d.value) {
		return false
	}
	s.doneFiring(d)
	if t, err := readTimer(env.rows[0].key, value); value != nil && err == nil && t.due == d.due {
		s.timers.lower(d.due)
	} else {
		s.dropDue(d)
	}
	s.endTrial(env)
	s.finish(env)
	return true
}

func (s *Shard) doneFiring(d dueTimer) {
	if s.firing[string(d.row)] == d.due {
		delete(s.firing, string(d.row))
	}
	if s.timers.stalled {
		s.timers.stalled = false
		s.timers.lower(d.due)
	}
}

// consumeTimer removes a timer that fired.
func (s *Shard) consumeTimer(d dueTimer) {
	s.doneFiring(d)
	row := s.key(d.row)
	s.write(message.TableTimer, 0, message.Delete, row, nil)
	s.dropDue(d)
}

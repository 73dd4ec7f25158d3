package core

import (
	"encoding/binary"

	"github.com/semel-dev/semel/message"
)

// Timers live in the store: TableTimer says what a timer brings, TableDue in
// which order timers are due. The machine keeps only the time of the next one,
// and reads those that are due in pages. Setting or cancelling a timer never
// reads: it leaves a due row behind that no longer matches, and firing drops
// such rows.
type timerState struct {
	next    message.Time // no timer is due before; zero if there is none
	loading bool

	suspectBelow message.Time // timers due before it were due when the last process died
}

// dueTimer is one row of TableDue.
type dueTimer struct {
	due message.Time
	row []byte // the key of its TableTimer row
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
	if s.timers.next == 0 || t.due < s.timers.next {
		s.timers.next = t.due
	}
}

// removeTimers drops an agent's own timers.
func (s *Shard) removeTimers(c *cell) {
	prefix := []byte(c.key)
	s.write(message.TableTimer, 0, message.DeletePrefix, s.key(prefix), nil)
	// The overlay knows single rows only: those of the open units must go too.
	for _, u := range append(s.inFlight, s.open) {
		for _, id := range u.touched {
			if id.table == message.TableTimer && len(id.key) > len(prefix) && id.key[:len(prefix)] == c.key {
				s.write(message.TableTimer, 0, message.Delete, s.key([]byte(id.key)), nil)
			}
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
		s.lowerNext(message.Time(binary.BigEndian.Uint64(following.Key)))
	}
	if len(rows) == 0 {
		return nil
	}
	load := &Load{}
	for _, r := range rows {
		if len(r.Key) < 9 {
			return &CorruptError{rowName(message.RowKey{Table: message.TableDue, Key: r.Key}), "the key is too short"}
		}
		d := dueTimer{due: message.Time(binary.BigEndian.Uint64(r.Key)), row: r.Key[8:]}
		load.fire = append(load.fire, d)
		load.Keys = append(load.Keys, message.RowKey{Table: message.TableTimer, Key: d.row})
	}
	s.timers.loading = true
	load.apply = func(values [][]byte) error { return s.fireTimers(load, values) }
	s.issue(load)
	return nil
}

func (s *Shard) lowerNext(at message.Time) {
	if s.timers.next == 0 || at < s.timers.next {
		s.timers.next = at
	}
}

// fireTimers makes messages of the timers that are due.
func (s *Shard) fireTimers(l *Load, values [][]byte) error {
	s.timers.loading = false
	for i, d := range l.fire {
		value := values[i]
		if v, known := s.overlay.get(message.TableTimer, d.row); known {
			value = v
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
		if s.firing[string(d.row)] == d.due {
			continue // its message waits already
		}
		s.firing[string(d.row)] = d.due
		env := s.accepted(t.msg, fromTimer)
		env.timer = d
		env.suspect = d.due < s.timers.suspectBelow && s.trial.spend()
		s.advance(env)
	}
	return nil
}

func (s *Shard) dropDue(d dueTimer) {
	s.write(message.TableDue, 0, message.Delete, s.key(dueKey(d.due, d.row)), nil)
}

// consumeTimer removes a timer that fired.
func (s *Shard) consumeTimer(d dueTimer) {
	delete(s.firing, string(d.row))
	row := s.key(d.row)
	s.write(message.TableTimer, 0, message.Delete, row, nil)
	s.dropDue(d)
}

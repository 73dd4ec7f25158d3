package core

import (
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A leap of the clock across a restart pauses retention, in every session until
// somebody says that the clock is right; after that it is not asked again.
func TestResumeRetentionIsDurable(t *testing.T) {
	t.Parallel()
	d := newSingle(t, Behavior{}, nil)
	d.settle()
	d.now += message.Time(48 * time.Hour)
	for range 2 {
		d.crash()
		if d.settle(); !d.m.RetentionPaused() {
			t.Fatal("two days are no leap")
		}
	}
	for range 2 { // the second has nothing to record
		if seq := d.m.ResumeRetention(d.now); seq <= d.m.Durable() != !d.m.HasUnit() {
			t.Errorf("it is recorded in unit %d of %d, and there is a unit: %v", seq, d.m.Durable(), d.m.HasUnit())
		}
		d.settle()
	}
	d.now += message.Time(time.Minute)
	if d.crash(); d.m.RetentionPaused() {
		t.Error("the next session asks again")
	}
}

// FAULTS 30: a guest's word for the time does not hide a leap from the store's
// own program, whose bound it may not know.
func TestGuestDoesNotVouchForTheClock(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.count("1", "a")
	d.now += message.Time(48 * time.Hour)
	d.cfg.Guest, d.cfg.MaxJump = true, 1000*time.Hour
	d.open(false)
	d.count("2", "a")
	d.cfg.Guest, d.cfg.MaxJump = false, 24*time.Hour
	d.now += message.Time(time.Second)
	if d.open(false); !d.m.RetentionPaused() {
		t.Error("two days passed unquestioned, because a guest came in between")
	}
}

// A guest that was there a moment ago is no reason to doubt a right clock.
func TestGuestLeavesNoAlarm(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.count("1", "a")
	d.now += message.Time(time.Hour)
	d.cfg.Guest = true
	d.open(false)
	d.count("2", "a")
	d.cfg.Guest = false
	d.now += message.Time(time.Millisecond)
	if d.open(false); d.m.RetentionPaused() {
		t.Error("nothing is forgotten any more, though the clock is right")
	}
}

// A guest begins no generation, so it has no reason to wake for one.
func TestGuestIsIdle(t *testing.T) {
	t.Parallel()
	d := newSingle(t, Behavior{}, func(c *Config) { c.Guest = true })
	d.now += message.Time(12 * time.Hour)
	d.settle()
	if next := d.m.NextTick(); next <= d.now {
		t.Errorf("it wants to tick at %d; now is %d", next, d.now)
	}
}

// What is not found of a key whose own time is before the horizon may have been
// forgotten.
func TestLookupOfAnExpiredKey(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	key := timedKey(d.now)
	look := func() *message.Fault {
		c := new(Caller)
		d.m.Lookup(d.now, c, simAgent("acct", "a"), simPrincipal, key)
		d.settle()
		return d.answers[c].Fault
	}
	if f := look(); f == nil || f.Code != message.CodeUnknownKey {
		t.Errorf("a key that may come yet: %v", f)
	}
	for range 20 {
		d.now += message.Time(20 * time.Minute)
		d.settle()
	}
	if f := look(); f == nil || f.Code != message.CodeKeyExpired {
		t.Errorf("a key from before the horizon: %v", f)
	}
}

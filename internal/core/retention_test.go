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

package core

import (
	"fmt"
	"testing"

	"github.com/semel-dev/semel/message"
)

// What is known of an open row is its latest write, or nothing, and is bounded.
func TestOpenedKnowsTheLatestWrite(t *testing.T) {
	t.Parallel()
	const openedBytes = 1 << 20
	o := opened{limit: openedBytes}
	knows := func(key string) (string, bool) {
		env := &envelope{rows: []needed{{key: message.RowKey{Table: message.TableOpen, Key: []byte(key)}}}}
		ok := o.knows(env)
		return string(env.rows[0].value), ok
	}
	for i := range 3 {
		want := fmt.Sprint("value ", i)
		o.note([]byte("k"), []byte(want))
		if got, ok := knows("k"); !ok || got != want {
			t.Fatalf("%q, known %v; want %q", got, ok, want)
		}
	}
	o.note([]byte("k"), nil)
	if _, ok := knows("k"); ok || o.bytes != 0 {
		t.Errorf("what was deleted is known, %d bytes", o.bytes)
	}
	o.note([]byte("k"), []byte("small"))
	o.note([]byte("k"), make([]byte, openedBytes))
	if got, ok := knows("k"); ok {
		t.Errorf("what does not fit is known as before: %q", got)
	}
	for i := range 100 {
		o.note([]byte(fmt.Sprint(i)), make([]byte, openedBytes/50))
	}
	if o.bytes > openedBytes || len(o.rows) > 50 {
		t.Errorf("%d rows, %d bytes", len(o.rows), o.bytes)
	}
}

// The answer that settles an outcome needs no read while the session lasts, and one
// after it.
func TestAnswersAreSettledWithoutReads(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		d := newSingle(t, effectBehavior("keyed"), nil)
		id := d.asked()
		if crash {
			d.crash()
			d.settle()
			id = d.called(false)
		}
		d.keep, d.loads = true, nil
		d.m.EffectDone(d.now, EffectResult{ID: id, Attempt: 1, Status: message.StatusDone})
		d.work()
		if crash == (len(d.loads) == 0) {
			t.Errorf("crash %v: %d reads", crash, len(d.loads))
		}
	}
}

package core

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/semel-dev/semel/message"
)

var testKey = message.RowKey{Table: message.TableOpen, Key: []byte("the row")}

func fullMessage() *message.Message {
	link := message.Link{Context: []byte(`{"a":1}`), Origin: []byte("kp\x00x")}
	return &message.Message{
		ID: message.ID{1}, To: simAgent("t", "x"), Action: "act", Principal: "p", Body: []byte("{}"), Key: "k",
		Fingerprint: message.Fingerprint{9}, Source: "s", Position: 7, Token: "tok", Sent: 12,
		ReplyTo: &message.ReplyTo{Agent: simAgent("t", "y"), Action: "then", Link: link},
		Answer:  &message.Answer{Status: message.StatusRejected, Code: "c", Detail: "d", Link: link},
		Branch:  &message.Branch{Tx: "tx", Phase: message.Abort},
		Trace:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
}

// Each decoder, with a value that has every field set and what reads it back.
var codecs = map[string]struct {
	value  any
	encode func(v any) []byte
	decode func(k message.RowKey, value []byte) (any, error)
}{
	"state": {
		stateRow{3, 4, []byte("data"), appendPromise(nil, fullPromise())},
		func(v any) []byte { return appendState(nil, testKey.Key, v.(stateRow)) },
		func(k message.RowKey, b []byte) (any, error) { return readState(k, b) },
	},
	"outcome": {
		&message.Outcome{Status: message.StatusDone, Action: "a", Fingerprint: message.Fingerprint{1}, Body: []byte("b"), Code: "c", Detail: "d",
			FirstSeen: 1, Settled: 2, Attempts: 3, Doubt: message.ID{4}, ReplyTo: fullMessage().ReplyTo},
		func(v any) []byte { return appendOutcome(nil, testKey.Key, v.(*message.Outcome)) },
		func(k message.RowKey, b []byte) (any, error) { return ReadOutcome(k, b) },
	},
	"message": {
		fullMessage(),
		func(v any) []byte { return appendMessage(nil, testKey.Key, v.(*message.Message)) },
		func(k message.RowKey, b []byte) (any, error) { return readMessageRow(k, b) },
	},
	"timer": {
		timerRow{5, fullMessage()},
		func(v any) []byte { return appendTimer(nil, testKey.Key, v.(timerRow)) },
		func(k message.RowKey, b []byte) (any, error) { return readTimer(k, b) },
	},
	"dead letter": {
		&DeadLetter{fullMessage(), "why", 3, 4},
		func(v any) []byte { return appendDead(nil, testKey.Key, v.(*DeadLetter)) },
		func(k message.RowKey, b []byte) (any, error) { return ReadDead(k, b) },
	},
	"control": {
		&controlRow{token: "t", until: 1, head: 2, tail: 9, taken: []uint64{8, 3}, void: []string{"tx"}, voidTo: 4, retries: []*retry{{msg: fullMessage(), attempts: 1, until: 2, reason: "r"}}},
		func(v any) []byte { return appendControl(nil, testKey.Key, v.(*controlRow)) },
		func(k message.RowKey, b []byte) (any, error) { return readControl(k, b) },
	},
	"effect": {
		fullEffect(),
		func(v any) []byte { return appendEffect(nil, testKey.Key, v.(*effectRecord)) },
		func(k message.RowKey, b []byte) (any, error) { return readEffect(k, b) },
	},
	"resolution": {
		&Resolution{Status: message.StatusDone, Body: []byte("b"), Code: "c", Detail: "d", By: "by", Tenant: "tenant", At: 3, Seen: Look{4, 5}, Conflict: "conflict"},
		func(v any) []byte { return appendResolution(nil, testKey.Key, v.(*Resolution)) },
		func(k message.RowKey, b []byte) (any, error) { return ReadResolution(k, b) },
	},
	"clock": {
		clockRow{3, 4},
		func(v any) []byte {
			c := v.(clockRow)
			return seal(putUint(putUint(begin(nil), 1, uint64(c.trusted)), 2, uint64(c.seen)), 0, testKey.Key)
		},
		func(k message.RowKey, b []byte) (any, error) { return readClock(k, b) },
	},
	"number": {
		uint64(7),
		func(v any) []byte { return seal(putUint(begin(nil), 1, v.(uint64)), 0, testKey.Key) },
		func(k message.RowKey, b []byte) (any, error) { return readNumber(k, b) },
	},
	"trial": {
		trialRow{2, 7},
		func(v any) []byte { return appendTrial(nil, testKey.Key, v.(trialRow)) },
		func(k message.RowKey, b []byte) (any, error) { return readTrial(k, b) },
	},
	"generations": {
		[]generation{{3, 4, 5}},
		func(v any) []byte {
			g := v.([]generation)[0]
			return seal(putNested(begin(nil), 1, func(b []byte) []byte {
				return putUint(putUint(putUint(b, 1, uint64(g.number)), 2, uint64(g.start)), 3, uint64(g.after))
			}), 0, testKey.Key)
		},
		func(k message.RowKey, b []byte) (any, error) {
			var r retention
			err := r.read(k, b)
			return r.generations, err
		},
	},
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	for name, c := range codecs {
		b := c.encode(c.value)
		got, err := c.decode(testKey, b)
		if err != nil || !reflect.DeepEqual(got, c.value) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.value)
		}
	}
}

// FAULTS 12, 59: whatever is changed is found, and the error names the row.
func TestCodecFindsDamage(t *testing.T) {
	t.Parallel()
	for name, c := range codecs {
		good := c.encode(c.value)
		damaged := [][]byte{nil, {}, {format}, append(good[:len(good):len(good)], 0)}
		for i := range good {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << (i % 8)
			damaged = append(damaged, bad, good[:i])
		}
		for _, bad := range damaged {
			checkCorrupt(t, name, testKey, bad, c.decode)
		}
		if _, err := c.decode(message.RowKey{Table: testKey.Table, Key: []byte("another")}, good); err == nil {
			t.Errorf("%s: a value is believed under another key", name)
		}
	}
}

func checkCorrupt(t *testing.T, name string, k message.RowKey, value []byte, decode func(message.RowKey, []byte) (any, error)) {
	t.Helper()
	_, err := decode(k, value)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "the row") {
		t.Errorf("%s: %x: %v", name, value, err)
	}
}

// Fields that nobody wrote, sealed correctly: an error that names the row, or a
// value that is read again as it would be written.
func FuzzDecoders(f *testing.F) {
	for _, c := range codecs {
		b := c.encode(c.value)
		f.Add(b[1 : len(b)-4])
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		value := seal(append(begin(nil), fields...), 0, testKey.Key)
		for name, c := range codecs {
			v, err := c.decode(testKey, value)
			if err != nil {
				var corrupt *CorruptError
				if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "the row") {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			_, _ = c.decode(testKey, fields)
			if name == "generations" && len(v.([]generation)) != 1 {
				continue // of several, encode has one
			}
			written := c.encode(v)
			again, err := c.decode(testKey, written)
			if err != nil {
				t.Errorf("%s: what was read is refused when it is written again: %v", name, err)
			} else if got := c.encode(again); string(got) != string(written) {
				t.Errorf("%s: %x is %x when it was written and read", name, written, got)
			}
		}
	})
}

// FAULTS 59: what is sealed well and means nothing is refused as well.
func TestCodecRefusesNonsense(t *testing.T) {
	t.Parallel()
	e := codecs["effect"].value.(*effectRecord)
	for _, bad := range []effectRecord{{id: e.id, status: effectDoubt + 1}, {id: e.id}, {id: e.id, status: effectAsked, unrecorded: keyedUnrecorded + 1}} {
		checkCorrupt(t, "effect", testKey, appendEffect(nil, testKey.Key, &bad), codecs["effect"].decode)
	}
	for _, p := range []uint64{2, 9} {
		bad := controlRow{head: 2, tail: 9, taken: []uint64{p}}
		checkCorrupt(t, "control", testKey, appendControl(nil, testKey.Key, &bad), codecs["control"].decode)
	}
}

// FAULTS 59: garbage at recovery is an error that names its row.
func TestRecoveryNamesGarbage(t *testing.T) {
	t.Parallel()
	garbage := []message.Row{{Key: []byte("the row"), Value: []byte("garbage")}}
	for name, rec := range map[string]Recovered{
		"meta": {Meta: garbage}, "control": {Controls: garbage}, "effect": {Effects: garbage}, "cursor": {Cursors: garbage},
		"due":         {NextDue: []message.Row{{Key: []byte("the")}}},
		"clock":       {Meta: []message.Row{{Key: []byte(clockKey), Value: []byte("x")}}},
		"generations": {Meta: []message.Row{{Key: []byte(generationsKey), Value: []byte("x")}}},
		"feed":        {Meta: []message.Row{{Key: []byte(feedKey), Value: []byte("x")}}},
		"trial":       {Meta: []message.Row{{Key: []byte(trialKey + "x"), Value: seal(begin(nil), 0, []byte(trialKey+"x"))}}},
		"outbox":      {Meta: []message.Row{{Key: []byte("o\x00\x63"), Value: seal(begin(nil), 0, []byte("o\x00\x63"))}}},
	} {
		d := &single{cfg: Config{MaxUnitBytes: 1 << 20, Shards: 1, WindowKeys: 1, Retention: 1, MaxJump: 1, Running: 1}}
		_, err := New(d.cfg, testBehavior(nil), simStart, rec)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A state, or a parked message, that cannot be read stops its agent only; what
// was recorded of it is still answered.
func TestBrokenAgent(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	d.ask(keyed("count", "k", "1"))
	for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
		r.tables[message.TableState][string(bob.AppendKey(nil))] = []byte("garbage")
	}
	d.crash()
	if a := d.ask(keyed("count", "k", "1")); a.Outcome == nil || !a.Replayed {
		t.Errorf("a replay: %+v", a)
	}
	if a := d.ask(keyed("count", "new", "1")); a.Fault == nil || a.Fault.Code != message.CodeStoreUnavailable {
		t.Errorf("a new call: %+v", a)
	}
	m := keyed("count", "other", "1")
	m.To = simAgent("t", "carol")
	if a := d.ask(m); a.Outcome == nil {
		t.Errorf("another agent: %+v", a)
	}
	if len(d.alarms) == 0 || d.alarms[0].Kind != AlarmCorrupt {
		t.Errorf("alarms %+v", d.alarms)
	}
}

// fullPromise is one with every field set.
func fullPromise() *promise {
	return &promise{
		tx: "tx", changed: true, state: []byte("after"), schema: 2, sends: []*message.Message{fullMessage()},
		timers:  []timerChange{{name: "n", due: 3, msg: fullMessage()}, {name: "gone"}},
		effects: []*effectRecord{fullEffect()}, undone: []message.ID{{7}},
		hold: holdChange{set: true, token: "t", until: 5}, ends: true,
	}
}

func TestPromiseIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	for _, p := range []*promise{fullPromise(), {tx: "tx"}, {tx: "tx", changed: true}, {tx: "tx", hold: holdChange{release: true}}} {
		b := appendPromise(nil, p)
		got, err := readPromise(b)
		if err != nil || !reflect.DeepEqual(got, p) && !bytes.Equal(appendPromise(nil, got), b) {
			t.Errorf("%+v is read as %+v, %v", p, got, err)
		}
		if got.changed != p.changed || got.hold != p.hold {
			t.Errorf("%+v is read as %+v", p, got)
		}
	}
}

func fullEffect() *effectRecord {
	return &effectRecord{id: message.ID{1}, name: "n", agent: simAgent("t", "x"), cause: message.ID{2}, principal: "p", body: []byte("b"), then: "then",
		link: fullMessage().ReplyTo.Link, status: effectDoubt, attempts: 2, asked: 3, started: 4, timeout: 6, epoch: 5, resolved: true, withdrawn: true, reason: "r", trace: "trace", unrecorded: keyedUnrecorded}
}

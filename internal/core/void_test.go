package core

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// However many transactions are decided before their turn, the control row stays
// small, and none of them is promised anything.
func TestVoidIsBounded(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		d := newSingle(t, parties(), nil)
		d.tell("prepare", "first", "move", 1)
		names := make([]string, 100)
		for i := range names {
			names[i] = strings.Repeat("x", 100) + fmt.Sprint(i)
			d.tell("prepare", names[i], "move", 1)
		}
		for _, name := range names {
			d.tell("abort", name, "", 0)
		}
		d.tell("prepare", "last", "move", 1)
		d.heard(" done", 100)
		for _, v := range d.store.visible[0].tables[message.TableControl] {
			if len(v) > maxVoidBytes+1024 {
				t.Errorf("the control row has %d bytes", len(v))
			}
		}
		if crash {
			d.crash()
			d.settle()
		}
		d.tell("abort", "first", "", 0)
		d.heard("move rejected not_prepared", 100)
		d.heard("move done", 2) // first and last
		d.tell("abort", "last", "", 0)
		if n := d.rows(message.TableControl); n != 0 {
			t.Errorf("%d control rows are left", n)
		}
	}
}

// A commit that is told that nothing was promised is told the truth: its prepare,
// whose turn comes later, promises nothing.
func TestCommitOvertakesItsPrepare(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.tell("prepare", "first", "move", 1)
	d.tell("prepare", "second", "move", 1)
	d.tell("commit", "second", "", 0)
	d.heard(" rejected not_prepared", 1)
	d.tell("abort", "first", "", 0)
	d.heard("move rejected not_prepared", 1)
	if n := d.rows(message.TableControl); n != 0 {
		t.Errorf("%d control rows are left", n)
	}
}

// No token passes the hold of a promise, whoever made it.
func TestNoTokenPassesAPromise(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.tell("prepare", "tx", "move", 1)
	m := d.alice("count", "sly")
	m.Token = branchToken("tx")
	c := d.submit(new(Caller), m)
	d.settle()
	if _, ok := d.answers[c]; ok {
		t.Error("a message with the token of the promise passed")
	}
}

// A decision waits for a program that can read its agent, and not behind what
// waits for the decision.
func TestDecisionOfAnAgentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"commit", "abort"} {
		d := newSingle(t, parties(), nil)
		d.tell("prepare", "tx", "move", 1)
		typ := d.b.Types["t"]
		sound := typ.Load
		typ.Load = func(schema uint32, data []byte) (State, error) {
			if len(data) == 0 {
				return nil, errors.New("not this program") // alice has taken no step
			}
			return sound(schema, data)
		}
		d.crash()
		d.settle()
		for i := range 2 * mailWindow {
			m := keyed("pass on", fmt.Sprint(i), "")
			m.Body = body{Op: "count"}.bytes()
			d.submit(&Caller{}, m)
		}
		d.settle()
		d.tell(phase, "tx", "", 0)
		typ.Load = sound
		d.crash()
		d.settle()
		d.advance(2 * time.Minute) // the hold of what was promised
		if n := d.rows(message.TableControl); n != 0 {
			t.Errorf("%s: the agent is still kept", phase)
		}
		want := int64(2 * mailWindow)
		if phase == "commit" {
			want += 2 // and its timer
		}
		if n, _ := d.of(alice, "n"); n != want {
			t.Errorf("%s: %d, want %d", phase, n, want)
		}
	}
}

// A prepare that was a dead letter votes no: its transaction may be long over. It
// does so at once, also if its agent is held, or cannot be read.
func TestDeadPrepareVotesNo(t *testing.T) {
	t.Parallel()
	for _, held := range []string{"", "by a promise", "by a state"} {
		d := newSingle(t, parties(), nil)
		if held == "by a promise" {
			d.tell("prepare", "other", "look", 0)
		}
		m := &message.Message{ID: message.ID{9}, To: alice, Action: "move", Principal: simPrincipal, Body: body{Amt: 1}.bytes(), Sent: simStart,
			ReplyTo: &message.ReplyTo{Agent: bob, Action: "heard", Link: message.Link{Context: []byte("dead")}},
			Branch:  &message.Branch{Tx: "tx", Phase: message.Prepare}}
		k := message.RowKey{Table: message.TableDead, Key: m.ID[:]}
		for _, r := range []*rows{d.store.visible[0], d.store.durable[0]} {
			r.tables[k.Table][string(k.Key)] = appendDead(nil, k.Key, &DeadLetter{Message: m, Reason: "it ended the process", Attempts: 3})
			if held == "by a state" {
				r.tables[message.TableState][string(alice.AppendKey(nil))] = []byte("no state")
			}
		}
		d.open(false)
		d.m.RetryDead(d.now, new(Caller), m.ID)
		d.settle()
		d.heard("dead rejected not_prepared", 1)
		if held == "by a state" {
			continue
		}
		if held != "" {
			d.tell("abort", "other", "", 0)
		}
		if n, absent := d.of(alice, "n"); n != 0 || !absent || d.rows(message.TableControl) != 0 {
			t.Errorf("held %s: %d, absent %v, held %d", held, n, absent, d.rows(message.TableControl))
		}
	}
}

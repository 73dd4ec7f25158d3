package core

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// A promise is kept, or dropped, by another program than made it.

// padded is a state that a later program encodes with more bytes.
type padded struct{ *numbers }

func (p padded) Append(dst []byte) ([]byte, error) {
	dst, err := p.numbers.Append(dst)
	for i := range 40 {
		name := fmt.Sprintf("%0100d", i)
		dst = append(append(append(dst, byte(len(name))), name...), 0)
	}
	return dst, err
}

// What is decided is counted as the present program encodes it (invariant 9).
func TestPromiseKeptByAProgramWithLargerStates(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"commit", "abort"} {
		for _, action := range []string{"move", "look"} {
			d := newSingle(t, parties(), nil)
			d.ask(d.alice("count", "1"))
			d.tell("prepare", "tx", action, 5)
			typ := d.b.Types["t"]
			load := typ.Load
			typ.Load = func(schema uint32, data []byte) (State, error) {
				st, err := load(schema, data)
				return padded{st.(*numbers)}, err
			}
			for _, a := range typ.Actions {
				inner := a.Run
				a.Run = func(s *Step, st State) Result {
					if p, ok := st.(padded); ok {
						st = p.numbers
					}
					return inner(s, st)
				}
			}
			d.crash()
			d.settle()
			d.submit(new(Caller), keyedBody(phase, "tx"))
			units := 0
			for d.work(); d.m.HasUnit() && units < 10; d.work() {
				counted := d.m.Counted()
				u := d.m.Seal()
				if u.Bytes() > counted {
					t.Errorf("%s %s: a unit of %d bytes, of which %d were counted", phase, action, u.Bytes(), counted)
				}
				if err := d.store.commit(copyUnit(0, u)); err != nil {
					t.Fatal(err)
				}
				for range d.m.TakeWakes() {
					d.m.Hint(0)
				}
				d.sync()
				units++
			}
			d.settle()
			want := int64(1)
			if phase == "commit" && action == "move" {
				want = 6
			}
			if n, _ := d.of(alice, "n"); n != want {
				t.Errorf("%s %s: %d, want %d", phase, action, n, want)
			}
		}
	}
}

func keyedBody(phase, tx string) message.Message {
	m := keyed(phase, phase, "")
	m.Body = body{Name: tx}.bytes()
	return m
}

// An effect that was promised is asked for by the commit, and waits for a program
// that has it, like one that was asked for before.
func TestPromisedEffectOfAnotherProgram(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.tell("prepare", "tx", "move", 5)
	amo := d.b.Effects["amo"]
	delete(d.b.Effects, "amo")
	d.crash()
	d.settle()
	d.tell("commit", "tx", "", 0)
	d.heard(" done", 1)
	if len(d.calls) != 0 || d.rows(message.TableEffect) != 1 {
		t.Fatalf("%d effects, and it is called: %+v", d.rows(message.TableEffect), d.calls)
	}
	d.b.Effects["amo"] = amo
	d.crash()
	d.settle()
	d.called(false)
}

// Nothing is done of a commit that this program cannot keep whole.
func TestPromiseToEndByAProgramThatCannotBeginAnew(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.ask(d.alice("count", "1"))
	d.tell("prepare", "tx", "end", 0)
	typ := d.b.Types["t"]
	load := typ.Load
	typ.Load = func(schema uint32, data []byte) (State, error) {
		if data == nil {
			return nil, errors.New("it cannot begin")
		}
		return load(schema, data)
	}
	d.tell("commit", "tx", "", 0)
	typ.Load = load
	d.advance(10 * time.Second)
	d.heard(" done", 1)
	if _, absent := d.of(alice, "n"); !absent {
		t.Error("it has not ended")
	}
}

// An abort needs no program that knows the agent's type, and leaves the state as
// it was written.
func TestAbortWithoutTheType(t *testing.T) {
	t.Parallel()
	d := newSingle(t, parties(), nil)
	d.b.Types["t"].Schema = 7
	coordinator := *d.b.Types["t"]
	d.b.Types["c"] = &coordinator
	other := simAgent("c", "carol")
	d.ask(d.alice("count", "1"))
	tell := func(phase string) {
		m := keyedBody(phase, "tx")
		m.To, m.Body = other, body{Op: "move", Name: "tx", Amt: 5}.bytes()
		if a := d.ask(m); a.Fault != nil {
			t.Fatal(a.Fault)
		}
	}
	state := func() stateRow {
		k := message.RowKey{Table: message.TableState, Key: alice.AppendKey(nil)}
		row, err := readState(k, d.store.visible[0].get(k))
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	before := state()
	tell("prepare")
	delete(d.b.Types, "t")
	d.crash()
	d.settle()
	tell("abort")
	if after := state(); after.schema != 7 || after.version != before.version || !bytes.Equal(after.data, before.data) || after.prepared != nil {
		t.Errorf("the state was %+v, and is %+v", before, after)
	}
}

// A no of any size is a no, and a yes that changes nothing is one of any state.
func TestVotesOfAnySize(t *testing.T) {
	t.Parallel()
	b := parties()
	large := make([]byte, 200<<10)
	b.Types["t"].Actions["refuse at length"] = &Action{Run: func(*Step, State) Result {
		return Result{Verdict: Refused, Code: "no", Body: large}
	}}
	b.Types["t"].Actions["grow"] = &Action{Run: func(_ *Step, st State) Result {
		n := st.(*numbers)
		for i := range 30 {
			n.set(fmt.Sprintf("%0100d%d", i, n.get("grown")), 1)
		}
		return replied(body{})
	}}
	d := newSingle(t, b, func(c *Config) { c.MaxState = 4 << 10 })
	d.tell("prepare", "tx1", "refuse at length", 0)
	d.heard("refuse at length rejected not_prepared", 1)
	d.ask(d.alice("grow", "1")) // to more than half of what is allowed
	d.tell("prepare", "tx2", "look", 0)
	d.heard("look done read_only", 1)
	d.tell("abort", "tx2", "", 0)
	d.tell("prepare", "tx3", "move", 1)
	d.heard("move rejected not_prepared", 1)
}

// A withdrawal that is only promised withdraws nothing before the commit.
func TestPromisedWithdrawal(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"commit", "abort"} {
		b := parties()
		var id message.ID
		b.Types["t"].Actions["pay"] = &Action{Run: func(s *Step, _ State) Result {
			id = s.Ask(Call{Effect: "ask", Then: "paid"})
			return Result{Verdict: Deferred}
		}}
		b.Types["t"].Actions["paid"] = &Action{Run: func(s *Step, st State) Result {
			st.(*numbers).add("paid "+s.Message().Answer.Status.String(), 1)
			return replied(body{})
		}}
		b.Types["t"].Actions["undo"] = &Action{Run: func(s *Step, _ State) Result { s.Withdraw(id); return replied(body{}) }}
		d := newSingle(t, b, nil)
		d.submit(new(Caller), d.alice("pay", "1"))
		d.settle()
		d.called(false)
		d.done(id, false, message.StatusUnknown)
		d.tell("prepare", "tx", "undo", 0)
		d.heard("undo done", 1) // it is not a read
		d.crash()
		d.advance(time.Minute)
		if n := d.rows(message.TableOpen); n != 1 {
			t.Fatalf("%d wait", n)
		}
		d.tell(phase, "tx", "", 0)
		want := int64(0)
		if phase == "commit" {
			want = 1
		}
		if n, _ := d.of(alice, "paid unknown"); n != want {
			t.Errorf("after %s, it is told %d times", phase, n)
		}
		d.resolve(id, message.StatusDone)
		if n, _ := d.of(alice, "paid done"); n != 1-want {
			t.Errorf("after %s, it is told %d times as done", phase, n)
		}
		if n := d.rows(message.TableEffect) + d.rows(message.TableOpen) + d.rows(message.TableControl); n != 0 {
			t.Errorf("after %s, %d rows are left", phase, n)
		}
	}
}

package core

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

// moved is a store with another number of shards that has all that was in one.
func moved(t *testing.T, from []*rows, to int) []*rows {
	t.Helper()
	m := NewMoving(len(from), to, 1<<20)
	out := newModelStore(to).visible
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(shard message.Shard, k message.RowKey, value []byte) error {
		out[shard].tables[k.Table][storeKey(k)] = value
		return nil
	}
	for i, r := range from {
		check(m.Learn(message.Shard(i), r.scan(message.TableMeta, ""), r.scan(message.TableEffect, ""), r.scan(message.TableCursor, "c")))
	}
	for i, r := range from {
		shard := message.Shard(i)
		for _, table := range []message.Table{message.TableState, message.TableOpen, message.TableMailbox, message.TableEffect, message.TableTimer, message.TableDead, message.TableCursor} {
			for _, row := range r.scan(table, "") {
				check(m.Place(shard, message.RowKey{Table: table, Key: row.Key}, row.Value, put))
			}
		}
		for _, row := range r.scan(message.TableDedup, "") {
			gen := message.Generation(binary.BigEndian.Uint32(row.Key))
			check(m.Place(shard, message.RowKey{Table: message.TableDedup, Gen: gen, Key: row.Key[4:]}, row.Value, put))
		}
		p, err := m.Park(shard, r.scan(message.TableControl, ""))
		check(err)
		for _, at := range m.Taken(shard) {
			for _, d := range (&modelStore{visible: from}).inbox(shard, at, 1000) {
				check(p.Add(d, put))
			}
		}
		check(p.End(put))
	}
	for i := range to {
		check(m.Meta(message.Shard(i), false, put))
	}
	return out
}

// A store is moved while an agent is prepared, its coordinator's decision is on its
// way, and prepares wait: one of a transaction that was aborted, one whose abort is
// on its way, too, and one that is alive.
func TestPromiseIsMoved(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"commit", "abort"} {
		d := newSingle(t, parties(), nil)
		d.ask(d.alice("count", "1"))
		d.tell("prepare", "tx", "move", 5)
		for _, tx := range []string{"void", "late", "alive"} {
			d.tell("prepare", tx, "move", 1)
		}
		d.tell("abort", "void", "", 0)
		for _, decision := range []message.Message{keyedBody(phase, "tx"), keyedBody("abort", "late")} {
			decision.Key += bodyOf(decision.Body).Name
			d.submit(new(Caller), decision)
		}
		d.work()
		if err := d.store.commit(copyUnit(0, d.m.Seal())); err != nil {
			t.Fatal(err)
		}
		d.store.sync(len(d.store.log))

		there := moved(t, moved(t, d.store.durable, 3), 1)
		d.store = newModelStore(1)
		d.store.visible = there
		d.store.durable[0] = there[0].clone()
		d.open(false)
		d.settle()
		kept := int64(0)
		if phase == "commit" {
			kept = 1
			d.advance(2 * time.Minute) // what was promised held the agent
		}
		d.heard("move rejected not_prepared", 2)
		d.heard("move done", 2)
		if n, _ := d.of(alice, "n"); n != 1+5*kept { // its timer waits for who is alive
			t.Errorf("%s: %d", phase, n)
		}
		d.tell("commit", "alive", "", 0)
		d.advance(2 * time.Minute)
		if n, _ := d.of(alice, "n"); n != 1+6*kept+2 {
			t.Errorf("%s: %d at last", phase, n)
		}
		if n, _ := d.of(bob, "n"); n != kept+1 {
			t.Errorf("%s: %d messages were sent", phase, n)
		}
		if n := d.rows(message.TableControl) + d.rows(message.TableMailbox); n != 0 {
			t.Errorf("%s: %d rows keep the agent", phase, n)
		}
	}
}

// The decision that an agent is held for goes to the front whatever waits there; of
// others that do not fit the prepares vote no when their turn comes.
func TestDecisionsFindRoomInAMove(t *testing.T) {
	t.Parallel()
	m := NewMoving(1, 5, 1<<20)
	if err := m.Learn(0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	key := alice.AppendKey(nil)
	control := &controlRow{token: branchToken("held"), until: endOfTime, tail: 3}
	p, err := m.Park(0, []message.Row{{Key: key, Value: appendControl(nil, key, control)}})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(placedRows)
	for i, x := range []struct {
		tx   string
		size int
	}{{"1", 100 << 10}, {"2", 100 << 10}, {"3", 10}, {"held", 10}} {
		k := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(i+1))
		d := message.Delivery{Position: uint64(i + 1), Data: appendMessage(nil, k, &message.Message{
			ID: message.ID{byte(i + 1)}, To: alice, Action: "tx:abort", Branch: &message.Branch{Tx: x.tx, Phase: message.Abort},
			ReplyTo: &message.ReplyTo{Agent: bob, Action: "heard", Link: message.Link{Context: make([]byte, x.size)}},
		})}
		if err := p.Add(d, rows.put); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.End(rows.put); err != nil {
		t.Fatal(err)
	}
	k := message.RowKey{Table: message.TableControl, Key: key}
	c, err := readControl(k, rows[message.ShardOf(alice, 5)][k.Table][string(key)])
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	for _, r := range c.retries {
		again = append(again, r.msg.ID[0])
	}
	if !slices.Equal(again, []byte{1, 4}) || c.tail != 5 || !slices.Equal(c.void, []string{"2", "3"}) {
		t.Errorf("%v are tried again, the mailbox ends at %d, void are %q", again, c.tail, c.void)
	}
}

// What the other store could not keep is not moved.
func TestPromiseThatDoesNotFitIsNotMoved(t *testing.T) {
	t.Parallel()
	m := NewMoving(1, 1, 64<<10)
	if err := m.Learn(0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	key := alice.AppendKey(nil)
	for _, size := range []int{100, 30 << 10} {
		p := &promise{tx: "tx", changed: true, state: make([]byte, 40<<10), sends: []*message.Message{{To: bob, Action: "a", Body: make([]byte, size)}}}
		row := appendState(nil, key, stateRow{version: 1, data: []byte("x"), prepared: appendPromise(nil, p)})
		err := m.Place(0, message.RowKey{Table: message.TableState, Key: key}, row, make(placedRows).put)
		if (err != nil) != (size > 100) {
			t.Errorf("with a message of %d bytes: %v", size, err)
		}
	}
}

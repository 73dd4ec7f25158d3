package core

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/semel-dev/semel/message"
)

// placedRows are rows of the other store.
type placedRows map[message.Shard]map[message.Table]map[string][]byte

func (p placedRows) put(to message.Shard, k message.RowKey, value []byte) error {
	if p[to] == nil {
		p[to] = make(map[message.Table]map[string][]byte)
	}
	if p[to][k.Table] == nil {
		p[to][k.Table] = make(map[string][]byte)
	}
	p[to][k.Table][string(k.Key)] = value
	return nil
}

// What was not consumed goes into mailboxes in its order, behind what is there;
// what bears the token of the hold goes past it.
func TestUndeliveredMessagesArePutIntoMailboxes(t *testing.T) {
	t.Parallel()
	m := NewMoving(1, 5, 1<<20)
	if err := m.Learn(0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	held, free := simAgent("x", "held"), simAgent("x", "free")
	key := held.AppendKey(nil)
	control := appendControl(nil, key, &controlRow{token: "t", until: 100, head: 3, tail: 5})
	p, err := m.Park(0, []message.Row{{Key: key, Value: control}})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(placedRows)
	for i, send := range []struct {
		to    message.Agent
		token string
	}{{held, ""}, {held, "t"}, {free, "t"}, {held, "other"}, {free, ""}} {
		k := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(i+1))
		d := message.Delivery{Position: uint64(i + 1), Data: appendMessage(nil, k, &message.Message{
			ID: message.ID{byte(i + 1)}, To: send.to, Action: "a", Token: send.token,
		})}
		if err := p.Add(d, rows.put); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.End(rows.put); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		agent      message.Agent
		mail       []byte // IDs, from the tail on
		first      uint64
		head, tail uint64
		again      []byte
	}{{held, []byte{1, 4}, 5, 3, 7, []byte{2}}, {free, []byte{3, 5}, 0, 0, 2, nil}} {
		there := rows[message.ShardOf(want.agent, 5)]
		k := message.RowKey{Table: message.TableControl, Key: want.agent.AppendKey(nil)}
		c, err := readControl(k, there[k.Table][string(k.Key)])
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		for _, r := range c.retries {
			again = append(again, r.msg.ID[0])
		}
		if c.head != want.head || c.tail != want.tail || !slices.Equal(again, want.again) {
			t.Errorf("%s: the mailbox holds %d to %d, and %v are tried again; %+v", want.agent, c.head, c.tail, again, want)
		}
		for i, id := range want.mail {
			k := message.RowKey{Table: message.TableMailbox, Key: append(want.agent.AppendKey(nil), position(want.first+uint64(i))...)}
			msg, err := readMessageRow(k, there[k.Table][string(k.Key)])
			if err != nil || msg.ID[0] != id {
				t.Errorf("%s: message %d of the mailbox: %+v, %v", want.agent, want.first+uint64(i), msg, err)
			}
		}
	}
}

// Of messages that bear the token, one that does not fit among those that are
// tried again is not overtaken by a later and smaller one.
func TestMessagesWithTheTokenKeepTheirOrder(t *testing.T) {
	t.Parallel()
	m := NewMoving(1, 5, 1<<20)
	if err := m.Learn(0, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	held := simAgent("x", "held")
	key := held.AppendKey(nil)
	p, err := m.Park(0, []message.Row{{Key: key, Value: appendControl(nil, key, &controlRow{token: "t", until: 100})}})
	if err != nil {
		t.Fatal(err)
	}
	rows := make(placedRows)
	for i, size := range []int{80 << 10, 80 << 10, 10} {
		k := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(i+1))
		d := message.Delivery{Position: uint64(i + 1), Data: appendMessage(nil, k, &message.Message{
			ID: message.ID{byte(i + 1)}, To: held, Action: "a", Token: "t", Body: make([]byte, size),
		})}
		if err := p.Add(d, rows.put); err != nil {
			t.Fatal(err)
		}
	}
	var again, mail []byte
	for _, r := range p.controls[string(key)].retries {
		again = append(again, r.msg.ID[0])
	}
	for n := range p.controls[string(key)].tail {
		k := message.RowKey{Table: message.TableMailbox, Key: append(held.AppendKey(nil), position(n)...)}
		msg, err := readMessageRow(k, rows[message.ShardOf(held, 5)][k.Table][string(k.Key)])
		if err != nil {
			t.Fatal(err)
		}
		mail = append(mail, msg.ID[0])
	}
	if !slices.Equal(again, []byte{1}) || !slices.Equal(mail, []byte{2, 3}) {
		t.Errorf("messages %v are tried again, and %v wait in the mailbox", again, mail)
	}
}

// An effect is of no session of the other store, and the word of a person about
// it is where it is; a timer's turn is where the timer is.
func TestPlacesOfEffectsAndTimers(t *testing.T) {
	t.Parallel()
	const from, to = 3, 4
	m := NewMoving(from, to, 1<<20)
	rows := make(placedRows)
	generations := appendGenerations(nil, []byte(generationsKey), []generation{{number: 1, start: 1}})
	for s := range message.Shard(from) {
		var effects []message.Row
		for i := range 40 {
			a := simAgent("x", fmt.Sprint(i))
			if message.ShardOf(a, from) != s {
				continue
			}
			id := message.ID{byte(i + 1)}
			effects = append(effects, message.Row{Key: id[:], Value: appendEffect(nil, id[:], &effectRecord{id: id, agent: a, status: effectDoubt, epoch: 9})})
		}
		if err := m.Learn(s, []message.Row{{Key: []byte(generationsKey), Value: generations}}, effects, nil); err != nil {
			t.Fatal(err)
		}
		for _, r := range effects {
			resolved := ResolutionKey(message.ID(r.Key))
			name := append(m.shards[s].effects[message.ID(r.Key)].AppendKey(nil), "timer"...)
			timer := appendTimer(nil, name, timerRow{due: 77, msg: &message.Message{ID: message.ID{1}}})
			for _, row := range []struct {
				message.RowKey
				value []byte
			}{
				{message.RowKey{Table: message.TableEffect, Key: r.Key}, r.Value},
				{message.RowKey{Table: message.TableDedup, Gen: 1, Key: resolved}, appendResolution(nil, resolved, &Resolution{By: "ann"})},
				{message.RowKey{Table: message.TableTimer, Key: name}, timer},
			} {
				if err := m.Place(s, row.RowKey, row.value, rows.put); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range 40 {
		a, id := simAgent("x", fmt.Sprint(i)), message.ID{byte(i + 1)}
		there := rows[message.ShardOf(a, to)]
		e, err := readEffect(message.RowKey{Table: message.TableEffect, Key: id[:]}, there[message.TableEffect][string(id[:])])
		if err != nil || e.epoch != 0 || e.agent != a {
			t.Fatalf("%+v, %v", e, err)
		}
		if there[message.TableDedup][string(ResolutionKey(id))] == nil {
			t.Errorf("what a person said of effect %d is not where the effect is", i)
		}
		name := append(a.AppendKey(nil), "timer"...)
		if _, due := there[message.TableDue][string(dueKey(77, name))]; !due || there[message.TableTimer][string(name)] == nil {
			t.Errorf("timer %d has no turn", i)
		}
	}
}

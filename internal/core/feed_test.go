package core

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semel-dev/semel/message"
)

func withFeed(c *Config) { c.Feed = true }

// follow is what the feed of the store tells: for each unit the ids of agents.
func (d *single) follow() (units []string) {
	d.t.Helper()
	for _, row := range d.store.durable[0].scan(message.TableChange, "") {
		c, err := ReadChanges(row)
		if err != nil {
			d.t.Fatal(err)
		}
		unit := fmt.Sprint(c.Seq)
		for _, key := range c.Agents {
			a, _, err := message.ParseAgentKey(key)
			if err != nil {
				d.t.Fatal(err)
			}
			unit += " " + a.ID
		}
		units = append(units, unit)
	}
	return units
}

func (d *single) floor() message.Seq {
	d.t.Helper()
	value := d.store.durable[0].get(FloorKey())
	if value == nil {
		d.t.Fatal("there is no floor")
	}
	floor, err := ReadFloor(value)
	if err != nil {
		d.t.Fatal(err)
	}
	return floor
}

func (d *single) wantFeed(want ...string) {
	d.t.Helper()
	if got := d.follow(); !slices.Equal(got, want) {
		d.t.Errorf("the feed is %q, want %q", got, want)
	}
}

// count makes the agents change in one unit, and returns which.
func (d *single) count(key string, ids ...string) message.Seq {
	d.t.Helper()
	for _, id := range ids {
		m := keyed("count", key, "1")
		m.To = simAgent("t", id)
		d.submit(new(Caller), m)
	}
	d.settle()
	return d.m.Durable()
}

// A unit tells of the agents that it changed, each once; of one that was
// deleted as well; of a replay or a rejection nothing.
func TestFeedNamesWhatChanged(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), withFeed)
	one := d.count("1", "a", "b", "a")
	d.submit(new(Caller), keyed("count", "x", "1"))
	d.submit(new(Caller), keyed("count", "y", "1")) // the same agent in the same unit
	d.settle()
	two := d.m.Durable()
	d.count("1", "a") // a replay
	d.m.Remove(d.now, new(Caller), simAgent("t", "b"))
	d.settle()
	d.wantFeed(fmt.Sprintf("%d a b", one), fmt.Sprintf("%d bob", two), fmt.Sprintf("%d b", d.m.Durable()))
	if d.floor() != 0 {
		t.Errorf("the floor of a new store is %d", d.floor())
	}
}

// A crash loses a unit with its row, and its sequence goes to another one.
func TestFeedOfLostUnits(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), withFeed)
	first := d.count("1", "a")
	d.submit(new(Caller), keyed("count", "lost", "1"))
	if !d.commit() || d.m.Sealed() != first+1 {
		t.Fatalf("unit %d is not sealed", first+1)
	}
	d.crash()
	d.count("2", "c")
	d.wantFeed(fmt.Sprintf("%d a", first), fmt.Sprintf("%d c", d.m.Durable()))
	if d.floor() != 0 {
		t.Errorf("a restart raised the floor to %d", d.floor())
	}
}

// Rows go with their generation, and the floor says up to where. It is no
// higher than it must be: a shard at rest makes no position too old.
func TestFeedForgetsWithItsGeneration(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), withFeed)
	old := d.count("1", "a")
	for range 12 {
		d.now += message.Time(10 * time.Minute)
		d.settle()
	}
	if len(d.retired) == 0 || d.m.Durable() < old+5 {
		t.Fatalf("no generation was dropped by unit %d", d.m.Durable())
	}
	d.wantFeed()
	if d.floor() != old {
		t.Errorf("the floor is %d after unit %d was forgotten; the units behind it changed nothing", d.floor(), old)
	}
	kept := d.count("2", "b")
	for range 4 {
		d.now += message.Time(10 * time.Minute)
		d.settle()
	}
	d.wantFeed(fmt.Sprintf("%d b", kept))
	d.open(false)
	d.settle()
	if d.floor() != old {
		t.Errorf("the floor is %d after a restart", d.floor())
	}
}

// A program that keeps no feed deletes it, so that the next one that does
// cannot claim to know what happened meanwhile.
func TestFeedHasNoHoles(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	before := d.count("0", "a")
	if rows, floor := d.rows(message.TableChange), d.store.durable[0].get(FloorKey()); rows != 0 || floor != nil {
		t.Errorf("%d changes, floor %x, that nobody asked for", rows, floor)
	}
	d.cfg.Feed = true
	d.open(false)
	d.settle()
	if d.floor() != before {
		t.Errorf("the floor is %d where the feed began behind unit %d", d.floor(), before)
	}
	d.count("1", "b")

	d.cfg.Feed = false
	d.open(false)
	if !d.m.HasUnit() {
		t.Fatal("the feed is left to the first step")
	}
	missed := d.count("2", "c")
	if rows, floor := d.rows(message.TableChange), d.store.durable[0].get(FloorKey()); rows != 0 || floor != nil {
		t.Errorf("%d changes, floor %x after a program that keeps no feed", rows, floor)
	}

	d.cfg.Feed = true
	d.open(false)
	d.settle()
	if d.floor() != missed {
		t.Errorf("the floor is %d; nothing of unit %d is known", d.floor(), missed)
	}
	d.wantFeed()
}

// A guest leaves the feed as it is, and keeps it where there is one, whatever
// its own configuration says.
func TestFeedOfAGuest(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), nil)
	guest := func(feed bool) {
		d.cfg.Guest, d.cfg.Feed = true, feed
		d.open(false)
		d.settle()
	}
	d.count("0", "a")
	if guest(true); d.store.durable[0].get(FloorKey()) != nil {
		t.Error("it began a feed")
	}
	d.cfg.Guest, d.cfg.Feed = false, true
	d.open(false)
	one := d.count("1", "b")
	guest(false)
	two := d.count("2", "c")
	d.wantFeed(fmt.Sprintf("%d b", one), fmt.Sprintf("%d c", two))
}

// What the row of a unit has is counted as its agents change (invariant 9).
func TestFeedCounts(t *testing.T) {
	t.Parallel()
	d := newSingle(t, wideBehavior(4000), func(c *Config) { smallUnits(c); c.Feed = true })
	for i := range 60 {
		id := fmt.Sprintf("%0*d", message.MaxNameBytes, i)
		d.submit(new(Caller), message.Message{ID: message.ID{byte(i)}, To: simAgent("wide", id), Action: "touch"})
	}
	if n := d.drainUnits(); n < 5 || d.rows(message.TableChange) != n {
		t.Errorf("%d units, %d changes", n, d.rows(message.TableChange))
	}
	for _, row := range d.store.durable[0].scan(message.TableChange, "") {
		c, err := ReadChanges(row)
		want := changesBytes
		for _, key := range c.Agents {
			want += sizeNested(len(key))
		}
		if got := len(row.Key) + len(row.Value); err != nil || got != want {
			t.Errorf("a row of %d bytes is taken for %d: %v", got, want, err)
		}
	}
}

// FAULTS 12, 59: a row that is not what was written is an error that names it.
func TestFeedFindsDamage(t *testing.T) {
	t.Parallel()
	d := newSingle(t, testBehavior(nil), withFeed)
	d.count("1", "a", "b")
	good := d.store.durable[0].scan(message.TableChange, "")[0]
	for i := range good.Value {
		bad := message.Row{Key: good.Key, Value: slices.Clone(good.Value)}
		bad.Value[i] ^= 4
		if c, err := ReadChanges(bad); err == nil {
			t.Errorf("byte %d of a row was changed, and it is read as %+v", i, c)
		}
	}
	for _, key := range [][]byte{nil, good.Key[:11], append(slices.Clone(good.Key), 0), ChangeKey(9, 9)} {
		if c, err := ReadChanges(message.Row{Key: key, Value: good.Value}); err == nil {
			t.Errorf("the row is read under the key %x as %+v", key, c)
		}
	}
}

package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if got, ok := ParseID(id.String()); got != id || !ok {
			t.Fatalf("ParseID(%s) = %s, %v", id, got, ok)
		}
		if id.IsZero() != (id == ID{}) {
			t.Fatalf("%s: IsZero() = %v", id, id.IsZero())
		}
	})
	for _, bad := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 34), strings.Repeat("g", 32)} {
		if _, ok := ParseID(bad); ok {
			t.Errorf("ParseID(%q) was accepted", bad)
		}
	}
}

// cause is what an ID is derived from.
type cause struct {
	kind      int
	agent     Agent
	text, key string
	number    uint64
}

func (c cause) id() ID {
	switch c.kind {
	case 0:
		return KeyedID(c.agent, c.text, c.key)
	case 1:
		return SequencedID(c.agent, c.text, c.number)
	}
	return KeyedID(c.agent, c.text, c.key).Child(uint32(c.number))
}

// Derivation is injective: no byte can move across the boundary of two parts,
// and no kind of ID can pass for another. Short alphabets make near misses
// likely, and length prefixes part of them.
func TestIDsOfDifferentCausesDiffer(t *testing.T) {
	t.Parallel()
	part := rapid.StringMatching(`[a\x01-\x03]{0,3}`)
	gen := rapid.Custom(func(t *rapid.T) cause {
		c := cause{kind: rapid.IntRange(0, 2).Draw(t, "kind"), text: part.Draw(t, "text")}
		c.agent = Agent{part.Draw(t, "tenant"), part.Draw(t, "type"), part.Draw(t, "id")}
		if c.kind != 1 {
			c.key = part.Draw(t, "key")
		}
		if c.kind != 0 {
			c.number = rapid.Uint64Range(0, 2).Draw(t, "number")
		}
		return c
	})
	rapid.Check(t, func(t *rapid.T) {
		one, two := gen.Draw(t, "one"), gen.Draw(t, "two")
		if (one.id() == two.id()) != (one == two) {
			t.Fatalf("%+v: %s\n%+v: %s", one, one.id(), two, two.id())
		}
	})
}

func TestIDPartBoundaries(t *testing.T) {
	t.Parallel()
	a := Agent{"acme", "account", "alice"}
	seen := map[ID]string{}
	for name, id := range map[string]ID{
		"principal ab, key c":   KeyedID(a, "ab", "c"),
		"principal a, key bc":   KeyedID(a, "a", "bc"),
		"principal abc, no key": KeyedID(a, "abc", ""),
		"no principal, key abc": KeyedID(a, "", "abc"),
		"another id":            KeyedID(Agent{"acme", "account", "alicea"}, "b", "c"),
		"another type":          KeyedID(Agent{"acme", "accounta", "lice"}, "ab", "c"),
		"another tenant":        KeyedID(Agent{"acmea", "ccount", "alice"}, "ab", "c"),
		"source with 8 bytes":   SequencedID(a, "ab", 7),
		"key of those 8 bytes":  KeyedID(a, "ab", "\x00\x00\x00\x00\x00\x00\x00\x07"),
		"child":                 KeyedID(a, "ab", "c").Child(0),
		"second child":          KeyedID(a, "ab", "c").Child(1),
		"child of child":        KeyedID(a, "ab", "c").Child(0).Child(0),
	} {
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have one ID", name, other)
		}
		seen[id] = name
	}
}

// IDs are on disk: these must never change.
func TestIDsAreFixed(t *testing.T) {
	t.Parallel()
	a := Agent{DefaultTenant, "account", "alice"}
	for want, id := range map[string]ID{
		"eda33dc228e8c6e6a5401841ae32eaeb": KeyedID(a, Anonymous, "k1"),
		"30643548248278f48f5a60ae26af20f7": SequencedID(a, "kafka/orders/0", 42),
		"bdd4a3adebba4c51332f64e54012891d": KeyedID(a, Anonymous, "k1").Child(3),
	} {
		if id.String() != want {
			t.Errorf("derived %s, want %s", id, want)
		}
	}
}

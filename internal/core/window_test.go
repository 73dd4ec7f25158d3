package core

import (
	"math/rand/v2"
	"testing"

	"github.com/semel-dev/semel/message"
)

// The window may forget, and then says since when; it never says "new" of an
// identity that was seen since then, and always of one that was not.
func TestWindowNeverForgetsSilently(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		now := message.Time(r.IntN(100))
		w := newWindow(1+r.IntN(20), now+message.Time(r.IntN(30)))
		start := w.since
		type seen struct {
			h  uint64
			at message.Time
		}
		var all []seen
		for range 500 {
			now += message.Time(r.IntN(3))
			h := r.Uint64N(1000)
			w.add(h, now)
			all = append(all, seen{h, now})
			if w.since < start {
				t.Fatalf("seed %d: the window answers for a time before its own", seed)
			}
			for _, s := range all {
				for _, notBefore := range []message.Time{s.at, s.at - message.Time(r.IntN(5))} {
					if w.provesNew(s.h, notBefore) {
						t.Fatalf("seed %d: identity %d, seen at %d, is new since %d", seed, s.h, s.at, notBefore)
					}
				}
			}
			if never := 1000 + r.Uint64N(1000); !w.provesNew(never, w.since) || w.provesNew(never, w.since-1) {
				t.Fatalf("seed %d: an identity that was never seen is proved new only since %d", seed, w.since)
			}
		}
	}
}

// The overlay answers for what was written last, until its unit is trimmed,
// and knows what a deleted prefix covers.
func TestOverlay(t *testing.T) {
	t.Parallel()
	o := overlay{rows: make(map[uint64]*overlayRow)}
	put := func(key, value string, seq message.Seq) []overlayRow {
		unit := []overlayRow{{table: message.TableTimer, key: []byte(key), value: []byte(value), seq: seq}}
		o.put(&unit[0])
		return unit
	}
	get := func(key string) string {
		r := o.get(message.TableTimer, []byte(key))
		if r == nil {
			return "unknown"
		}
		if r.value == nil {
			return "deleted"
		}
		return string(r.value)
	}
	check := func(key, want string) {
		t.Helper()
		if got := get(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	one := put("a/x", "1", 1)
	two := put("a/x", "2", 2)
	check("a/x", "2")
	o.trim(one)
	check("a/x", "2")
	three := []overlayRow{{table: message.TableTimer, key: []byte("a/"), seq: 3}}
	o.clear(&three[0])
	check("a/x", "deleted")
	check("a/never written", "deleted")
	check("b/x", "unknown")
	four := put("a/x", "4", 4)
	check("a/x", "4")
	o.trim(two)
	o.trim(three)
	check("a/x", "4")
	check("a/y", "unknown")
	o.trim(four)
	check("a/x", "unknown")
	if len(o.rows)+len(o.cleared) != 0 {
		t.Errorf("%d rows, %d prefixes left", len(o.rows), len(o.cleared))
	}
}

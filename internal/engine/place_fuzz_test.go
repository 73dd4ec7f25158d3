package engine

import (
	"bytes"
	"errors"
	"testing"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// A place is what a caller sends back, and may be anything: the listing goes on
// within its own ranges, and never before the place, or refuses it. Beyond its
// ranges lie the rows of other agents and tenants.
func FuzzPlace(f *testing.F) {
	f.Add(string(placeOf(0, []byte("agent/k1"))))
	f.Add(string(placeOf(7, []byte("agent/k2"))))
	f.Add(string(placeOf(9, []byte("other"))))
	f.Add("!")
	f.Add("")
	prefix := []byte("agent/")
	var ranges []store.Range
	for _, gen := range []message.Generation{0, 9, 7, 4} { // as Outcomes has them: what is open, and then the newest first
		ranges = append(ranges, store.Range{Table: message.TableDedup, Gen: gen, From: prefix, To: store.PrefixEnd(prefix)})
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := Place(s)
		part, key, ok := p.parse()
		if ok && s != "" {
			again := placeOf(part, key)
			gotPart, gotKey, _ := again.parse()
			if gotPart != part || !bytes.Equal(gotKey, key) {
				t.Errorf("%q is the place %d, %x, which is told as %q", s, part, key, again)
			}
		}
		mine := append([]store.Range(nil), ranges...)
		rest, err := goOn(mine, p)
		if err != nil {
			if !errors.Is(err, errPlace) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if len(rest) > len(ranges) {
			t.Fatalf("%q: %d ranges of %d", s, len(rest), len(ranges))
		}
		for i, r := range rest {
			own := ranges[len(ranges)-len(rest)+i]
			if r.Gen != own.Gen || bytes.Compare(r.From, own.From) < 0 || !bytes.Equal(r.To, own.To) || bytes.Compare(r.From, r.To) > 0 {
				t.Errorf("%q: the listing goes on in %+v, beyond its own %+v", s, r, own)
			}
		}
		if s != "" && len(rest) > 0 && uint32(rest[0].Gen) == part && bytes.Compare(rest[0].From, key) <= 0 {
			t.Errorf("%q: the listing tells the row at its place again", s)
		}
	})
}

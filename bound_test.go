package semel

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

type bounded struct {
	A     int64  `json:"a_long_name_with_<&>"`
	B     string `json:"b,string"`
	C     [3]string
	D     struct{ E, F string }
	G     bool
	H     uint8
	Quote uint64 `json:",string"`
}

// A state's JSON never exceeds its bound, whatever its strings hold.
func TestBoundHolds(t *testing.T) {
	t.Parallel()
	b := boundOf(reflect.TypeFor[bounded](), 0)
	if b == nil {
		t.Fatal("the type has no bound")
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.Just(strings.Repeat("\x00\"<", 9)))
		v := bounded{A: math.MinInt64, B: text.Draw(t, "b"), C: [3]string{text.Draw(t, "c")}, H: 255, Quote: math.MaxUint64}
		v.D.E = text.Draw(t, "e")
		enc, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if limit := b.of(unsafe.Pointer(&v)); len(enc) > limit {
			t.Fatalf("%d bytes of JSON, bound %d: %s", len(enc), limit, enc)
		}
	})
	for _, none := range []any{1.5, []int{}, map[string]int{}, text(1), struct{ X any }{}, [5000]bool{}} {
		if boundOf(reflect.TypeOf(none), 0) != nil {
			t.Errorf("%T has a bound, but its encoding can fail or be large", none)
		}
	}
}

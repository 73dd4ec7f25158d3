package semel

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhatCanBeHandedOver(t *testing.T) {
	t.Parallel()
	type money struct {
		Cents int64 `json:"cents"`
		To    string
	}
	for _, c := range []struct {
		of   any
		want bool
	}{
		{money{}, true}, {int64(1), true}, {"", true}, {[2]money{}, true}, {struct{}{}, true}, {time.Second, true},
		{[]int{}, false}, {map[string]int{}, false}, {&money{}, false}, {struct{ A any }{}, false},
		{time.Time{}, false}, {text(1), false}, {json.RawMessage{}, false},
		{struct {
			A int `json:"a,omitempty"`
		}{}, false},
		{struct {
			A int `json:"-"`
		}{}, false},
		{struct {
			A int `json:"x"`
			B int `json:"X"`
		}{}, false},
		{struct{ money }{}, false},
		{struct{ a int }{}, false},
	} {
		if got := carries(reflect.TypeOf(c.of)); got != c.want {
			t.Errorf("%T: %v, want %v", c.of, got, c.want)
		}
	}
}

// A value is handed over only if its JSON would have said the same.
func TestHandedOverValueIsWhatIsDecoded(t *testing.T) {
	t.Parallel()
	type all struct {
		I int64
		U uint8 `json:"u"`
		F float64
		G float32
		S string
		B [2]bool
	}
	rapid.Check(t, func(t *rapid.T) {
		v := all{
			I: rapid.Int64().Draw(t, "I"), U: rapid.Uint8().Draw(t, "U"),
			F: rapid.Float64().Draw(t, "F"), G: rapid.Float32().Draw(t, "G"),
			S: rapid.OneOf(
				rapid.String(),
				rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
				rapid.SampledFrom([]string{"\xff", "�", "\u2028<&>\x00", "\xed\xa0\x80"}),
			).Draw(t, "S"),
			B: [2]bool{rapid.Bool().Draw(t, "B"), true},
		}
		b, err := encode(v)
		if err != nil {
			t.Skip("it has no JSON:", err)
		}
		handed := carry(carries(reflect.TypeFor[all]()), v, b)
		if handed == nil {
			return
		}
		var decoded all
		if err := decode(b, &decoded); err != nil {
			t.Fatal(err)
		}
		if handed != decoded || math.Signbit(handed.(all).F) != math.Signbit(decoded.F) {
			t.Fatalf("%+v is decoded as %+v", v, decoded)
		}
	})
}

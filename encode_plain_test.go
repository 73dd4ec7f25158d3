package semel

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

func TestWhatHasNoPlainEncoder(t *testing.T) {
	t.Parallel()
	for _, none := range []any{
		1.5, struct{ F float32 }{}, json.Number("1"), []int{}, map[string]int{}, text(1), time.Time{}, json.RawMessage{}, [1000]bool{}, [1 << 20]struct{}{},
		struct {
			A int `json:",omitempty"`
		}{},
		struct {
			A int `json:",string"`
		}{},
		struct {
			A int `json:"a€"` // encoding/json takes the field's own name instead
		}{},
		struct{ a int }{1},
		struct{}{}, // encode leaves it out
	} {
		if plainEncoderOf(reflect.TypeOf(none)) != nil {
			t.Errorf("%T has a plain encoder", none)
		}
	}
}

// Refs are compared, and used as keys.
func TestRefsOfOneActionAreEqual(t *testing.T) {
	t.Parallel()
	if one, two := RefTo[int, string]("a", "b"), RefTo[int, string]("a", "b"); one != two {
		t.Error("two references to one action differ")
	}
}

// A plain encoder writes what encoding/json writes, or nothing.
func TestPlainEncoderWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	type all struct {
		A int   `json:"a<&>"`
		B int8  `json:"b b"`
		C int16 `json:"c/"`
		D int32 `json:"d~"`
		E int64 `json:"é"`
		F uint
		G uint8
		H uint16
		I uint32
		J uint64
		K bool
		L string
		M [3]struct{ N, O string }
		P [2]byte
		Q struct{}
		R [0]int
		S time.Duration
	}
	e := plainEncoderOf(reflect.TypeFor[all]())
	if e == nil {
		t.Fatal("the type has no plain encoder")
	}
	var plain, other int
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9 '/]{0,300}`)
		if rapid.Bool().Draw(t, "any text") {
			text = rapid.OneOf(rapid.StringMatching(`[ -~]{0,20}`), rapid.String(),
				rapid.SampledFrom([]string{"\xff", "�", "\u2028", "<", "&", ">", "\"", "\\", "\x7f", "\x1f", "\x00", "é"}))
		}
		v := all{
			A: rapid.Int().Draw(t, "A"), B: rapid.Int8().Draw(t, "B"), C: rapid.Int16().Draw(t, "C"), D: rapid.Int32().Draw(t, "D"),
			E: rapid.Int64().Draw(t, "E"), F: rapid.Uint().Draw(t, "F"), G: rapid.Uint8().Draw(t, "G"), H: rapid.Uint16().Draw(t, "H"),
			I: rapid.Uint32().Draw(t, "I"), J: rapid.Uint64().Draw(t, "J"), K: rapid.Bool().Draw(t, "K"), L: text.Draw(t, "L"),
			P: [2]byte{rapid.Byte().Draw(t, "P"), 255}, S: time.Duration(rapid.Int64().Draw(t, "S")),
		}
		for i := range v.M {
			v.M[i].N, v.M[i].O = text.Draw(t, "N"), text.Draw(t, "O")
		}
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := e.append([]byte("before"), unsafe.Pointer(&v)); !ok {
			other++
		} else if plain++; string(got) != "before"+string(want) {
			t.Fatalf("plain    %s\nstandard %s", got, want)
		}
		if got, err := encodeAs(e, v); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("encoded  %s, %v\nstandard %s", got, err, want)
		}
	})
	if plain == 0 || other == 0 {
		t.Errorf("%d values were plain and %d were not; both must be tried", plain, other)
	}
}

func BenchmarkEncode(b *testing.B) {
	type body struct {
		Cents int64  `json:"cents"`
		Memo  string `json:"memo"`
	}
	v := body{123456, strings.Repeat("m", 80)}
	e := plainEncoderOf(reflect.TypeFor[body]())
	for name, enc := range map[string]*plainEncoder{"plain": e, "standard": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encodeAs(enc, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package semel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/semel-dev/semel/internal/core"
)

// deep is a state with everything that can be shared by mistake.
type deep struct {
	N     int
	Map   map[string][]int
	Slice []*int
	Ptr   *deep
	Raw   json.RawMessage
}

type plain struct {
	N    int
	Name string
	F    [2]float64
	At   time.Time
}

type flat struct {
	N    int64
	Seen [4]bool
	In   struct{ A, B uint8 }
}

func load[S any](t fataler, data []byte) holder[S] {
	t.Helper()
	st, err := stateLoader[S]("test", &schema{version: 1}, 0)(1, data)
	if err != nil {
		t.Fatal(err)
	}
	return st.(holder[S])
}

func encoded(t fataler, st core.State) string {
	t.Helper()
	b, err := st.Append([]byte("prefix"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b), "prefix")
}

func TestShapes(t *testing.T) {
	t.Parallel()
	type own struct{ text }
	for _, c := range []struct {
		of   any
		want shape
	}{
		{flat{}, shapePlain}, {int64(1), shapePlain}, {time.Second, shapePlain}, {struct{}{}, shapePlain},
		{plain{}, shapePlain}, {"", shapePlain}, {1.5, shapePlain}, {time.Time{}, shapePlain},
		{[2000]byte{}, shapePlain}, {text(1), shapePlain}, {own{}, shapePlain}, {[3]text{}, shapePlain},
		{deep{}, shapeDeep}, {map[string]int{}, shapeDeep}, {[]byte{}, shapeDeep}, {struct{ A [1]any }{}, shapeDeep}, {&flat{}, shapeDeep},
	} {
		if got := shapeOf(reflect.TypeOf(c.of)); got != c.want {
			t.Errorf("%T: %d, want %d", c.of, got, c.want)
		}
	}
}

// text is an integer with its own JSON, which may fail.
type text int

func (x text) MarshalJSON() ([]byte, error) {
	switch {
	case x == 13:
		return nil, errors.New("unlucky")
	case x == 14:
		panic("very unlucky")
	}
	return fmt.Appendf(nil, `"%d"`, int(x)), nil
}

func (x *text) UnmarshalJSON(b []byte) error {
	if string(b) == `"15"` {
		panic("unreadable")
	}
	_, err := fmt.Sscanf(string(b), `"%d"`, (*int)(x))
	return err
}

func TestStatesThatJSONWouldLose(t *testing.T) {
	t.Parallel()
	type embedded struct{ X int }
	type hidden struct{ x int }
	for _, c := range []struct {
		of   any
		want string
	}{
		{deep{}, ""}, {plain{}, ""}, {flat{}, ""}, {text(1), ""},
		{struct{ embedded }{}, ""},
		{struct {
			cache map[string]int `json:"-"`
			F     func()         `json:"-"`
		}{}, ""},
		{hidden{}, "hidden.x is not exported"},
		{map[string][]*hidden{}, "x is not exported"},
		{struct{ A struct{ B []hidden } }{}, ".A.B.x is not exported"},
		{struct{ F func() }{}, ".F is a func"},
		{struct{ C chan int }{}, ".C is a chan"},
		{reflect.Zero(reflect.StructOf([]reflect.StructField{ // go vet would refuse it
			{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
			{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"x,omitempty"`},
		})).Interface(), `.B have the same name "x"`},
		{struct {
			A int `json:"B"`
			B int
		}{}, `the same name "B"`},
		{struct {
			A int `json:"x"`
			B int `json:"X"`
		}{}, ""}, // decoding prefers the exact name
		{struct {
			embedded
			X int
		}{}, `.embedded.X and `},
		{struct {
			embedded
			*Outer
		}{}, `.Outer.X have the same name "X"`},
		{struct {
			*Outer
			Deeper
		}{}, "embed the same struct"},
		{Circle{}, ".Circle embed the same struct"},
		{struct {
			embedded `json:"e"`
			X        int
		}{}, ""},
		{struct{ Err error }{}, ".Err is of the interface type error"},
		{struct{ A []fmt.Stringer }{}, ".A is of the interface type fmt.Stringer"},
		{struct{ A any }{}, ".A is of type interface {}, whose value would be of another type"},
		{map[string]any{}, "json.RawMessage for JSON of any shape"},
		{struct{ A json.RawMessage }{}, ""},
		{struct{ M map[struct{ A int }]int }{}, ".M has map keys of type struct { A int }"},
		{struct{ M map[float64]int }{}, ".M has map keys of type float64"},
		{struct{ M map[any]int }{}, ".M has map keys of type interface {}"},
		{struct{ M map[bool]int }{}, ".M has map keys of type bool"},
		{struct {
			M map[time.Time]map[uint8]map[named]int
		}{}, ""},
		{struct {
			time.Time
			N int
		}{}, "embeds time.Time, whose JSON stands for the whole struct"},
		{struct{ time.Time }{}, ""},
		{withOwn{}, ""},
	} {
		err := checkState(reflect.TypeOf(c.of))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: %v, want %q", c.of, err, c.want)
		}
	}
	_ = hidden{}.x
}

type (
	Outer  struct{ X int }
	Deeper struct{ Outer }
	Circle struct{ *Circle }
	named  string
	// withOwn embeds a type with JSON of its own, and has its own again.
	withOwn struct {
		time.Time
		N int
	}
)

func (w withOwn) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "[%d]", w.N), nil }

// Whatever a step did to its state, Undo brings back what Mark saw, and shares
// nothing with what the step held.
func TestUndoRestores(t *testing.T) {
	t.Parallel()
	t.Run("deep", rapid.MakeCheck(func(t *rapid.T) {
		undoes(t, load[deep](t, nil), func(v *deep, op, n int) {
			switch op {
			case 0:
				v.N += n
			case 1:
				if v.Map == nil {
					v.Map = make(map[string][]int)
				}
				v.Map[fmt.Sprint(n%3)] = append(v.Map[fmt.Sprint(n%3)], n)
			case 2:
				for k := range v.Map {
					delete(v.Map, k)
				}
			case 3:
				for _, s := range v.Map {
					for i := range s {
						s[i] = n // in place: through the backing array
					}
				}
			case 4:
				v.Slice = append(v.Slice, &n)
			case 5:
				for _, p := range v.Slice {
					*p += n
				}
			case 6:
				v.Slice = v.Slice[:len(v.Slice)/2]
			case 7:
				v.Ptr = &deep{N: n, Ptr: v.Ptr, Raw: fmt.Appendf(nil, `{"n":%d}`, n)}
			case 8:
				if v.Ptr != nil {
					v.Ptr.N, v.Ptr.Raw = n, nil
				}
			case 9:
				v.Raw = append(append([]byte("["), v.Raw...), ']')
				if len(v.Raw) == 2 {
					v.Raw = json.RawMessage(`"\ufffd"`) // spelled out, which is not replaced
				}
			}
		})
	}))
	t.Run("plain", rapid.MakeCheck(func(t *rapid.T) {
		undoes(t, load[plain](t, nil), func(v *plain, op, n int) {
			switch op % 4 {
			case 0:
				v.N += n
			case 1:
				v.Name += fmt.Sprint(n)
			case 2:
				v.F[n%2] = float64(n)
			case 3:
				v.At = time.Unix(int64(n), 0).UTC()
			}
		})
	}))
	t.Run("flat", rapid.MakeCheck(func(t *rapid.T) {
		undoes(t, load[flat](t, nil), func(v *flat, op, n int) {
			v.N += int64(op * n)
			v.Seen[n%4] = !v.Seen[n%4]
			v.In.A, v.In.B = uint8(n), v.In.A
		})
	}))
}

// fataler is what a testing.TB and a rapid.T have in common here.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// undoes runs random steps the way the machine does. The model is the JSON of
// the state after each step that stood, decoded afresh.
func undoes[S any](t *rapid.T, st holder[S], change func(v *S, op, n int)) {
	model := must(json.Marshal(new(S)))
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		st.Mark()
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			change(st.value(), rapid.IntRange(0, 9).Draw(t, "op"), rapid.IntRange(0, 99).Draw(t, "n"))
		}
		held := st.value()
		end := rapid.SampledFrom([]string{"stands", "undone", "undone after it was encoded"}).Draw(t, "end")
		if end != "undone" && !st.Flat() {
			encoded(t, st)
		}
		if end == "stands" {
			model = must(json.Marshal(st.value()))
		} else {
			if err := st.Undo(); err != nil {
				t.Fatal(err)
			}
			if !st.Flat() && reflect.TypeFor[S]() == reflect.TypeFor[deep]() {
				change(held, 3, 77) // whoever kept the old value changes nothing
				change(held, 5, 77)
				change(held, 2, 0)
				change(held, 8, 77)
			}
		}
		want := new(S)
		if err := json.Unmarshal(model, want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(must(json.Marshal(want)), must(json.Marshal(st.value()))); diff != "" {
			t.Fatalf("%s: the state differs (-want +got):\n%s", end, diff)
		}
		if rapid.Bool().Draw(t, "sealed") {
			if got := encoded(t, st); got != string(model) {
				t.Fatalf("%s: it is encoded as %s, want %s", end, got, model)
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "evicted") == 0 {
			st = load[S](t, []byte(encoded(t, st)))
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLoadKeepsNoReference(t *testing.T) {
	t.Parallel()
	data := []byte(`{"N":1,"Map":{"a":[1,2]},"Raw":"text"}`)
	st := load[deep](t, data)
	for i := range data {
		data[i] = 'x'
	}
	st.Mark()
	st.value().N = 7
	if err := st.Undo(); err != nil {
		t.Fatal(err)
	}
	if v := st.value(); v.N != 1 || v.Map["a"][1] != 2 || string(v.Raw) != `"text"` {
		t.Errorf("%+v", v)
	}
}

func TestStateThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	for _, n := range []text{13, 14} {
		st := load[text](t, nil)
		st.Mark()
		*st.value() = n
		if _, err := st.Append(nil); err == nil {
			t.Errorf("%d was encoded", n)
		}
		if err := st.Undo(); err != nil || *st.value() != 0 {
			t.Errorf("%v, %v", *st.value(), err)
		}
	}
	if _, err := stateLoader[text]("test", &schema{version: 1}, 0)(1, []byte(`"15"`)); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Error(err)
	}
}

func TestFlatStepsAllocateNothing(t *testing.T) {
	st := load[flat](t, nil)
	if n := testing.AllocsPerRun(100, func() {
		st.Mark()
		st.value().N++
		_ = st.Undo()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	var o agentOptions
	SchemaVersion(3,
		Migrate(2, func(old json.RawMessage) (json.RawMessage, error) {
			return bytes.ReplaceAll(old, []byte("two"), []byte("three")), nil
		}),
		Migrate(1, func(old json.RawMessage) (json.RawMessage, error) {
			if string(old) == `"bad"` {
				return nil, errors.New("cannot be migrated")
			}
			if string(old) == `"panic"` {
				panic("in a migration")
			}
			return bytes.ReplaceAll(old, []byte("one"), []byte("two")), nil
		}),
	).applyAgent(&o)
	loader := stateLoader[string]("test", &o.schema, 0)
	for _, c := range []struct {
		version    uint32
		data, want string
		err        string
	}{
		{1, `"one"`, "three", ""},
		{2, `"two"`, "three", ""},
		{3, `"one"`, "one", ""},
		{0, ``, "", ""},
		{3, ``, "", ""},
		{4, `"four"`, "", "run the newer program"},
		{0, `"x"`, "", "no schema version"},
		{1, `"bad"`, "", "from schema version 1 to 2: cannot be migrated"},
		{1, `"panic"`, "", "the migration panicked"},
	} {
		st, err := loader(c.version, []byte(c.data))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%d %s: %v", c.version, c.data, err)
			}
			continue
		}
		if err != nil || *st.(holder[string]).value() != c.want {
			t.Errorf("%d %s: %v, %v", c.version, c.data, st, err)
		}
	}
}

func BenchmarkMarkAndUndo(b *testing.B) {
	b.Run("flat", func(b *testing.B) {
		st := load[flat](b, nil)
		for b.Loop() {
			st.Mark()
			st.value().N++
			_ = st.Undo()
		}
	})
	b.Run("deep", func(b *testing.B) {
		st := load[deep](b, []byte(`{"N":1,"Map":{"a":[1,2]},"Raw":"text"}`))
		for b.Loop() {
			st.Mark()
			st.value().N++
			_ = st.Undo()
		}
	})
}

// json.Marshal replaces what is no UTF-8, so such a state would be another one
// after a restart, and two keys of a map could become one.
func TestStatesMustBeUTF8(t *testing.T) {
	t.Parallel()
	const bad, good = "caf\xc3", "caf\u00e9 \ufffd \\ufffd"
	type words struct{ Text string }
	w := load[words](t, nil)
	w.Mark()
	w.value().Text = good
	if !w.Flat() || encoded(t, w) == "" {
		t.Error("a good string was refused")
	}
	w.Mark()
	w.value().Text = bad
	if w.Flat() {
		t.Error("a bad string is left unchecked")
	}
	if _, err := w.Append(nil); !errors.Is(err, errNotUTF8) {
		t.Error(err)
	}
	if err := w.Undo(); err != nil || w.value().Text != good {
		t.Errorf("%q, %v", w.value().Text, err)
	}
	d := load[deep](t, nil)
	d.Mark()
	d.value().Map = map[string][]int{good: {1}}
	d.value().Raw = json.RawMessage(`"\ufffd"`)
	encoded(t, d)
	d.Mark()
	d.value().Map["\xff"], d.value().Map["\xfe"] = nil, nil
	if _, err := d.Append(nil); !errors.Is(err, errNotUTF8) {
		t.Error(err)
	}
}

type note struct{ Text string }

func (n *note) AppendJSON(dst []byte) ([]byte, error) {
	if strings.Contains(n.Text, `"`) {
		return dst, errors.New("no quotation marks")
	}
	b, err := json.Marshal(*n)
	return append(dst, b...), err
}

// A state that makes its own JSON may fail to, and then its step fails.
func TestAppenderThatFails(t *testing.T) {
	t.Parallel()
	st, err := stateLoader[note]("test", &schema{version: 1}, 0)(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	st.(*plainState[note]).now.Text = `a "b"`
	if st.Flat() {
		t.Error("the state need not be encoded after a step, although that can fail")
	}
	if _, err := st.Append(nil); err == nil {
		t.Error("the state is encoded, although its own method refuses")
	}
}

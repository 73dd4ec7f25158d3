package semel

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// wordList makes its own JSON, from a string that has it already.
type wordList struct {
	Words words `json:"words"`
}

type words struct{ list string } // "a","b",

func (w words) MarshalJSON() ([]byte, error) {
	return []byte("[" + strings.TrimSuffix(w.list, ",") + "]"), nil
}

func (w *words) UnmarshalJSON(b []byte) error {
	var all []string
	err := json.Unmarshal(b, &all)
	w.list = ""
	for _, s := range all {
		w.list += `"` + s + `",`
	}
	return err
}

func (l *wordList) AppendJSON(dst []byte) ([]byte, error) {
	switch l.Words.list {
	case "fail":
		return dst, errors.New("no JSON")
	case "panic":
		panic("no JSON")
	}
	b, _ := l.Words.MarshalJSON()
	return append(append(append(dst, `{"words":`...), b...), '}'), nil
}

// deepWords has a slice, so that it is undone by its encoding.
type deepWords struct{ List []string }

func (d *deepWords) AppendJSON(dst []byte) ([]byte, error) {
	b, err := json.Marshal(d.List)
	return append(append(append(dst, `{"List":`...), b...), '}'), err
}

func TestStatesThatMakeTheirOwnJSON(t *testing.T) {
	t.Parallel()
	st := load[wordList](t, []byte(`{"words":["a"]}`))
	st.Mark()
	st.value().Words.list += `"b",`
	if got := encoded(t, st); got != `{"words":["a","b"]}` {
		t.Error(got)
	}
	for _, bad := range []string{"fail", "panic"} {
		st.Mark()
		st.value().Words.list = bad
		if b, err := st.Append([]byte("before")); err == nil || !strings.Contains(err.Error(), "no JSON") && !strings.Contains(err.Error(), "panicked") || string(b) != "before" {
			t.Errorf("%s, %v", b, err)
		}
		if err := st.Undo(); err != nil || encoded(t, st) != `{"words":["a","b"]}` {
			t.Errorf("%s, %v", encoded(t, st), err)
		}
	}
	deep := load[deepWords](t, []byte(`{"List":["a"]}`))
	deep.Mark()
	deep.value().List[0] = "b"
	if got := encoded(t, deep); got != `{"List":["b"]}` {
		t.Error(got)
	}
	deep.Mark()
	deep.value().List[0] = "c"
	if err := deep.Undo(); err != nil || encoded(t, deep) != `{"List":["b"]}` {
		t.Errorf("%s, %v", encoded(t, deep), err)
	}
}

type promoting struct {
	wordList
	More int
}

type failing struct{ N int }

func (*failing) AppendJSON(dst []byte) ([]byte, error) { panic("always") }

// A state whose AppendJSON is another's would lose the rest by a restart.
func TestAppendersThatWriteSomethingElse(t *testing.T) {
	t.Parallel()
	for what, err := range map[string]error{
		"so a restart would change it": checkAppender(reflect.TypeFor[promoting]()),
		"panicked":                     checkAppender(reflect.TypeFor[failing]()),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want: %s", err, what)
		}
	}
	for _, err := range []error{checkAppender(reflect.TypeFor[wordList]()), checkAppender(reflect.TypeFor[deepWords]()), checkAppender(reflect.TypeFor[int]())} {
		if err != nil {
			t.Error(err)
		}
	}
}

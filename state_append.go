package semel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// JSONAppender is for a state that may grow to many kilobytes. After each step
// a state is encoded, and encoding/json takes milliseconds for some hundred
// kilobytes, whatever the state's own MarshalJSON does: it looks at each byte
// again. If a pointer to the state has AppendJSON, that is used instead: a state
// that keeps the JSON of its parts has no more to do than to copy it. If it
// keeps them in strings, with no map, slice or pointer anywhere within, a step
// that is rejected is undone by copying the value, and decodes nothing.
//
// AppendJSON must append what json.Marshal would write of the state, but for
// the order of an object's members: compact, in valid UTF-8, and such that
// json.Unmarshal makes the same state of it. Nothing checks that after each
// step, since it would cost what is to be saved; NewAgent checks the zero
// value. An error makes the step fail.
type JSONAppender interface {
	AppendJSON(dst []byte) ([]byte, error)
}

// appendOwn appends the JSON of a state that makes its own, and contains its
// panics.
func appendOwn(dst []byte, v JSONAppender) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			b, err = dst, fmt.Errorf("AppendJSON panicked: %v", p)
		}
	}()
	return v.AppendJSON(dst)
}

// checkAppender finds the AppendJSON that writes something else than the state,
// such as one that is promoted from what the state embeds.
func checkAppender(t reflect.Type) error {
	zero := reflect.New(t).Interface()
	own, ok := zero.(JSONAppender)
	if !ok {
		return nil
	}
	got, err := appendOwn(nil, own)
	if err != nil {
		return fmt.Errorf("%s: the zero value cannot be encoded: %w", t, err)
	}
	want, err := json.Marshal(zero)
	if err != nil {
		return fmt.Errorf("%s: the zero value cannot be encoded: %w", t, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s writes %s by AppendJSON and %s by json.Marshal, so a restart would change it: let both write the same", t, got, want)
	}
	return nil
}

package semel

import (
	"bytes"
	"reflect"
	"strings"
)

// A call within the process could hand its body over as the value it has, and
// get the reply as the value that the handler returned, instead of decoding
// what was just encoded. That is allowed only where nobody can tell the
// difference: the value shares no memory with anybody (so that neither side
// can change what the other has), and its JSON decodes to the same value (so
// that a retry, a replay and a recovery see what the first run saw).

// carries says whether values of the type can be handed over.
func carries(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return !encodesItself(t)
	case reflect.Array:
		return !encodesItself(t) && carries(t.Elem())
	case reflect.Struct:
		return !encodesItself(t) && carriesFields(t)
	}
	return false
}

// carriesFields refuses whatever encoding/json would leave out or merge.
func carriesFields(t reflect.Type) bool {
	names := make(map[string]bool)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		name = strings.ToLower(name) // decoding is not sensitive to case
		if !f.IsExported() || f.Anonymous || name == "-" || options != "" || names[name] || !carries(f.Type) {
			return false
		}
		names[name] = true
	}
	return true
}

// replaced is how encoding/json writes bytes that are no UTF-8: they decode to
// something else.
var replaced = []byte(`\ufffd`)

// carry is the value to hand over with its encoding, nil if it must be decoded.
func carry[T any](allowed bool, v T, encoded []byte) any {
	if !allowed || bytes.Contains(encoded, replaced) {
		return nil
	}
	return v
}

// carried takes a value that was handed over, or decodes it.
func carried[T any](value any, encoded []byte) (T, error) {
	if have, ok := value.(T); ok {
		return have, nil
	}
	var v T // here, so that a value that was handed over needs no room on the heap
	err := decode(encoded, &v)
	return v, err
}

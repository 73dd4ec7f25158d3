package semel

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// shape says how a state can be snapshotted.
type shape uint8

const (
	shapeDeep  shape = iota // it refers to other memory: by its encoding
	shapePlain              // by copying the value
)

// shapeOf is the shape of a type, by reflection, once per registered agent type.
func shapeOf(t reflect.Type) shape {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return shapePlain
	case reflect.Array:
		return shapeOf(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return shapePlain // what it refers to is never changed
		}
		for i := range t.NumField() {
			if shapeOf(t.Field(i).Type) == shapeDeep {
				return shapeDeep
			}
		}
		return shapePlain
	}
	return shapeDeep
}

// encodesItself says whether the type, or a pointer to it, has a say in its JSON.
func encodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, i := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if p.Implements(i) {
			return true
		}
	}
	return false
}

// checkState finds what a state of the type would lose or could never hold: it
// lives in memory between steps, but only its JSON survives a restart, and a
// step must find the same state in both cases.
func checkState(t reflect.Type) error { return checkField(t, t.String(), map[reflect.Type]bool{}) }

func checkField(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] || encodesItself(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%s is a %s, which JSON cannot hold", path, t.Kind())
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return checkField(t.Elem(), path, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Tag.Get("json") == "-" {
				continue
			}
			name := path + "." + f.Name
			if !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) {
				return fmt.Errorf(`%s is not exported, so a restart would lose it: export it, or tag it json:"-" if it is a cache that may be lost at any time`, name)
			}
			if err := checkField(f.Type, name, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

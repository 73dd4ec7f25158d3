package semel

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// checkState finds what a state of the type would lose or could never hold: it
// lives in memory between steps, but only its JSON survives a restart, and a
// step must find the same state in both cases.
func checkState(t reflect.Type) error {
	return (&stateCheck{seen: make(map[reflect.Type]bool)}).field(t, t.String())
}

// stateCheck walks through a type; seen ends the walk in a recursive one.
type stateCheck struct{ seen map[reflect.Type]bool }

func (c *stateCheck) field(t reflect.Type, path string) error {
	if c.seen[t] {
		return nil
	}
	c.seen[t] = true
	if encodesItself(t) {
		return checkPromoted(t, path)
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%s is a %s, which JSON cannot hold", path, t.Kind())
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("%s is of the interface type %s, which cannot be read back from JSON, so its agent would be lost by a restart: use a type that is no interface", path, t)
		}
		return fmt.Errorf("%s is of type %s, whose value would be of another type after a restart (an int becomes a float64, a struct becomes a map): use the type that is meant, or json.RawMessage for JSON of any shape", path, t)
	case reflect.Map:
		if !isMapKey(t.Key()) {
			return fmt.Errorf("%s has map keys of type %s, which JSON cannot hold: use strings or integers, or a key type with MarshalText and, on its pointer, UnmarshalText", path, t.Key())
		}
		return c.field(t.Elem(), path)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return c.field(t.Elem(), path)
	case reflect.Struct:
		return c.fields(t, path, make(map[any]string))
	}
	return nil
}

// fields checks a struct. taken has the JSON names that it uses already, and by
// which fields: encoding/json writes what is embedded as if its fields stood
// here, and of two fields with one name it leaves out one or both. Beside them
// are the types of the structs themselves, so that a circle ends.
func (c *stateCheck) fields(t reflect.Type, path string, taken map[any]string) error {
	if other, twice := taken[t]; twice {
		return fmt.Errorf("%s and %s embed the same struct, whose fields JSON would not tell apart: give the embedded field a name", other, path)
	}
	taken[t] = path
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		at := path + "." + f.Name
		if !f.IsExported() && (!f.Anonymous || f.Type.Kind() != reflect.Struct) {
			return fmt.Errorf(`%s is not exported, so a restart would lose it: export it, or tag it json:"-" if it is a cache that may be lost at any time`, at)
		}
		name, _, _ := strings.Cut(tag, ",")
		if inner, ok := embedded(f); ok && name == "" {
			if err := c.fields(inner, at, taken); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		if other, twice := taken[name]; twice {
			return fmt.Errorf("%s and %s have the same name %q in JSON, so a restart would lose one of them: give one another name by a json tag", other, at, name)
		}
		taken[name] = at
		if err := c.field(f.Type, at); err != nil {
			return err
		}
	}
	return nil
}

// embedded is the struct that a field embeds, by value or by pointer.
func embedded(f reflect.StructField) (reflect.Type, bool) {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, f.Anonymous && t.Kind() == reflect.Struct
}

// isMapKey says whether keys of the type can be written and read back.
func isMapKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) &&
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// checkPromoted finds the struct that has its JSON methods from what it embeds,
// such as a time.Time: they know nothing of its other fields. Whether a method
// is its own cannot be asked; but a promoted one writes the same.
func checkPromoted(t reflect.Type, path string) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := 0
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("json") != "-" {
			fields++
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous || fields < 2 || f.Type.Kind() != reflect.Struct || !encodesItself(f.Type) {
			continue
		}
		whole, err := marshalOwn(reflect.New(t).Interface())
		part, err2 := marshalOwn(reflect.New(f.Type).Interface())
		if err == nil && err2 == nil && bytes.Equal(whole, part) {
			return fmt.Errorf("%s embeds %s, whose JSON stands for the whole struct, so a restart would lose the other fields: give the embedded field a name", path, f.Type)
		}
	}
	return nil
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

package semel

import (
	"reflect"
	"unicode/utf8"
	"unsafe"
)

// bound says how many bytes a state's JSON can have at most, without making
// it. Only types whose encoding cannot fail have one: bools, integers, strings,
// and structs and arrays of them, with no say in their own JSON. It spares most
// steps an encoding: a small state is encoded once per unit instead.
type bound struct {
	limit   int       // what may be left unchecked: maxFlat, or the largest state if that is less
	fixed   int       // of everything but the strings' contents
	strings []uintptr // the offsets of the strings
}

// maxFlat is the largest bound that is left unchecked after a step.
const maxFlat = 4096

// escaped is the most that one byte of a string can become: \u00XX.
const escaped = 6

// of computes the bound for the value at p, which must have bound's type.
func (b *bound) of(p unsafe.Pointer) int {
	n := b.fixed
	for _, offset := range b.strings {
		n += escaped * len(*(*string)(unsafe.Add(p, offset)))
	}
	return n
}

// holds says whether the value at p encodes to something small that decodes to
// the same value: a string that is not valid UTF-8 does not.
func (b *bound) holds(p unsafe.Pointer) bool {
	if b.of(p) > b.limit {
		return false
	}
	for _, offset := range b.strings {
		if !utf8.ValidString(*(*string)(unsafe.Add(p, offset))) {
			return false
		}
	}
	return true
}

// boundOf makes the bound of a type, nil if it has none. A maxState of 0 is the
// default, which is larger than maxFlat.
func boundOf(t reflect.Type, maxState int) *bound {
	b := &bound{limit: maxFlat}
	if maxState > 0 {
		b.limit = min(maxFlat, maxState)
	}
	if !b.add(t, 0) || b.fixed > b.limit {
		return nil
	}
	return b
}

func (b *bound) add(t reflect.Type, offset uintptr) bool {
	if encodesItself(t) {
		return false
	}
	switch t.Kind() {
	case reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		b.fixed += 23 // -9223372036854775808, a comma, perhaps quoted
	case reflect.String:
		b.fixed += 8 // quotes and a comma, perhaps quoted again
		b.strings = append(b.strings, offset)
	case reflect.Array:
		b.fixed += 3
		for i := range t.Len() {
			if b.fixed > maxFlat || !b.add(t.Elem(), offset+uintptr(i)*t.Elem().Size()) {
				return false
			}
		}
	case reflect.Struct:
		b.fixed += 3
		for i := range t.NumField() {
			f := t.Field(i)
			b.fixed += 4 + escaped*(len(f.Name)+len(f.Tag))
			if !b.add(f.Type, offset+f.Offset) {
				return false
			}
		}
	default:
		return false
	}
	return true
}

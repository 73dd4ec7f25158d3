package semel

import (
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

package semel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/semel-dev/semel/internal/core"
)

// holder is a core.State that holds an S.
type holder[S any] interface {
	core.State
	value() *S
	// look is the state for a query, which must not change it.
	look() *S
}

// stateLoader makes the function that loads states of type S.
// Their encodings have at most maxState bytes, as the machine checks.
func stateLoader[S any](name string, sc *schema, maxState int) func(uint32, []byte) (core.State, error) {
	t := reflect.TypeFor[S]()
	shape, limit, plain := shapeOf(t), boundOf(t, maxState), plainEncoderOf(t)
	if reflect.PointerTo(t).Implements(reflect.TypeFor[JSONAppender]()) {
		limit, plain = nil, nil // it may fail, and what it makes may have any size
	}
	return func(version uint32, data []byte) (core.State, error) {
		data, err := sc.migrate(name, version, data)
		if err != nil {
			return nil, err
		}
		if shape == shapeDeep {
			return loadDeep[S](data)
		}
		return loadPlain[S](data, limit, plain)
	}
}

// marshalState and unmarshalState contain the panics of a state's own JSON
// methods: they run on the shard's loop, outside any handler.
func marshalState[S any](v *S) (b []byte, err error) {
	if own, ok := any(v).(JSONAppender); ok {
		return appendOwn(nil, own)
	}
	b, err = marshalOwn(v)
	if err == nil && bytes.Contains(b, replaced) {
		err = checkReplaced(b, v)
	}
	return b, err
}

func marshalOwn(v any) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("MarshalJSON panicked: %v", p)
		}
	}()
	return json.Marshal(v)
}

var errNotUTF8 = errors.New("a string in it is not valid UTF-8, so a restart would change it: cut strings between characters, and keep bytes in a []byte")

// checkReplaced refuses an encoding in which json.Marshal has replaced bytes
// that are no UTF-8: it is not the encoding of what it decodes to. Of a
// json.RawMessage, which may spell the same out, it is.
func checkReplaced[S any](encoded []byte, _ *S) error {
	v := new(S)
	if err := unmarshalState(encoded, v); err != nil {
		return err
	}
	again, err := marshalOwn(v)
	if err == nil && !bytes.Equal(encoded, again) {
		err = errNotUTF8
	}
	return err
}

func unmarshalState[S any](data []byte, v *S) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("UnmarshalJSON panicked: %v", p)
		}
	}()
	return decode(data, v)
}

// plainState holds an S that contains no pointers, so that copying the value
// copies all of it.
type plainState[S any] struct {
	now, marked S
	bound       *bound // of the encoding; nil if it can fail
	encoded     []byte // the encoding of now, if it is known
	encoder     *plainEncoder
}

func loadPlain[S any](data []byte, b *bound, e *plainEncoder) (core.State, error) {
	st := &plainState[S]{bound: b, encoder: e}
	return st, unmarshalState(data, &st.now)
}

func (st *plainState[S]) value() *S { return &st.now }
func (st *plainState[S]) look() *S  { v := st.now; return &v }

// Flat says whether the state, as it is now, can be left unencoded until its
// unit is sealed: the encoding cannot fail, and is small.
func (st *plainState[S]) Flat() bool {
	return st.bound != nil && st.bound.holds(unsafe.Pointer(&st.now))
}

func (st *plainState[S]) Mark() {
	st.marked = st.now
	st.encoded = st.encoded[:0]
}

func (st *plainState[S]) Undo() error {
	st.now = st.marked
	st.encoded = st.encoded[:0]
	return nil
}

func (st *plainState[S]) Append(dst []byte) ([]byte, error) {
	if len(st.encoded) > 0 {
		return append(dst, st.encoded...), nil
	}
	if st.encoder != nil {
		if b, ok := st.encoder.append(dst, unsafe.Pointer(&st.now)); ok {
			return b, nil // cheap enough to be done again
		}
	}
	if own, ok := any(&st.now).(JSONAppender); ok {
		b, err := appendOwn(dst, own) // as cheap as a copy of it would be
		if err != nil {
			return dst, err
		}
		return b, nil
	}
	b, err := marshalState(&st.now)
	if err != nil {
		return dst, err
	}
	// It may be encoded after the step, to know that it can be, and again for
	// the unit; keep it in between.
	st.encoded = append(st.encoded, b...)
	return append(dst, b...), nil
}

// deepState holds an S with maps, slices or pointers. A copy of the value would
// share what they refer to, and a step that fails after it wrote into a map
// would leave its trace there. So the encoded bytes are the snapshot, and
// Undo decodes them into a fresh value, which shares nothing with the old one.
//
//  1. encoded, if not empty, is the encoding of v as it is now; Mark forgets
//     it, because a step follows that may change v.
//  2. marked is the encoding of v when Mark was called.
//  3. Empty marked means a new agent, whose value was never encoded.
type deepState[S any] struct {
	v       *S
	encoded []byte
	marked  []byte
	fresh   bool // v is the zero value of a new agent
}

func loadDeep[S any](data []byte) (core.State, error) {
	st := &deepState[S]{v: new(S), fresh: len(data) == 0}
	if st.fresh {
		return st, nil
	}
	st.encoded = append([]byte(nil), data...)
	return st, unmarshalState(data, st.v)
}

func (st *deepState[S]) value() *S  { return st.v }
func (st *deepState[S]) look() *S   { return st.v }
func (st *deepState[S]) Flat() bool { return false }

func (st *deepState[S]) Mark() {
	if len(st.encoded) == 0 && !st.fresh {
		// Every step that stands was encoded by Append, and every other was
		// undone, so this is only for a machine that did neither.
		if b, err := marshalState(st.v); err == nil {
			st.encoded = append(st.encoded[:0], b...)
		}
	}
	// The buffers change places, so that neither is allocated again.
	st.encoded, st.marked = st.marked[:0], st.encoded
	st.fresh = false
}

func (st *deepState[S]) Undo() error {
	v := new(S)
	if err := unmarshalState(st.marked, v); err != nil {
		return fmt.Errorf("decode the state of before the step: %w", err)
	}
	st.v = v
	st.encoded, st.marked = st.marked, st.encoded[:0]
	st.fresh = len(st.encoded) == 0
	return nil
}

func (st *deepState[S]) Append(dst []byte) ([]byte, error) {
	if len(st.encoded) == 0 {
		b, err := marshalState(st.v)
		if err != nil {
			return dst, err
		}
		st.encoded = append(st.encoded[:0], b...)
	}
	return append(dst, st.encoded...), nil
}

var (
	_ holder[int] = (*plainState[int])(nil)
	_ holder[int] = (*deepState[int])(nil)
)

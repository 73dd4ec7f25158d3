package semel

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/semel-dev/semel/internal/core"
	"github.com/semel-dev/semel/message"
)

// misfit says that a body does not fit its action: trying again cannot help.
func misfit(st *site, what string, err error) core.Result {
	return core.Result{Invalid: true, Err: fmt.Errorf("the %s does not fit %s of agent type %q: %w", what, st.name, st.typ.name, inJSON(err))}
}

// misfitReply is the error for a reply that cannot be read. The action is done,
// so this must not look as if it were not: its kind is unknown.
func misfitReply(agent AgentName, action string, out any, err error) error {
	return &UnknownError{
		Agent: agent, Action: action, Code: message.CodeReplyMisfit,
		Detail: fmt.Sprintf("what is recorded does not fit %T: %v", out, err), Cause: err,
	}
}

// shapeError words for the sender of JSON what encoding/json words for the
// programmer who receives it: where the value is, and what belongs there.
type shapeError struct{ *json.UnmarshalTypeError }

func inJSON(err error) error {
	var e *json.UnmarshalTypeError
	if errors.As(err, &e) {
		return shapeError{e}
	}
	return err
}

func (e shapeError) Unwrap() error { return e.UnmarshalTypeError }

func (e shapeError) Error() string {
	at := e.Field
	if at == "" {
		at = "the value"
	}
	return fmt.Sprintf("%s must be %s, and is %s", at, wantedJSON(e.Type), foundJSON(e.Value))
}

// wantedJSON says what a value of the type looks like in JSON.
func wantedJSON(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		high := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf("an integer from %d to %d", -high-1, high)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return fmt.Sprintf("an integer from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return "a number within the range of floating point"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string in base64"
		}
		return "an array"
	case reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return wantedJSON(t.Elem())
	}
	return "something else"
}

// foundJSON makes a phrase of encoding/json's name for a value: "string",
// "number", "number 1.5".
func foundJSON(value string) string {
	switch value {
	case "bool":
		return "true or false"
	case "array", "object":
		return "an " + value
	}
	const enough = 40
	if len(value) > enough { // a number of any length, told to whoever sent it
		value = value[:enough] + "…"
	}
	return "a " + value
}

package semel

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/semel-dev/semel/message"
)

// encode makes the JSON of a body, a reply or a context, which shares nothing
// with v. What carries nothing (a struct{}) is empty, which means null; of a
// json.RawMessage the bytes are kept, because json.Marshal would rewrite them.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case struct{}:
		return nil, nil
	case json.RawMessage:
		if len(v) > 0 && !json.Valid(v) {
			return nil, errNotJSON
		}
		return append([]byte(nil), v...), nil
	}
	return json.Marshal(v)
}

// decode reads what encode wrote. It keeps no reference to data.
func decode[T any](data []byte, v *T) error {
	if len(data) == 0 {
		return nil
	}
	switch v := any(v).(type) {
	case *struct{}:
		return nil
	case *json.RawMessage:
		if json.Valid(data) { // json.Unmarshal would drop the white space around it
			*v = append(json.RawMessage(nil), data...)
			return nil
		}
	}
	err := json.Unmarshal(data, v)
	var misfit *json.UnmarshalTypeError
	if err == nil || !errors.As(err, &misfit) || !strings.HasPrefix(misfit.Value, "number") {
		return err
	}
	// For encoding/json 100.0 and 1e2 are no integers. For JSON, and for the
	// fingerprint of a request, they are the number 100; so what is the same
	// request must be taken however it is spelled.
	canonical, bad := message.Canonical(nil, data)
	if bad != nil || bytes.Equal(canonical, data) {
		return err
	}
	*v = *new(T)
	return json.Unmarshal(canonical, v)
}

type notJSONError struct{}

func (notJSONError) Error() string { return "the json.RawMessage is not JSON" }

var errNotJSON error = notJSONError{}

// null is the reply of an action that says nothing.
var null = json.RawMessage("null")

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/semel-dev/semel/message"
)

// writeJSON answers 200 with a JSON document.
func writeJSON(w http.ResponseWriter, b []byte) {
	jsonHeader(w)
	_, _ = w.Write(b) // the caller is gone; the outcome is recorded
}

// writeStatus answers with a document.
func writeStatus(w http.ResponseWriter, status int, doc any) {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err) // our own types, with JSON that was checked
	}
	jsonHeader(w)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func jsonHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// document reads a request's body into doc, whose members are all that it may
// have. It answers the request itself, and reports false, if that fails.
func (s *api) document(w http.ResponseWriter, r *http.Request, limit int64, doc any) bool {
	b, code, err := s.body(w, r, limit)
	if err == nil {
		code, err = message.CodeInvalidRequest, readDocument(b, doc)
	}
	if err != nil {
		s.refuse(w, code, err.Error())
		return false
	}
	return true
}

func readDocument(b []byte, doc any) error {
	if err := message.CheckJSON(b); err != nil {
		return err
	}
	if name, found := unknownMember(b, reflect.TypeOf(doc).Elem()); found {
		return fmt.Errorf("the body is not what this path takes: it has no member %q; names are in lower case", name)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(doc); err != nil {
		return fmt.Errorf("the body is not what this path takes: %w", err)
	}
	return nil
}

// unknownMember finds a member that an object, or one of an array's, has and
// its type has not. The decoder alone takes "KEY" for "key", and so would read
// two members as one, of which the last wins.
func unknownMember(b []byte, t reflect.Type) (name string, found bool) {
	var objects []map[string]skipped
	var err error
	if t.Kind() == reflect.Slice {
		t, err = t.Elem(), json.Unmarshal(b, &objects)
	} else {
		objects = make([]map[string]skipped, 1)
		err = json.Unmarshal(b, &objects[0])
	}
	if err != nil {
		return "", false // the decoder says what is wrong
	}
	known := make(map[string]bool, t.NumField())
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[tag] = true
	}
	for _, o := range objects {
		for name := range o {
			if !known[name] {
				return name, true
			}
		}
	}
	return "", false
}

// skipped is a JSON value that nobody looks at.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// instant is a time for a document; nil leaves it out.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

package webeffect

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Refusal is the data of a rejection with CodeRejected.
type Refusal struct {
	Status int             `json:"status"` // of HTTP: 402
	Body   json.RawMessage `json:"body"`   // what came with it, as a reply is told
}

// asJSON tells a body as JSON: a JSON value byte for byte, nothing as null,
// other text as a string, and what is no text as {"base64":"…"}.
func asJSON(body []byte) json.RawMessage {
	switch {
	case len(body) == 0:
		return nil // which means null
	case !utf8.Valid(body):
		return mustJSON(struct {
			Base64 []byte `json:"base64"`
		}{body})
	case json.Valid(body):
		return body
	}
	return mustJSON(string(body))
}

// refusal encodes a Refusal whose body keeps its bytes, which json.Marshal would
// rewrite.
func refusal(status int, body []byte) json.RawMessage {
	b := asJSON(body)
	if b == nil {
		b = json.RawMessage("null")
	}
	data := append([]byte(`{"status":`), mustJSON(status)...)
	data = append(append(data, `,"body":`...), b...)
	return append(data, '}')
}

// mustJSON encodes strings, bytes and numbers, without escapes for HTML.
func mustJSON(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// isJSON says whether the answer claims to be JSON.
func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// selfDelimiting says whether the body is a JSON value of which no beginning is
// one too, as 12 is of 123.
func selfDelimiting(body []byte) bool {
	b := bytes.TrimLeft(body, " \t\r\n")
	return json.Valid(b) && !strings.ContainsRune("-0123456789", rune(b[0]))
}

package webeffect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/semel-dev/semel/internal/outbound"
)

// What a provider answered is JSON in the outcome, and nothing of it is lost.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"", `{"a":1}`, "12", "12 ", "plain", "\xff\x00", `"\u003c"`, "<b>", " {} ", "nul", "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		reply := asJSON(body)
		switch {
		case len(body) == 0:
			if reply != nil {
				t.Errorf("nothing is told as %q", reply)
			}
		case !json.Valid(reply) || !utf8.Valid(reply):
			t.Errorf("%q is told as %q, which is no JSON", body, reply)
		case json.Valid(body) && utf8.Valid(body):
			if !bytes.Equal(reply, body) {
				t.Errorf("%q is told as %q", body, reply)
			}
		case utf8.Valid(body):
			var text string
			if err := json.Unmarshal(reply, &text); err != nil || text != string(body) {
				t.Errorf("%q is told as %q, which is %q", body, reply, text)
			}
		default:
			var doc struct {
				Base64 []byte `json:"base64"`
			}
			if err := json.Unmarshal(reply, &doc); err != nil || !bytes.Equal(doc.Base64, body) {
				t.Errorf("%q is told as %q, which is %q", body, reply, doc.Base64)
			}
		}
		var r Refusal
		if err := json.Unmarshal(refusal(402, body), &r); err != nil || r.Status != 402 {
			t.Errorf("%q in a refusal: %v, %+v", body, err, r)
		} else if reply != nil && !bytes.Equal(r.Body, bytes.TrimSpace(reply)) {
			t.Errorf("%q is told as %q in a refusal, and as %q in a reply", body, r.Body, reply)
		}
	})
}

// A body that says itself where it ends has no beginning that says another
// thing: had the connection been cut there, nobody would know.
func FuzzSelfDelimiting(f *testing.F) {
	for _, s := range []string{"12", `"a"`, "{}", "[1,2]", "true", "-1", " null", "", "{} "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<10 || !selfDelimiting(body) {
			return
		}
		whole := bytes.TrimSpace(body)
		for cut := range body {
			if begin := bytes.TrimSpace(body[:cut]); json.Valid(begin) && !bytes.Equal(begin, whole) {
				t.Errorf("%q begins with %q, which is JSON", body, begin)
			}
		}
	})
}

// What is taken as the URL of an effect is a place over HTTP, without secrets
// in it; what is said of one that is not does not repeat it.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://x/y", "http://u:p@x/", "ftp://x", "https://", "https://x:0/", "https://[::1]:80/{key}", "https://x/#f", "//x", "https:x", "http://x:99999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const canary = "-canary-" // as a secret in it
		if _, err := outbound.ParseURL(s + canary); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error repeats what may be a secret: %v", err)
		}
		u, err := outbound.ParseURL(s)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Errorf("%q is taken as %+v", s, u)
		}
		if a := outbound.Address(u); !strings.Contains(a, ":") || strings.HasPrefix(a, ":") || strings.HasSuffix(a, ":") {
			t.Errorf("%q is dialled as %q", s, a)
		}
	})
}

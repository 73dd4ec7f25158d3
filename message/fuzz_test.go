package message

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
)

// longExponent keeps math/big from building numbers of many digits.
var longExponent = regexp.MustCompile(`[eE][+-]?[0-9]{3,}`)

// stricter are the problems for which encoding/json has an opinion of its own.
var stricter = []string{
	"arrays and objects are nested", "a member name comes a second time", "a surrogate is escaped",
	"a string is not valid UTF-8", "a number has an exponent",
}

func FuzzCanonical(f *testing.F) {
	for _, v := range canonicalVectors {
		f.Add([]byte(v.body))
	}
	for _, r := range refusedBodies {
		f.Add([]byte(r.body))
	}
	for _, bb := range benchBodies {
		if len(bb.body) < 1000 {
			f.Add(bb.body)
		}
	}
	f.Add(nestedDisorder(MaxDepth, 1))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Canonical(nil, body)
		if err != nil {
			var refused *JSONError
			if !errors.As(err, &refused) || refused.Offset < 0 || refused.Offset > len(body) {
				t.Fatalf("%q: %v", body, err)
			}
			if !json.Valid(body) {
				return
			}
			for _, problem := range stricter {
				if strings.HasPrefix(refused.Problem, problem) {
					return
				}
			}
			t.Fatalf("%q is valid: %v", body, err)
		}
		if len(body) == 0 {
			return
		}
		if !json.Valid(body) || !json.Valid(got) {
			t.Fatalf("accepted %q as %q", body, got)
		}
		if again, err := Canonical(nil, got); err != nil || string(again) != string(got) {
			t.Fatalf("not idempotent: %q, then %q, %v", got, again, err)
		}
		if len(got) > 6*len(body) {
			t.Fatalf("%d bytes became %d", len(body), len(got))
		}
		if longExponent.Match(body) {
			return
		}
		if want, err := naiveCanonical(body); err != nil || string(got) != want {
			t.Fatalf("Canonical(%q)\n got %q\nwant %q, %v", body, got, want, err)
		}
	})
}

func FuzzKeyTime(f *testing.F) {
	for _, v := range keyTimes {
		f.Add(v.key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		got, ok := KeyTime(key)
		if want, wantOK := naiveKeyTime(key); got != want || ok != wantOK {
			t.Fatalf("KeyTime(%q) = %d, %v; want %d, %v", key, got, ok, want, wantOK)
		}
	})
}

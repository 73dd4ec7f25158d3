package main

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// A value that is taken as text is the same when it was shown and is taken
// again; one that is refused is refused in words that do not repeat it, since it
// may be a secret in the wrong place.
func FuzzConfigValue(f *testing.F) {
	for _, s := range []string{"64MiB", "1 KiB", "-1", "9223372036854775807", "8589934592GiB", "10s", "1h0m", "300ms", "1.5h", "true", "1", "a, b,,c", ""} {
		f.Add(s)
	}
	types := []reflect.Type{
		durationType, sizeType, reflect.TypeFor[string](), reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[[]string](),
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range types {
			const canary = "-canary-"
			if _, err := parseText(typ, text+canary); err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%v: the error repeats the value: %v", typ, err)
			}
			v, err := parseText(typ, text)
			if err != nil {
				continue
			}
			shown := formatText(v)
			again, err := parseText(typ, shown)
			if err != nil || !reflect.DeepEqual(again, v) {
				t.Errorf("%v: %q is %v, shown as %q, which is %v, %v", typ, text, v, shown, again, err)
			}
			if n, ok := v.(size); ok && n < 0 {
				t.Errorf("%q has %d bytes", text, n)
			}
			if d, ok := v.(time.Duration); ok && shortDuration(d) != shown {
				t.Errorf("%q is shown as %q", text, shown)
			}
		}
	})
}

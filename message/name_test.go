package message

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "alice@example.com", "a/b:c", "Zoë", "😀", " ", strings.Repeat("x", MaxNameBytes)} {
		if err := CheckName("agent id", good); err != nil {
			t.Errorf("CheckName(%q): %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                                  "is empty",
		strings.Repeat("x", MaxNameBytes+1): "at most 512",
		strings.Repeat("é", MaxNameBytes):   "at most 512", // bytes count, not characters
		"a\xff":                             "not valid UTF-8",
		"a\x00b":                            "U+0000) at byte 1",
		"a\nb":                              "U+000A) at byte 1",
		"é\u0085":                           "U+0085) at byte 2",
		"\x7f":                              "U+007F) at byte 0",
	} {
		err := CheckName("agent id", bad)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "agent id") {
			t.Errorf("CheckName(%.20q): %v; want %q", bad, err, want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	t.Parallel()
	if err := CheckKey(strings.Repeat("k", MaxKeyBytes)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", strings.Repeat("k", MaxKeyBytes+1), "a\tb"} {
		if err := CheckKey(bad); err == nil || !strings.Contains(err.Error(), "idempotency key") {
			t.Errorf("CheckKey(%.20q): %v", bad, err)
		}
	}
}

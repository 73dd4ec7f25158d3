package message

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func mustCanonical(t *rapid.T, body string) string {
	got, err := Canonical(nil, []byte(body))
	if err != nil {
		t.Fatalf("Canonical(%q): %v", body, err)
	}
	return string(got)
}

func mustFingerprint(t *rapid.T, body string) Fingerprint {
	f, err := FingerprintOf(Agent{"acme", "account", "alice"}, "transfer", []byte(body))
	if err != nil {
		t.Fatalf("FingerprintOf(%q): %v", body, err)
	}
	return f
}

func TestCanonicalAgreesWithNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := spell(t, genBody(t))
		want, err := naiveCanonical([]byte(body))
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		got := mustCanonical(t, body)
		if got != want {
			t.Fatalf("Canonical(%q)\n got %q\nwant %q", body, got, want)
		}
		if again := mustCanonical(t, got); again != got {
			t.Fatalf("not idempotent: %q, then %q", got, again)
		}
	})
}

func TestFingerprintIgnoresSpelling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := genBody(t)
		one, two := spell(t, v), spell(t, v)
		if mustFingerprint(t, one) != mustFingerprint(t, two) {
			t.Fatalf("%q and %q mean the same and have two fingerprints", one, two)
		}
	})
}

func TestFingerprintSeesEveryChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := genBody(t)
		one, two := spell(t, v), spell(t, change(t, v))
		if mustFingerprint(t, one) == mustFingerprint(t, two) {
			t.Fatalf("%q and %q differ and have one fingerprint", one, two)
		}
	})
}

// Where RFC 8785 and exact decimals agree, the forms do: encoding/json writes
// floats as ECMAScript does.
func TestCanonicalKeepsShortestDoubles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Filter(func(f float64) bool { return f != 0 }).Draw(t, "f")
		b, err := json.Marshal(f)
		if err != nil {
			t.Skip("not a finite number")
		}
		if got := mustCanonical(t, string(b)); got != string(b) {
			t.Fatalf("Canonical(%s) = %s", b, got)
		}
	})
}

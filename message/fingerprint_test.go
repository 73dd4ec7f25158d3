package message

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// The layout is on disk: this test must never need a new value.
func TestFingerprintLayoutIsFixed(t *testing.T) {
	t.Parallel()
	got, err := FingerprintOf(Agent{"acme", "account", "alice"}, "transfer", []byte(`{"to":"bob","amount":1.50}`))
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte("semel/fingerprint/1\x04acme\x07account\x05alice\x08transfer" + `{"amount":1.5,"to":"bob"}`))
	if got != want {
		t.Errorf("got %s, want %x", got, want)
	}
	if got.String() != hex.EncodeToString(want[:]) {
		t.Errorf("String() = %s", got)
	}
}

func TestFingerprintOfEmptyBodyIsNull(t *testing.T) {
	t.Parallel()
	a := Agent{DefaultTenant, "account", "alice"}
	empty, err1 := FingerprintOf(a, "close", nil)
	null, err2 := FingerprintOf(a, "close", []byte(" null "))
	if empty != null || err1 != nil || err2 != nil {
		t.Errorf("%s, %v and %s, %v", empty, err1, null, err2)
	}
}

// Agents that share a row share their fingerprints.
func TestFingerprintOfDefaultTenant(t *testing.T) {
	t.Parallel()
	named, _ := FingerprintOf(Agent{DefaultTenant, "account", "alice"}, "close", nil)
	unnamed, _ := FingerprintOf(Agent{"", "account", "alice"}, "close", nil)
	if named != unnamed {
		t.Error("the default tenant has two fingerprints")
	}
}

// No byte can move from one part to its neighbour unnoticed.
func TestFingerprintKeepsPartsApart(t *testing.T) {
	t.Parallel()
	type request struct {
		agent  Agent
		action string
	}
	part := rapid.StringMatching(`[a\x01\x02]{0,3}`)
	gen := rapid.Custom(func(t *rapid.T) request {
		return request{Agent{part.Draw(t, "tenant"), part.Draw(t, "type"), part.Draw(t, "id")}, part.Draw(t, "action")}
	})
	rapid.Check(t, func(t *rapid.T) {
		one, two := gen.Draw(t, "one"), gen.Draw(t, "two")
		f, err1 := FingerprintOf(one.agent, one.action, []byte("1"))
		g, err2 := FingerprintOf(two.agent, two.action, []byte("1"))
		if err1 != nil || err2 != nil || (f == g) != (one == two) {
			t.Fatalf("%+v: %s, %v\n%+v: %s, %v", one, f, err1, two, g, err2)
		}
	})
}

// Scratch space is pooled; concurrent callers must not see each other's.
func TestFingerprintIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for n := range 4 {
		body := fmt.Appendf(nil, `{"b":%d,"a":[%d,{"d":1.50,"c":"\u00e9"}]}`, n, n)
		want, err := FingerprintOf(Agent{}, "", body)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 2000 {
				if got, err := FingerprintOf(Agent{}, "", body); got != want || err != nil {
					t.Errorf("%s: got %s, %v, want %s", body, got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

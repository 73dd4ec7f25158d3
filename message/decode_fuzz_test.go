package message

import (
	"bytes"
	"errors"
	"testing"
)

// What is read of a row key is an agent that has just that key, and the rest.
func FuzzAgentKey(f *testing.F) {
	f.Add(Agent{Tenant: "acme", Type: "account", ID: "alice"}.AppendKey(nil))
	f.Add(append(Agent{Tenant: DefaultTenant, Type: "t", ID: "x/y"}.AppendKey(nil), "k\x00key"...))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, key []byte) {
		a, rest, err := ParseAgentKey(key)
		if err != nil {
			if bytes.Count(key, []byte{0}) >= 3 {
				t.Errorf("%q: %v", key, err)
			}
			return
		}
		own := a.AppendKey(nil)
		if a.Tenant != DefaultTenant && string(own)+string(rest) != string(key) {
			t.Errorf("%q is read as %+v and %q", key, a, rest)
		}
		again, nothing, err := ParseAgentKey(own)
		if err != nil || again != a || len(nothing) != 0 {
			t.Errorf("%+v has the key %q, which is read as %+v, %q, %v", a, own, again, nothing, err)
		}
	})
}

// What names may be: a key or a name that is taken can be stored, and its row
// key is read back as it was.
func FuzzNames(f *testing.F) {
	f.Add("default", "account", "alice", "tx-42")
	f.Add("a:b", "t/u", "..", "\x00")
	f.Add("", "t", "\xff", "ünï")
	f.Fuzz(func(t *testing.T, tenant, typ, id, key string) {
		if CheckKey(key) == nil && (key == "" || len(key) > 255 || bytes.IndexByte([]byte(key), 0) >= 0) {
			t.Errorf("the key %q is taken", key)
		}
		a := Agent{Tenant: tenant, Type: typ, ID: id}
		if a.Validate() != nil {
			return
		}
		got, rest, err := ParseAgentKey(AppendKeyIdentity(a.AppendKey(nil), "p", key))
		if err != nil || got != a || string(rest) != "kp\x00"+key {
			t.Errorf("%+v is read back as %+v, %q, %v", a, got, rest, err)
		}
	})
}

// An ID is read from its own spelling only.
func FuzzParseID(f *testing.F) {
	f.Add(ID{1, 15: 255}.String())
	f.Add("00")
	f.Add("0102030405060708090A0B0C0D0E0F10")
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := ParseID(s)
		if ok && !bytes.EqualFold([]byte(id.String()), []byte(s)) {
			t.Errorf("%q is read as %s", s, id)
		}
		if !ok && !id.IsZero() {
			t.Errorf("%q is refused, and read as %s", s, id)
		}
	})
}

// A body is refused before it is stored, or it has a fingerprint: who checks
// and who fingerprints must agree, or an accepted message could not be told
// from another one.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{"", "null", `{"a":1,"a":2}`, `{"a":[1e400]}`, "\xff", `"\ud800"`, "[[]]", "1 2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checked := CheckJSON(body)
		a := Agent{Tenant: DefaultTenant, Type: "t", ID: "x"}
		fp, err := FingerprintOf(a, "act", body)
		if (checked == nil) != (err == nil) {
			t.Fatalf("%q: CheckJSON says %v, FingerprintOf %v", body, checked, err)
		}
		if err != nil {
			var refused *JSONError
			if !errors.As(err, &refused) || fp != (Fingerprint{}) {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if other, _ := FingerprintOf(a, "another", body); other == fp {
			t.Errorf("%q: two actions have one fingerprint", body)
		}
	})
}

package message

import (
	"bytes"
	"cmp"
	"testing"

	"pgregory.net/rapid"
)

// genAgent draws agents that Validate accepts, with many that are prefixes of
// each other.
func genAgent() *rapid.Generator[Agent] {
	name := rapid.OneOf(rapid.StringMatching(`[ab]{1,3}`), rapid.StringMatching(`[!-~é€😀]{1,12}`))
	tenant := rapid.OneOf(rapid.Just(DefaultTenant), name)
	return rapid.Custom(func(t *rapid.T) Agent {
		return Agent{tenant.Draw(t, "tenant"), name.Draw(t, "type"), name.Draw(t, "id")}
	}).Filter(func(a Agent) bool { return a.Validate() == nil })
}

func TestAgentValidate(t *testing.T) {
	t.Parallel()
	if err := (Agent{"acme", "account", "a/b:c"}).Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Agent{
		{"", "account", "alice"}, {"acme", "", "alice"}, {"acme", "account", ""}, {"acme", "a/b", "alice"},
		{"acme", "a:b", "alice"}, {"acme", "account", "."}, {"acme", "account", ".."}, {"acme", "account", "a\x00"},
		{"ac\x00me", "account", "a"}, {"acme", "acc\x00ount", "a"},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}

func TestAgentString(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]Agent{
		"account/alice":      {DefaultTenant, "account", "alice"},
		"account/bob":        {"", "account", "bob"},
		"acme:account/alice": {"acme", "account", "alice"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%+v is written %q, want %q", a, got, want)
		}
	}
}

func TestAgentKeyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, rest := genAgent().Draw(t, "agent"), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "rest")
		got, gotRest, err := ParseAgentKey(append(a.AppendKey(nil), rest...))
		if err != nil || got != a || !bytes.Equal(gotRest, rest) {
			t.Fatalf("got %+v, rest %q, %v; want %+v, rest %q", got, gotRest, err, a, rest)
		}
	})
}

// Keys order as (tenant, type, id) does, the default tenant first; and none is
// a prefix of another, or a scan of one agent's rows would meet another's.
func TestAgentKeyPreservesOrder(t *testing.T) {
	t.Parallel()
	tenant := func(a Agent) string {
		if a.Tenant == DefaultTenant {
			return ""
		}
		return a.Tenant
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := genAgent().Draw(t, "a"), genAgent().Draw(t, "b")
		x, y := a.AppendKey(nil), b.AppendKey(nil)
		want := cmp.Or(cmp.Compare(tenant(a), tenant(b)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
		if got := bytes.Compare(x, y); got != want {
			t.Fatalf("%q and %q compare as %d, their agents as %d", x, y, got, want)
		}
		if a != b && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
			t.Fatalf("%q and %q are not prefix-free", x, y)
		}
	})
}

func TestParseAgentKeyRefusesCutKeys(t *testing.T) {
	t.Parallel()
	key := Agent{"acme", "account", "alice"}.AppendKey(nil)
	for n := range key {
		if a, _, err := ParseAgentKey(key[:n]); err == nil {
			t.Errorf("%q was read as %+v", key[:n], a)
		}
	}
}

// Shard numbers are on disk: these must never change.
func TestShardOfIsFixed(t *testing.T) {
	t.Parallel()
	for a, want := range map[Agent]Shard{
		{DefaultTenant, "account", "alice"}: 4,
		{DefaultTenant, "account", "bob"}:   4,
		{"acme", "account", "alice"}:        7,
	} {
		if got := ShardOf(a, 16); got != want {
			t.Errorf("ShardOf(%v, 16) = %d, want %d", a, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<16).Draw(t, "n")
		if s := ShardOf(genAgent().Draw(t, "agent"), n); int(s) >= n {
			t.Fatalf("shard %d of %d", s, n)
		}
	})
}

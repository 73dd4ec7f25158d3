package twopc

import (
	"testing"
	"time"
)

const testIncarnation = "0123456789abcdef0123456789abcdef"

func TestNames(t *testing.T) {
	t.Parallel()
	id := agentID("default", "anonymous", "k")
	tx := nameTx(testIncarnation, id, time.Unix(1_700_000_000, 0))
	if len(tx) != 48 {
		t.Errorf("%q has %d characters", tx, len(tx))
	}
	p, ok := parseTx(tx)
	if !ok || p.agentID != id || p.incarnation != "01234567" || p.tenant != digest(lenTenant, "default") {
		t.Errorf("%q is %+v, %v", tx, p, ok)
	}
	seen := map[string]bool{tx: true}
	for _, other := range []string{
		nameTx("f"+testIncarnation[1:], id, time.Unix(1_700_000_000, 0)),
		nameTx(testIncarnation, id, time.Unix(1_700_000_001, 0)),
		nameTx(testIncarnation, agentID("default", "anonymous", "k2"), time.Unix(1_700_000_000, 0)),
		nameTx(testIncarnation, agentID("default", "bob", "k"), time.Unix(1_700_000_000, 0)),
		nameTx(testIncarnation, agentID("t", "anonymous", "k"), time.Unix(1_700_000_000, 0)),
		nameTx(testIncarnation, agentID("default", "anonymou", "sk"), time.Unix(1_700_000_000, 0)),
		nameTx(testIncarnation, id, time.Unix(10_000_000_000, 0)), // the year 2286
	} {
		if seen[other] || len(other) != 48 {
			t.Errorf("%q was given before, or is too long", other)
		}
		seen[other] = true
	}
	for _, bad := range []string{"", "x", tx + "a", tx[1:], tx[:47] + "A", tx[:47] + "é", "0123456789abcdef-" + tx[17:], tx[:47] + " "} {
		if _, ok := parseTx(bad); ok {
			t.Errorf("%q is taken for a name", bad)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts := range 100 {
		for branch := range 3 {
			d := backoff("t", branch, attempts, time.Second, time.Minute)
			if d < time.Second/2 || d > time.Minute || d != backoff("t", branch, attempts, time.Second, time.Minute) {
				t.Errorf("%d: %v", attempts, d)
			}
		}
	}
	if d := backoff("t", 0, 29, time.Hour, 100*time.Hour); d < 50*time.Hour/2 {
		t.Errorf("%v", d)
	}
}

func FuzzParseTx(f *testing.F) {
	f.Add(nameTx(testIncarnation, agentID("default", "anonymous", "k"), time.Unix(1_700_000_000, 0)))
	f.Add("a-b-c-d")
	f.Fuzz(func(t *testing.T, tx string) {
		if p, ok := parseTx(tx); ok && tx[:lenIncarnation+1]+p.agentID != p.incarnation+"-"+p.agentID {
			t.Errorf("%q: %+v", tx, p)
		}
	})
}

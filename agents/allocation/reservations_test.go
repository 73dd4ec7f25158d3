package allocation_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semel-dev/semel/agents/allocation"
)

// What is written is read back, in the same order, whatever a holder is called.
func TestReservationsAsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{1,3}-[0-9a-f]{1,3}`)
		holder := rapid.OneOf(rapid.String(), rapid.Map(id, func(id string) string { return `"` + id + `":{"units":9},` }))
		one := rapid.Custom(func(t *rapid.T) allocation.Reservation {
			return allocation.Reservation{Units: rapid.Int64Min(1).Draw(t, "units"), Holder: holder.Draw(t, "holder"), Confirmed: true}
		})
		want := rapid.MapOf(id, one).Draw(t, "reservations")
		data, err := json.Marshal(map[string]any{"capacity": 1, "free": 1, "reservations": want})
		if err != nil {
			t.Fatal(err)
		}
		var p, again allocation.Pool
		if err := json.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		if got := maps.Collect(p.Reservations.All()); !maps.Equal(got, want) || p.Reservations.Len() != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for id, r := range want {
			if got, ok := p.Reservations.Get(id); !ok || got != r {
				t.Fatalf("%s is %v, want %v", id, got, r)
			}
		}
		if absent := id.Draw(t, "absent"); want[absent] == (allocation.Reservation{}) {
			if got, ok := p.Reservations.Get(absent); ok {
				t.Fatalf("%s is %v", absent, got)
			}
		}
		own, _ := p.AppendJSON(nil)
		if std, err := json.Marshal(p); err != nil || string(std) != string(own) {
			t.Fatalf("%s\n%s, %v", own, std, err)
		}
		if err := json.Unmarshal(own, &again); err != nil || again != p {
			t.Fatalf("another pool was read back: %v", err)
		}
	})
}

func TestReservationsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`[]`, `1`, `"x"`, `{"X":{}}`, `{"":{}}`, `{"a":1}`, `{"a":{},"a":{}}`, `{"a":{"units":"1"}}`,
	} {
		r := new(allocation.Reservations)
		if err := json.Unmarshal([]byte(bad), r); err == nil {
			t.Errorf("%s was read as %d reservations", bad, r.Len())
		}
	}
	for _, cut := range []string{``, `{`, `{"a"`, `{"a":{}`, `{"a":{},`} { // as json.Unmarshal never hands it over
		if err := new(allocation.Reservations).UnmarshalJSON([]byte(cut)); err == nil {
			t.Errorf("%q was read", cut)
		}
	}
	var r allocation.Reservations
	if err := json.Unmarshal([]byte(`{"a":{"units":1}}`), &r); err != nil || r.Len() != 1 {
		t.Fatal(err)
	}
	if err := r.UnmarshalJSON([]byte(`null`)); err != nil || r.Len() != 0 {
		t.Errorf("%d reservations, %v", r.Len(), err)
	}
}

// A step of a full pool must not cost what its reservations would.
func TestCopyingIsEnough(t *testing.T) { // not parallel: it counts allocations
	var p allocation.Pool
	if err := json.Unmarshal([]byte(`{"reservations":{"a":{"units":1,"holder":"`+strings.Repeat("x", 1000)+`"}}}`), &p); err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(10, func() { room, _ = p.AppendJSON(room[:0]) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
}

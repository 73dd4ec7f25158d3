package message

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(ms int64) int64 { return ms * int64(time.Millisecond) }

// keyTimes are keys and the time they carry; none is written -1.
var keyTimes = []struct {
	key  string
	want int64
}{
	// RFC 9562 appendix A.6, and the ULID specification's example.
	{"017F22E2-79B0-7CC3-98C4-DC0C0C07398F", at(1645557742000)},
	{"01ARZ3NDEKTSV4RRFFQ69G5FAV", at(1469922850259)},

	{"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", at(1645557742000)},
	{"017f22E2-79B0-7cc3-A8c4-dC0c0C07398f", at(1645557742000)},
	{"017f22e2-79b0-7cc3-88c4-dc0c0c07398f", at(1645557742000)},
	{"017f22e2-79b0-7cc3-b8c4-dc0c0c07398f", at(1645557742000)},
	{"00000000-0000-7000-8000-000000000000", 0},
	{"ffffffff-ffff-7fff-bfff-ffffffffffff", math.MaxInt64},
	{"08637bd0-5af6-7000-8000-000000000000", at(math.MaxInt64 / 1_000_000)},
	{"08637bd0-5af7-7000-8000-000000000000", math.MaxInt64},

	{"", -1},
	{"order-4711", -1},
	{"017f22e2-79b0-4cc3-98c4-dc0c0c07398f", -1}, // version 4
	{"017f22e2-79b0-1cc3-98c4-dc0c0c07398f", -1},
	{"017f22e2-79b0-7cc3-78c4-dc0c0c07398f", -1}, // variants
	{"017f22e2-79b0-7cc3-c8c4-dc0c0c07398f", -1},
	{"017f22e2-79b0-7cc3-g8c4-dc0c0c07398f", -1},
	{"{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}", -1},
	{"urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f", -1},
	{"017f22e279b07cc398c4dc0c0c07398f", -1},
	{"017f22e2-79b0-7cc3-98c4-dc0c0c07398", -1},
	{"017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", -1},
	{"017f22e27-9b0-7cc3-98c4-dc0c0c07398f", -1},
	{"017f22e2 79b0 7cc3 98c4 dc0c0c07398f", -1},
	{"017f22e2-79b0-7cc3-98c4-dc0c0c07398\n", -1},
	{"\x11\x17f22e2-79b0-7cc3-98c4-dc0c0c07398", -1},

	{"01ARZ3NDEKTSV4RRFFQ69G5FAv", -1}, // lower case
	{"01arz3ndektsv4rrffq69g5fav", -1},
	{"01ARZ3NDEKTSV4RRFFQ69G5FAI", -1}, // look-alikes
	{"01ARZ3NDEKTSV4RRFFQ69G5FAL", -1},
	{"01ARZ3NDEKTSV4RRFFQ69G5FAO", -1},
	{"01ARZ3NDEKTSV4RRFFQ69G5FAU", -1},
	{"O1ARZ3NDEKTSV4RRFFQ69G5FAV", -1},
	{"01ARZ3NDEKTSV4RRFFQ69G5FA", -1},
	{"01ARZ3NDEKTSV4RRFFQ69G5FAVV", -1},
	{"81ARZ3NDEKTSV4RRFFQ69G5FAV", -1}, // 129 bits
	{"7ZZZZZZZZZZZZZZZZZZZZZZZZZ", -1}, // the year 10889
	{"00000000000000000000000000", -1}, // 1970
	{"20240131120000123456789012", -1}, // a date with a counter
	{ulid(ulidFirstMS - 1), -1},
	{ulid(ulidFirstMS), at(ulidFirstMS)},
	{ulid(ulidEndMS - 1), at(ulidEndMS - 1)},
	{ulid(ulidEndMS), -1},
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulid spells a ULID of the given time.
func ulid(ms int64) string {
	s := strings.Repeat("Z", 16)
	for range 10 {
		s = string(crockford[ms%32]) + s
		ms /= 32
	}
	return s
}

func TestKeyTime(t *testing.T) {
	t.Parallel()
	for _, v := range keyTimes {
		want, wantOK := v.want, v.want >= 0
		if !wantOK {
			want = 0
		}
		if got, ok := KeyTime(v.key); got != want || ok != wantOK {
			t.Errorf("KeyTime(%q) = %d, %v; want %d, %v", v.key, got, ok, want, wantOK)
		}
	}
}

func TestULIDRangeIsWhatItSays(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{ulidFirstMS: "2016-01-01T00:00:00Z", ulidEndMS: "2100-01-01T00:00:00Z"} {
		if got := time.UnixMilli(ms).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%d is %s, want %s", ms, got, want)
		}
	}
}

var (
	uuid7Form = regexp.MustCompile(`\A[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\z`)
	ulidForm  = regexp.MustCompile(`\A[0-7][0-9A-HJKMNP-TV-Z]{25}\z`)
)

// naiveKeyTime is KeyTime once more, from regexp and math/big.
func naiveKeyTime(key string) (int64, bool) {
	ms := new(big.Int)
	switch {
	case uuid7Form.MatchString(key):
		ms.SetString(key[:8]+key[9:13], 16)
	case ulidForm.MatchString(key):
		for _, ch := range key[:10] {
			ms.Mul(ms, big.NewInt(32)).Add(ms, big.NewInt(int64(strings.IndexRune(crockford, ch))))
		}
		when := time.UnixMilli(ms.Int64()).UTC()
		if when.Year() < 2016 || when.Year() >= 2100 || strings.Trim(key, "0123456789") == "" {
			return 0, false
		}
	default:
		return 0, false
	}
	if ms.Mul(ms, big.NewInt(1_000_000)); !ms.IsInt64() {
		return math.MaxInt64, true
	}
	return ms.Int64(), true
}

func TestKeyTimeAgreesWithNaive(t *testing.T) {
	t.Parallel()
	uuid := rapid.StringMatching(`0[0-9][0-9a-fA-F]{6}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}`)
	ulids := rapid.StringMatching(`0[0-4][0-9A-HJKMNP-TV-Z]{24}`)
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(uuid, ulids).Draw(t, "key")
		if rapid.Bool().Draw(t, "damage") {
			i := rapid.IntRange(0, len(key)-1).Draw(t, "at")
			key = key[:i] + string([]byte{rapid.Byte().Draw(t, "byte")}) + key[i+1:]
		}
		got, ok := KeyTime(key)
		if want, wantOK := naiveKeyTime(key); got != want || ok != wantOK {
			t.Fatalf("KeyTime(%q) = %d, %v; want %d, %v", key, got, ok, want, wantOK)
		}
	})
}

// Every byte at every place, by itself: the lanes of allHex must not leak.
func TestKeyTimeLooksAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		for i := range len(key) {
			for ch := range 256 {
				k := key[:i] + string([]byte{byte(ch)}) + key[i+1:]
				got, ok := KeyTime(k)
				if want, wantOK := naiveKeyTime(k); got != want || ok != wantOK {
					t.Errorf("KeyTime(%q) = %d, %v; want %d, %v", k, got, ok, want, wantOK)
				}
			}
		}
	}
}

func ExampleKeyTime() {
	ns, ok := KeyTime("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	fmt.Println(time.Unix(0, ns).UTC(), ok)
	_, ok = KeyTime("order-4711")
	fmt.Println(ok)
	// Output:
	// 2022-02-22 19:22:22 +0000 UTC true
	// false
}

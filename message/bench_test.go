package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// shuffledMembers is an object of n members in no useful order.
func shuffledMembers(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,"%06d":%d`, i*7919%n, i)
	}
	s := b.Bytes()
	s[0] = '{'
	return append(s, '}')
}

// nestedDisorder is depth objects, each out of order, around a long string.
func nestedDisorder(depth, size int) []byte {
	return []byte(strings.Repeat(`{"b":`, depth) + `"` + strings.Repeat("x", size) + `"` + strings.Repeat(`,"a":0}`, depth))
}

var benchBodies = []struct {
	name string
	body []byte
}{
	{"ordered-100B", []byte(`{"amount":1250,"currency":"EUR","from":"alice","note":"rent for the month of May","to":"bob","v":1}`)},
	{"shuffled-100B", []byte(`{"from":"alice","to":"bob","amount":1250,"currency":"EUR","note":"rent for the month of May","v":1}`)},
	{"hard-100B", []byte(`{ "to": "b\u00f6b", "from": "al\"ice", "amount": 12.50, "x": {"b": 1e3, "a": [1.0, -0]}, "né": "ü"}`)},
	{"shuffled-100k-members", shuffledMembers(100_000)},
	{"nested-1MiB", nestedDisorder(MaxDepth, 1<<20)},
	{"string-1MiB", []byte(`"` + strings.Repeat("x", 1<<20) + `"`)},
	{"accents-1MiB", []byte(`"` + strings.Repeat("é", 1<<19) + `"`)},
}

func BenchmarkFingerprintOf(b *testing.B) {
	a := Agent{DefaultTenant, "account", "alice"}
	for _, bb := range benchBodies {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := FingerprintOf(a, "transfer", bb.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, bb := range benchBodies {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.body)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = Canonical(dst[:0], bb.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeyTime(b *testing.B) {
	for _, key := range []string{"0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "order-4711"} {
		b.Run(fmt.Sprint(len(key)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				KeyTime(key)
			}
		})
	}
}

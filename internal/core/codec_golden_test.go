package core

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/semel-dev/semel/message"
)

var update = flag.Bool("update", false, "add encodings that are new to testdata/codec.golden")

// codecGolden has a line for each encoding of a value with every field set that
// was ever written, by the decoder's name, the newest last. A line is never
// changed or taken out: somebody's store has such rows.
const codecGolden = "testdata/codec.golden"

// FAULTS 7: what was ever written is read, and means what it meant. A field that
// is numbered anew in the writer and the reader at once passes every other test
// here.
func TestCodecGolden(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(codecGolden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	newest := make(map[string][]byte)
	for line := range strings.Lines(string(b)) {
		name, written, _ := strings.Cut(strings.TrimSpace(line), ": ")
		c, known := codecs[name]
		value, err := hex.DecodeString(written)
		if err != nil || !known {
			t.Fatalf("%s: %q: %v", codecGolden, line, err)
		}
		newest[name] = value
		if v, err := c.decode(testKey, value); err != nil {
			t.Errorf("%s: what was written once is refused: %v", name, err)
		} else if got := c.encode(v); !bytes.Equal(got, value) {
			t.Errorf("%s: what was written once is read as something else, %+v, and written as\n%x, not\n%x\nTake another number for a field that means another thing, or raise the format and read both.", name, v, got, value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(codecs)) {
		got := codecs[name].encode(codecs[name].value)
		switch {
		case bytes.Equal(got, newest[name]):
		case *update:
			b = fmt.Appendf(b, "%s: %x\n", name, got)
		default:
			t.Errorf("%s: a value with every field set is written as\n%x, and was written as\n%x\nIf fields were added, keep the old line and add the new one (go test ./internal/core -run '^TestCodecGolden$' -update), "+
				"and add a golden directory to internal/engine/testdata/golden. If anything else changed, raise the format, and read both.", name, got, newest[name])
		}
	}
	if *update {
		if err := os.WriteFile(codecGolden, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The encodings say nothing of a field that is not set.
func TestCodecSamplesAreFull(t *testing.T) {
	t.Parallel()
	for name, c := range codecs {
		for _, empty := range zeroFields(reflect.ValueOf(c.value), name) {
			t.Errorf("%s is not set", empty)
		}
	}
}

// notStored are the fields that are only in memory.
var notStored = map[reflect.Type][]string{
	reflect.TypeFor[message.Message](): {"Value"},
	reflect.TypeFor[effectRecord]():    {"mem"},
	reflect.TypeFor[retry]():           {"suspect"},
}

// zeroFields names what is zero in a value, of all that is stored.
func zeroFields(v reflect.Value, path string) (names []string) {
	if v.IsZero() {
		return []string{path}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return zeroFields(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !slices.Contains(notStored[v.Type()], f.Name) {
				names = append(names, zeroFields(v.Field(i), path+"."+f.Name)...)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return []string{path}
		}
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				names = append(names, zeroFields(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
			}
		}
	}
	return names
}

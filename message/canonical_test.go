package message

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// canonicalVectors are bodies and their canonical forms.
var canonicalVectors = []struct{ name, body, want string }{
	{"empty body", "", "null"},
	{"literals", " [ true , false , null ] ", "[true,false,null]"},
	{"empty containers", " { \"a\" : [ ] , \"b\" : { } }\r\n\t", `{"a":[],"b":{}}`},
	{"array order", `[3,1,2]`, `[3,1,2]`},
	{"empty name", `{"a":1,"":2}`, `{"":2,"a":1}`},
	{"prefix name", `{"aa":1,"a":2,"aaaaaaaab":3,"aaaaaaaaa":4}`, `{"a":2,"aa":1,"aaaaaaaaa":4,"aaaaaaaab":3}`},
	{"disorder in disorder", `{"b":[{"d":{"z":1,"y":2},"c":{"x":3,"w":4}},{"f":5,"e":6}],"a":{"h":7,"g":8}}`,
		`{"a":{"g":8,"h":7},"b":[{"c":{"w":4,"x":3},"d":{"y":2,"z":1}},{"e":6,"f":5}]}`},
	{"disorder in order", `{"a":{"c":1,"b":2},"d":{"f":3,"e":4}}`, `{"a":{"b":2,"c":1},"d":{"e":4,"f":3}}`},

	// RFC 8785 section 3.2.3.
	{"RFC 8785 sorting", `{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
		"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"},
	// RFC 8785 section 3.2.2, except that its first number keeps its last digit.
	{"RFC 8785 serialization", `{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`,
		`{"literals":[null,true,false],"numbers":[333333333.33333329,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`},

	{"escapes", `"\u0000\u0008\u0009\u000A\u000B\u000c\u000D\u001F\u0020\u007f\b\f\n\r\t"`, "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f \u007f\\b\\f\\n\\r\\t\""},
	{"around the surrogates", `"\ud7ff\ue000\ud800\udc00\udbff\udfff"`, "\"\ud7ff\ue000\U00010000\U0010ffff\""},
	{"solidus", `"\/\u002f/"`, `"///"`},
	{"not normalised", `"A\u030a\u00c5"`, "\"A\u030a\u00c5\""},
	{"replacement character", `"\ufffd` + "\ufffd" + `"`, "\"\ufffd\ufffd\""},
	{"line separators", `"\u2028\u2029"`, "\"\u2028\u2029\""},
	{"escape sorts as what it means", `{"!":1,"\"":2,"#":3,"\\":4,"[":5,"]":6,"\n":7,"\u0001":8,"\u001f":9,"\t":10}`,
		`{"\u0001":8,"\t":10,"\n":7,"\u001f":9,"!":1,"\"":2,"#":3,"[":5,"\\":4,"]":6}`},
	{"escape against a longer name", `{"a\n":1,"a\nb":2,"a":3,"a\u0000":4}`, `{"a":3,"a\u0000":4,"a\n":1,"a\nb":2}`},
	{"surrogates sort before U+E000", "{\"\uffff\":1,\"\U0010ffff\":2,\"\ue000\":3,\"\U00010000\":4,\"\ud7ff\":5,\"a\uffff\":6,\"a\U00010000\":7}",
		"{\"a\U00010000\":7,\"a\uffff\":6,\"\ud7ff\":5,\"\U00010000\":4,\"\U0010ffff\":2,\"\ue000\":3,\"\uffff\":1}"},

	{"ones", `[1,1.0,1e0,1E+0,1e-0,10e-1,0.1e1,0.01e2,100e-02,1.000e000]`, `[1,1,1,1,1,1,1,1,1,1]`},
	{"zeros", `[0,-0,0.0,-0.00,0e9,0e99999999999999999999999,-0E-99999999999999999999999]`, `[0,0,0,0,0,0,0]`},
	{"beyond doubles", `[9007199254740992,9007199254740993,-9007199254740993.0,0.1000000000000000055511151231257827]`,
		`[9007199254740992,9007199254740993,-9007199254740993,0.1000000000000000055511151231257827]`},
	{"21 digits", `[100000000000000000000,1e20,123456789012345678901,1e21,1000000000000000000000,1234567890123456789012]`,
		`[100000000000000000000,100000000000000000000,123456789012345678901,1e+21,1e+21,1.234567890123456789012e+21]`},
	{"grows most", `1e20`, `100000000000000000000`},
	{"small", `[0.000001,1e-6,0.0000001,0.00000123,12e-8,-1.5e-7]`, `[0.000001,0.000001,1e-7,0.00000123,1.2e-7,-1.5e-7]`},
	{"point", `[12.50,1250e-2,0.0125e3,123.456e1,123.456e2,123.456e3,123.456e4]`, `[12.5,12.5,12.5,1234.56,12345.6,123456,1234560]`},
	{"largest exponent", `[1e1000000,10e999999,0.1e1000001,1e-1000000,-100e-1000002]`, `[1e+1000000,1e+1000000,1e+1000000,1e-1000000,-1e-1000000]`},
}

func TestCanonicalVectors(t *testing.T) {
	t.Parallel()
	for _, v := range canonicalVectors {
		got, err := Canonical(nil, []byte(v.body))
		if err != nil {
			t.Errorf("%s: Canonical(%s): %v", v.name, v.body, err)
			continue
		}
		if string(got) != v.want {
			t.Errorf("%s: Canonical(%s)\n got %s\nwant %s", v.name, v.body, got, v.want)
		}
		again, err := Canonical(nil, got)
		if err != nil || string(again) != v.want {
			t.Errorf("%s: not idempotent: %s, %v", v.name, again, err)
		}
	}
}

// The numbers of RFC 8785 appendix B are canonical as they stand.
func TestCanonicalKeepsRFC8785Numbers(t *testing.T) {
	t.Parallel()
	for _, n := range []string{
		"0", "5e-324", "-5e-324", "1.7976931348623157e+308", "-1.7976931348623157e+308", "9007199254740992",
		"-9007199254740992", "295147905179352830000", "9.999999999999997e+22", "1e+23", "1.0000000000000001e+23",
		"999999999999999700000", "999999999999999900000", "1e+21", "9.999999999999997e-7", "0.000001",
		"333333333.3333332", "333333333.33333325", "333333333.3333333", "333333333.3333334", "333333333.33333343",
		"-0.0000033333333333333333", "1424953923781206.2",
	} {
		if got, err := Canonical(nil, []byte(n)); err != nil || string(got) != n {
			t.Errorf("Canonical(%s) = %s, %v", n, got, err)
		}
	}
}

// refusedBodies are bodies with the offset and the beginning of their problem.
var refusedBodies = []struct {
	body    string
	offset  int
	problem string
}{
	{" ", 1, "it ends where a value"},
	{"\ufeff{}", 0, "a value is expected, not a byte beyond ASCII"},
	{"nul", 0, "null is expected"},
	{"truE", 0, "true is expected"},
	{"NaN", 0, "a value is expected"},
	{"Infinity", 0, "a value is expected"},
	{"'a'", 0, "a value is expected"},
	{"[1,]", 3, "a value is expected"},
	{"[,1]", 1, "a value is expected"},
	{"[1 2]", 3, "',' or ']' is expected"},
	{"[1", 2, "it ends where ',' or ']'"},
	{"[", 1, "it ends where a value"},
	{"]", 0, "a value is expected"},
	{"{", 1, "it ends where a member name"},
	{"{a:1}", 1, "a member name in double quotes"},
	{"{\"a\":1,}", 7, "a member name in double quotes"},
	{"{\"a\"}", 4, "':' is expected"},
	{"{\"a\":}", 5, "a value is expected"},
	{"{\"a\":1", 6, "it ends where ',' or '}'"},
	{"{\"a\":1]", 6, "',' or '}' is expected"},
	{"1 2", 2, "there is more data"},
	{"{}{}", 2, "there is more data"},
	{"null\x00", 4, "there is more data"},
	{"[1]\v", 3, "there is more data"},
	{"// c\n1", 0, "a value is expected"},

	{"-", 1, "it ends where a digit"},
	{"+1", 0, "a value is expected"},
	{".5", 0, "a value is expected"},
	{"-.5", 1, "a digit is expected"},
	{"5.", 2, "it ends where a digit"},
	{"5.e1", 2, "a digit is expected"},
	{"1e", 2, "it ends where a digit"},
	{"1e+", 3, "it ends where a digit"},
	{"[1e-]", 4, "a digit is expected"},
	{"01", 0, "a number begins with a superfluous zero"},
	{"-00", 1, "a number begins with a superfluous zero"},
	{"0x1", 1, "there is more data"},
	{"[7,1e1000001]", 3, "a number has an exponent"},
	{"1e-1000001", 0, "a number has an exponent"},
	{"10e1000000", 0, "a number has an exponent"},
	{"-1e99999999999999999999999999999", 0, "a number has an exponent"},

	{`"`, 1, "it ends inside a string"},
	{`"a\`, 3, "it ends inside a string"},
	{`"a\"`, 4, "it ends inside a string"},
	{`"\x"`, 1, "a backslash does not begin"},
	{`"\U0041"`, 1, "a backslash does not begin"},
	{`"\u12"`, 1, `\u is not followed`},
	{`"\u12g4"`, 1, `\u is not followed`},
	{`"\u123`, 1, `\u is not followed`},
	{"\"a\nb\"", 2, "a control character"},
	{"\"12345678\x00\"", 9, "a control character"},
	{"\"\xff\"", 1, "a string is not valid UTF-8"},
	{"\"abc\xc3\"", 4, "a string is not valid UTF-8"},
	{"\"\xc0\x80\"", 1, "a string is not valid UTF-8"},
	{"\"\xed\xa0\x80\"", 1, "a string is not valid UTF-8"},
	{"\"\xf4\x90\x80\x80\"", 1, "a string is not valid UTF-8"},
	{`"\ud83d"`, 1, "a surrogate is escaped"},
	{`"\ude00"`, 1, "a surrogate is escaped"},
	{`"\ud83dx"`, 1, "a surrogate is escaped"},
	{`"\ud83d\n"`, 1, "a surrogate is escaped"},
	{`"\ud83d\ud83d"`, 1, "a surrogate is escaped"},
	{`"\ude00\ud83d"`, 1, "a surrogate is escaped"},
	{`"\ud83d\u0041"`, 1, "a surrogate is escaped"},
	{`"\ud83d`, 1, "a surrogate is escaped"},
	{`"\ude00\ude00"`, 1, "a surrogate is escaped"},
	{`"\ud83d\ue000"`, 1, "a surrogate is escaped"},
	{`"\ud83d\udbff"`, 1, "a surrogate is escaped"},
	{`"\udfff"`, 1, "a surrogate is escaped"},
	{`"\udc00"`, 1, "a surrogate is escaped"},
	{`"\ud800"`, 1, "a surrogate is escaped"},

	{`{"a":1,"a":1}`, 7, "a member name comes a second time"},
	{`{"a":1,"\u0061":1}`, 7, "a member name comes a second time"},
	{`{"b":1,"a":2,"b":3}`, 13, "a member name comes a second time"},
	{`{"b":1,"c":9,"a":2,"\u0062":3}`, 19, "a member name comes a second time"},
	{`{"😀":1,"a":2,"\ud83d\ude00":3}`, 16, "a member name comes a second time"},
	{`{"\n":1,"\u000a":2}`, 8, "a member name comes a second time"},
	{`{"x":[{"":1,"":2}]}`, 12, "a member name comes a second time"},
}

func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	for _, r := range refusedBodies {
		dst := []byte("kept")
		got, err := Canonical(dst, []byte(r.body))
		var refused *JSONError
		if !errors.As(err, &refused) {
			t.Errorf("Canonical(%q) = %q, %v; want a *JSONError", r.body, got, err)
			continue
		}
		if refused.Offset != r.offset || !strings.HasPrefix(refused.Problem, r.problem) || refused.Next == "" {
			t.Errorf("Canonical(%q): %v\nwant at %d: %s", r.body, err, r.offset, r.problem)
		}
		if string(got) != "kept" {
			t.Errorf("Canonical(%q) changed dst to %q", r.body, got)
		}
		if CheckJSON([]byte(r.body)) == nil {
			t.Errorf("CheckJSON(%q) = nil", r.body)
		}
		if _, err := FingerprintOf(Agent{}, "", []byte(r.body)); !errors.As(err, &refused) {
			t.Errorf("FingerprintOf(%q): %v", r.body, err)
		}
	}
}

func TestCanonicalAppends(t *testing.T) {
	t.Parallel()
	got, err := Canonical([]byte("kept:"), []byte(`{"b":1,"a":2}`))
	if err != nil || string(got) != `kept:{"a":2,"b":1}` {
		t.Errorf("got %s, %v", got, err)
	}
}

// However long an exponent is, it must not wrap around into the range.
func TestLongExponents(t *testing.T) {
	t.Parallel()
	for n := 7; n < 100; n++ {
		for _, digits := range []string{strings.Repeat("9", n), "1" + strings.Repeat("0", n), "18446744073709551616"} {
			for _, e := range []string{"e", "e-"} {
				if CheckJSON([]byte("1"+e+digits)) == nil {
					t.Errorf("1%s%s was accepted", e, digits)
				}
			}
		}
		small := "1e" + strings.Repeat("0", n) + "1"
		if got, err := Canonical(nil, []byte(small)); err != nil || string(got) != "10" {
			t.Errorf("Canonical(%s) = %s, %v", small, got, err)
		}
	}
}

// Every byte in every lane of a word, with every neighbour.
func TestSkipPlain(t *testing.T) {
	t.Parallel()
	plain := func(ch byte) bool { return ch >= 0x20 && ch < 0x80 && ch != '"' && ch != '\\' }
	for length := 1; length < 19; length++ {
		for place := range length {
			for pair := range 1 << 16 {
				if length != 8 && pair > 0xFF { // one length shows what neighbours do
					break
				}
				b := []byte(strings.Repeat("x", length))
				b[place] = byte(pair)
				if pair>>8 > 0 && place > 0 {
					b[place-1] = byte(pair >> 8)
				}
				want := 0
				for want < len(b) && plain(b[want]) {
					want++
				}
				if got := skipPlain(b, 0); got != want {
					t.Fatalf("skipPlain(%q) = %d, want %d", b, got, want)
				}
			}
		}
	}
}

func TestMaxJSONBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 256 MiB")
	}
	var refused *JSONError
	if err := CheckJSON(make([]byte, MaxJSONBytes+1)); !errors.As(err, &refused) || refused.Offset != MaxJSONBytes {
		t.Error(err)
	}
}

func TestDepthLimit(t *testing.T) {
	t.Parallel()
	for _, pair := range []struct{ open, shut string }{{"[", "]"}, {`{"a":`, "}"}, {`[{"b":0,"a":`, "}]"}} {
		per := strings.Count(pair.open, "[") + strings.Count(pair.open, "{")
		at := func(n int) error {
			return CheckJSON([]byte(strings.Repeat(pair.open, n/per) + "1" + strings.Repeat(pair.shut, n/per)))
		}
		if err := at(MaxDepth); err != nil {
			t.Errorf("%s at the limit: %v", pair.open, err)
		}
		var refused *JSONError
		if err := at(MaxDepth + per); !errors.As(err, &refused) || !strings.Contains(refused.Problem, "nested") {
			t.Errorf("%s beyond the limit: %v", pair.open, err)
		}
	}
	// Far beyond, and unclosed: the stack must not grow with the body.
	if CheckJSON([]byte(strings.Repeat("[", 10<<20))) == nil {
		t.Error("10 Mi brackets were accepted")
	}
	// Depth is of nesting, not of their number.
	if err := CheckJSON([]byte("[" + strings.Repeat(`[],{},{"a":[]},`, 1000) + "1]")); err != nil {
		t.Error(err)
	}
}

// Bodies made to be expensive must cost about what others of their size do. The
// bound is loose, for a busy machine under the race detector; anything
// quadratic exceeds it by far.
func TestCanonicalTimeIsBounded(t *testing.T) {
	t.Parallel()
	shared := strings.Repeat("p", 1000)
	var long strings.Builder
	for i := range 1000 {
		long.WriteString(`,"` + shared + string(rune('一'+i*7919%1000)) + `\n":0`)
	}
	bodies := map[string]string{
		"100k members":    string(shuffledMembers(100_000)),
		"nested disorder": string(nestedDisorder(MaxDepth, 1<<20)),
		"long names":      "{" + long.String()[1:] + "}",
		"small objects":   "[" + strings.Repeat(`{"b":{"d":1,"c":2},"a":{"f":1,"e":2}},`, 30_000) + "1]",
		"long number":     strings.Repeat("9", 1_000_000),
		"long exponent":   "1e" + strings.Repeat("0", 1<<20) + "1",
		"long fraction":   "0." + strings.Repeat("0", 900_000) + "1",
		"escapes":         `"` + strings.Repeat(`\ud83d\ude00`, 100_000) + `"`,
	}
	for name, body := range bodies {
		start := time.Now()
		if _, err := Canonical(nil, []byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// The pool must hold neither a caller's body nor a giant body's scratch space.
func TestPoolHoldsLittle(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		body string
		keep bool
	}{
		{`{"b":1,"a":2}`, true},
		{`{"b":1,"a"`, true},
		{`"` + strings.Repeat("x", pooledBytes) + `"`, false},
		{string(shuffledMembers(pooledMembers)), false},
	} {
		c := new(canonicalizer)
		_ = c.read([]byte(v.body)) // the refused one counts too
		if keep := c.forget(); keep != v.keep || c.body != nil || c.err != nil {
			t.Errorf("%.20s: pooled %v, body %q, %v", v.body, keep, c.body, c.err)
		}
	}
}

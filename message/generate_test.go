package message

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// The meaning of a JSON value, apart from any spelling: nil, bool, string,
// decimal, list or object.
type (
	decimal struct {
		negative bool
		digits   string // no zeros at either end; "0" for zero
		exponent int    // of the last digit
	}
	list  []any
	field struct {
		name  string
		value any
	}
	object []field
)

func genDecimal(t *rapid.T) decimal {
	d := strings.Trim(rapid.StringMatching(`[0-9]{1,3}|[0-9]{15,24}`).Draw(t, "digits"), "0")
	if d == "" {
		return decimal{digits: "0"}
	}
	exponent := rapid.OneOf(rapid.IntRange(-3, 3), rapid.IntRange(-30, 30)).Draw(t, "exponent")
	return decimal{rapid.Bool().Draw(t, "negative"), d, exponent}
}

// genText favours characters whose escapes or order are special.
func genText(t *rapid.T) string {
	special := rapid.SampledFrom([]rune("\x00\x01\b\t\n\f\r\x1f\"\\/ab!#[]\x7f\u0080é€\ud7ff\ue000\ufb33\uffff\U00010000😀\U0010ffff"))
	return rapid.StringOfN(rapid.OneOf(special, rapid.RuneFrom([]rune("abcdefgh")), rapid.Rune()), 0, 12, -1).Draw(t, "text")
}

// genBody draws several values at once, because rapid makes most of them small.
func genBody(t *rapid.T) any {
	var l list
	for range 6 {
		l = append(l, genValue(t, 4))
	}
	return l
}

func genValue(t *rapid.T, depth int) any {
	least := 0
	if depth == 0 {
		least = 2
	}
	// rapid favours small numbers: the rich kinds come first.
	switch rapid.IntRange(least, 5).Draw(t, "kind") {
	case 1:
		var l list
		for range rapid.IntRange(0, 4).Draw(t, "elements") {
			l = append(l, genValue(t, depth-1))
		}
		return l
	case 2:
		return genDecimal(t)
	case 3:
		return strings.ToValidUTF8(genText(t), "?")
	case 4:
		return rapid.Bool().Draw(t, "bool")
	case 5:
		return nil
	}
	var o object
	for range rapid.IntRange(0, 6).Draw(t, "members") {
		name := strings.ToValidUTF8(genText(t), "?")
		if !slices.ContainsFunc(o, func(f field) bool { return f.name == name }) {
			o = append(o, field{name, genValue(t, depth-1)})
		}
	}
	return o
}

// spell writes v in any of its spellings.
func spell(t *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r\n  "}).Draw(t, "space") }
	var s string
	switch v := v.(type) {
	case nil:
		s = "null"
	case bool:
		s = fmt.Sprint(v)
	case decimal:
		s = spellDecimal(t, v)
	case string:
		s = spellText(t, v)
	case list:
		var parts []string
		for _, e := range v {
			parts = append(parts, spell(t, e))
		}
		s = "[" + space() + strings.Join(parts, ",") + "]"
	case object:
		var parts []string
		for _, f := range rapid.Permutation(v).Draw(t, "order") {
			parts = append(parts, space()+spellText(t, f.name)+space()+":"+spell(t, f.value))
		}
		s = "{" + space() + strings.Join(parts, ",") + "}"
	}
	return space() + s + space()
}

func spellText(t *rapid.T, s string) string {
	var b strings.Builder
	for _, r := range s {
		short, hasShort := map[rune]string{'"': `\"`, '\\': `\\`, '/': `\/`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}[r]
		mustEscape := r < 0x20 || r == '"' || r == '\\'
		switch how := rapid.IntRange(0, 3).Draw(t, "escape"); {
		case how == 0 && hasShort:
			b.WriteString(short)
		case how == 1 || mustEscape:
			format := rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "hex")
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, format, u)
			}
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func spellDecimal(t *rapid.T, d decimal) string {
	digits, exponent := d.digits, d.exponent
	more := rapid.IntRange(0, 4).Draw(t, "zeros behind")
	digits, exponent = digits+strings.Repeat("0", more), exponent-more
	digits = strings.Repeat("0", rapid.IntRange(0, 4).Draw(t, "zeros before")) + digits
	point := rapid.IntRange(1, len(digits)).Draw(t, "point")
	if d.digits == "0" {
		exponent = rapid.IntRange(-9, 9).Draw(t, "zero's exponent")
	}
	whole, fraction := digits[:point], digits[point:]
	exponent += len(fraction)
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	tail := ""
	if exponent != 0 || rapid.Bool().Draw(t, "e0") {
		format := rapid.SampledFrom([]string{"e%d", "E%d", "e%+d", "e%+03d"}).Draw(t, "e")
		tail = fmt.Sprintf(format, exponent)
	}
	sign := ""
	if d.negative || d.digits == "0" && rapid.Bool().Draw(t, "-0") {
		sign = "-"
	}
	return sign + whole + fraction + tail
}

// change returns a value that means something else than v, by one small step
// somewhere in it.
func change(t *rapid.T, v any) any {
	switch v := v.(type) {
	case nil:
		return rapid.SampledFrom([]any{false, decimal{digits: "0"}, "", "null", list(nil), object(nil), list{nil}}).Draw(t, "not null")
	case bool:
		return rapid.SampledFrom([]any{!v, nil, fmt.Sprint(v)}).Draw(t, "not it")
	case decimal:
		return changeDecimal(t, v)
	case string:
		at := rapid.IntRange(0, len([]rune(v))).Draw(t, "at")
		r := []rune(v)
		return string(r[:at]) + rapid.SampledFrom([]string{"x", "\x00", "\\", "\"", "é"}).Draw(t, "more") + string(r[at:])
	case list:
		if len(v) == 0 {
			return rapid.SampledFrom([]any{list{nil}, object(nil), nil}).Draw(t, "not empty")
		}
		at := rapid.IntRange(0, len(v)-1).Draw(t, "element")
		if rapid.Bool().Draw(t, "drop") {
			return slices.Delete(slices.Clone(v), at, at+1)
		}
		c := slices.Clone(v)
		c[at] = change(t, v[at])
		return c
	}
	o := slices.Clone(v.(object))
	if len(o) == 0 {
		return rapid.SampledFrom([]any{object{{"", nil}}, list(nil), nil}).Draw(t, "not empty")
	}
	at := rapid.IntRange(0, len(o)-1).Draw(t, "member")
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		return slices.Delete(o, at, at+1)
	case 1:
		o[at].value = change(t, o[at].value)
	default:
		for slices.ContainsFunc(v.(object), func(f field) bool { return f.name == o[at].name }) {
			o[at].name += "'"
		}
	}
	return o
}

func changeDecimal(t *rapid.T, d decimal) any {
	if d.digits == "0" {
		return decimal{digits: "1", exponent: rapid.IntRange(-40, 3).Draw(t, "tiny")}
	}
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		d.negative = !d.negative
	case 1:
		d.exponent++
	default: // one more digit, far behind the precision of a double
		zeros := rapid.IntRange(0, 30).Draw(t, "precision")
		d.digits += strings.Repeat("0", zeros) + "1"
		d.exponent -= zeros + 1
	}
	return d
}

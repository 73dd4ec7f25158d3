package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// naiveCanonical is Canonical once more, from other parts: encoding/json to
// read, math/big for numbers, utf16 to sort. It takes valid bodies without
// duplicate names and with moderate exponents.
func naiveCanonical(body []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	return naiveValue(v), nil
}

func naiveValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return naiveString(v)
	case json.Number:
		return naiveNumber(v.String())
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, naiveValue(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var names, parts []string
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		})
		for _, name := range names {
			parts = append(parts, naiveString(name)+":"+naiveValue(v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	panic(fmt.Sprintf("unexpected %T", v))
}

func naiveString(s string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var b strings.Builder
	for _, r := range s {
		switch {
		case short[r] != "":
			b.WriteString(short[r])
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func naiveNumber(s string) string {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("not a number: " + s)
	}
	if r.Sign() == 0 {
		return "0"
	}
	ten, exponent := big.NewInt(10), 0
	scaled := new(big.Rat).Abs(r)
	for !scaled.IsInt() {
		scaled.Mul(scaled, new(big.Rat).SetInt(ten))
		exponent--
	}
	n, rest := new(big.Int).Set(scaled.Num()), new(big.Int)
	for {
		q, m := new(big.Int).QuoRem(n, ten, rest)
		if m.Sign() != 0 {
			break
		}
		n = q
		exponent++
	}
	digits := n.String()
	scientific := len(digits) - 1 + exponent
	if scientific >= -6 && scientific < 21 {
		return r.FloatString(max(0, -exponent))
	}
	out := digits[:1]
	if len(digits) > 1 {
		out += "." + digits[1:]
	}
	if r.Sign() < 0 {
		out = "-" + out
	}
	return fmt.Sprintf("%se%+d", out, scientific)
}

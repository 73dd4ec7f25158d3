package message

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// text copies the string that opens at i. special says that its canonical
// bytes do not sort as its UTF-16 code units do (see compareCodeUnits).
func (c *canonicalizer) text(i int) (next int, special bool) {
	b := c.body
	run := i // what lies before i and is not yet copied; strings mostly are one run
	i++
	for {
		i = skipPlain(b, i)
		if i >= len(b) {
			return c.fail(len(b), "it ends inside a string", nextComplete), false
		}
		switch ch := b[i]; {
		case ch == '"':
			i++
			c.out = append(c.out, b[run:i]...)
			return i, special
		case ch == '\\':
			c.out = append(c.out, b[run:i]...)
			if i = c.escape(i); i < 0 {
				return -1, false
			}
			run, special = i, true
		case ch < 0x20:
			return c.fail(i, "a control character stands unescaped in a string", `escape it, as in \n or \u0001`), false
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return c.fail(i, "a string is not valid UTF-8", nextUTF8), false
			}
			special = special || ch >= 0xEE
			i += size
		}
	}
}

// skipPlain returns the first position from i on that holds no plain character:
// a quote, a backslash, a control character, or a byte beyond ASCII. It looks
// at eight bytes at once. In each lane the top bit gets set by the byte itself,
// by a borrow from byte-0x20, and by one from (byte^quote)-1 and
// (byte^backslash)-1; a borrow that leaves its lane disturbs only later bytes,
// and the first hit is the one that counts.
func skipPlain(b []byte, i int) int {
	const ones = 0x0101010101010101
	for i+8 <= len(b) {
		w := binary.LittleEndian.Uint64(b[i:])
		hit := (w | (w - 0x20*ones) | (w ^ '"'*ones - ones) | (w ^ '\\'*ones - ones)) & (0x80 * ones)
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] >= 0x20 && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escape writes the character that the escape at i means.
func (c *canonicalizer) escape(i int) int {
	b := c.body
	if i+1 >= len(b) {
		return c.fail(len(b), "it ends inside a string", nextComplete)
	}
	switch b[i+1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		c.out = append(c.out, '\\', b[i+1])
		return i + 2
	case '/':
		c.out = append(c.out, '/')
		return i + 2
	case 'u':
		return c.codeUnit(i)
	}
	return c.fail(i, "a backslash does not begin an escape", `write a backslash as \\`)
}

// codeUnit writes the character of the \u escape, or pair of them, at i.
func (c *canonicalizer) codeUnit(i int) int {
	u := hexUnit(c.body, i)
	if u < 0 {
		return c.fail(i, `\u is not followed by four hexadecimal digits`, nextSyntax)
	}
	end := i + 6
	if u >= 0xD800 && u < 0xE000 {
		low := hexUnit(c.body, end)
		if u >= 0xDC00 || low < 0xDC00 || low >= 0xE000 {
			return c.fail(i, "a surrogate is escaped without its partner", nextSurrogate)
		}
		u = 0x10000 + (u-0xD800)<<10 + (low - 0xDC00)
		end += 6
	}
	c.out = appendCharacter(c.out, u)
	return end
}

// appendCharacter spells r as RFC 8785 section 3.2.2.2 does.
func appendCharacter(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	if r < 0x20 {
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// hexUnit reads the escape \uXXXX at i, or returns -1 when there is none.
func hexUnit(b []byte, i int) rune {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	var u rune
	for _, ch := range b[i+2 : i+6] {
		d := hexDigit[ch]
		if d == notDigit {
			return -1
		}
		u = u<<4 | rune(d)
	}
	return u
}

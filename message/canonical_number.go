package message

import "strconv"

// plainDigits is how many digits of a whole number are written out before
// scientific notation takes over: the 21 of ECMAScript, and so of RFC 8785.
const plainDigits = 21

// number copies the number at i. The caller checks what follows it.
func (c *canonicalizer) number(i int) int {
	b, start := c.body, i
	if b[i] == '-' {
		i++
	}
	whole := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	switch {
	case i == whole:
		return c.expected(i, "a digit")
	case b[whole] == '0' && i > whole+1:
		return c.fail(whole, "a number begins with a superfluous zero", nextSyntax)
	}
	// Most numbers end here, and are whole, short and canonical as they stand.
	if i == len(b) || b[i] != '.' && b[i]|0x20 != 'e' {
		if i-whole <= plainDigits && (b[whole] != '0' || whole == start) {
			c.out = append(c.out, b[start:i]...)
			return i
		}
		return c.decimal(start, i, b[whole:i], nil, 0)
	}
	wholeEnd := i
	var fraction []byte
	if b[i] == '.' {
		i++
		f := i
		for i < len(b) && isDigit(b[i]) {
			i++
		}
		if i == f {
			return c.expected(i, "a digit")
		}
		fraction = b[f:i]
	}
	var exponent int64
	if i < len(b) && b[i]|0x20 == 'e' {
		if i, exponent = c.exponent(i + 1); i < 0 {
			return -1
		}
	}
	return c.decimal(start, i, b[whole:wholeEnd], fraction, exponent)
}

// exponent reads what follows the e. It stops counting far outside the range
// that any number of digits could bring back in.
func (c *canonicalizer) exponent(i int) (int, int64) {
	const enough = 1 << 40
	b := c.body
	negative := i < len(b) && b[i] == '-'
	if negative || i < len(b) && b[i] == '+' {
		i++
	}
	start := i
	var e int64
	for i < len(b) && isDigit(b[i]) {
		e = min(e*10+int64(b[i]-'0'), enough)
		i++
	}
	if i == start {
		return c.expected(i, "a digit"), 0
	}
	if negative {
		e = -e
	}
	return i, e
}

// decimal writes the number body[start:end], which is whole.fraction ×
// 10^exponent, as ECMAScript's Number::toString lays out a number, but from its
// exact digits. The bound is on the value, not on its spelling: 10e999999 and
// 1e1000000 are one number.
func (c *canonicalizer) decimal(start, end int, whole, fraction []byte, exponent int64) int {
	c.digits = append(append(c.digits[:0], whole...), fraction...)
	d := c.digits
	point := int64(len(whole)) + exponent // the decimal point stands before d[point]
	for len(d) > 0 && d[0] == '0' {
		d = d[1:]
		point--
	}
	for len(d) > 0 && d[len(d)-1] == '0' {
		d = d[:len(d)-1]
	}
	if len(d) == 0 {
		c.out = append(c.out, '0') // without a sign: -0 equals 0
		return end
	}
	if point-1 > MaxExponent || point-1 < -MaxExponent {
		return c.fail(start, "a number has an exponent beyond ±1000000", nextExponent)
	}
	if c.body[start] == '-' {
		c.out = append(c.out, '-')
	}
	c.out = appendDecimal(c.out, d, int(point))
	return end
}

// appendDecimal writes 0.d × 10^point.
func appendDecimal(dst, d []byte, point int) []byte {
	switch {
	case len(d) <= point && point <= plainDigits:
		return appendZeros(append(dst, d...), point-len(d))
	case 0 < point && point <= plainDigits:
		dst = append(append(dst, d[:point]...), '.')
		return append(dst, d[point:]...)
	case -6 < point && point <= 0:
		return append(appendZeros(append(dst, "0."...), -point), d...)
	}
	dst = append(dst, d[0])
	if len(d) > 1 {
		dst = append(append(dst, '.'), d[1:]...)
	}
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10)
}

func appendZeros(dst []byte, n int) []byte {
	const zeros = "000000000000000000000" // plainDigits of them
	return append(dst, zeros[:n]...)
}

func isDigit(ch byte) bool { return ch-'0' <= 9 }

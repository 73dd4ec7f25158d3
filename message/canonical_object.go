package message

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// member is one member of an object. Its offsets are in canonicalizer.out.
type member struct {
	name, nameEnd uint32 // the escaped name, without its quotes; the member begins one byte before
	end           uint32 // the end of its value
	at            uint32 // its name in the body, for errors
	moved         uint32 // the rearranged objects inside the value: canonicalizer.moved[moved:movedEnd]
	movedEnd      uint32
	special       bool // the bytes of the escaped name do not sort as its code units do
}

// moved is an object whose members did not come in canonical order.
type moved struct {
	start, end    uint32 // what lies between its braces, in canonicalizer.out
	kept, keptEnd uint32 // its members in canonical order, in canonicalizer.kept
	first         uint32 // the first object that was moved inside it; the others follow, up to itself
}

func (c *canonicalizer) object(i int) int {
	if c.depth == MaxDepth {
		return c.fail(i, "arrays and objects are nested more than 128 deep", nextFlatten)
	}
	c.depth++
	b := c.body
	c.out = append(c.out, '{')
	start, base, first := uint32(len(c.out)), len(c.open), uint32(len(c.moved))
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		c.depth--
		c.out = append(c.out, '}')
		return i + 1
	}
	ordered := true
	for {
		if i >= len(b) || b[i] != '"' {
			return c.expected(i, "a member name in double quotes")
		}
		m := member{name: uint32(len(c.out) + 1), at: uint32(i), moved: uint32(len(c.moved))}
		if i, m.special = c.text(i); i < 0 {
			return -1
		}
		m.nameEnd = uint32(len(c.out) - 1)
		if ordered && len(c.open) > base {
			ordered = c.compare(&c.open[len(c.open)-1], &m) < 0 // equal names are arrange's to refuse
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ':' {
			return c.expected(i, "':'")
		}
		c.out = append(c.out, ':')
		if i = c.value(skipSpace(b, i+1)); i < 0 {
			return -1
		}
		m.end, m.movedEnd = uint32(len(c.out)), uint32(len(c.moved))
		c.open = append(c.open, m)
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' && b[i] != '}' {
			return c.expected(i, "',' or '}'")
		}
		c.out = append(c.out, b[i])
		if b[i] == '}' {
			break
		}
		i = skipSpace(b, i+1)
	}
	if !ordered && !c.arrange(moved{start: start, end: uint32(len(c.out) - 1), first: first}, c.open[base:]) {
		return -1
	}
	c.open = c.open[:base]
	c.depth--
	return i + 1
}

// arrange sorts the members of an object that closed, and notes it for appendTo.
func (c *canonicalizer) arrange(o moved, members []member) bool {
	c.ranks = slices.Grow(c.ranks[:0], len(members))
	c.kept = slices.Grow(c.kept, len(members))
	for i := range members {
		m := &members[i]
		r := rank{index: uint32(i), special: m.special}
		if !m.special {
			r.prefix = prefix(c.out[m.name:m.nameEnd])
		}
		c.ranks = append(c.ranks, r)
	}
	slices.SortFunc(c.ranks, func(a, b rank) int { return c.compareRanks(members, a, b) })
	o.kept = uint32(len(c.kept))
	for i, r := range c.ranks {
		if i > 0 && c.compareRanks(members, c.ranks[i-1], r) == 0 {
			second := max(members[c.ranks[i-1].index].at, members[r.index].at)
			c.fail(int(second), "a member name comes a second time in its object", nextDuplicate)
			return false
		}
		c.kept = append(c.kept, members[r.index])
	}
	o.keptEnd = uint32(len(c.kept))
	c.moved = append(c.moved, o)
	return true
}

// rank stands for a member while its object is sorted. It is smaller than the
// member, and its prefix settles most comparisons without a look at the names.
type rank struct {
	prefix  uint64
	index   uint32
	special bool // as in the member; prefix is then not set
}

func (c *canonicalizer) compareRanks(members []member, a, b rank) int {
	if a.prefix != b.prefix && !a.special && !b.special {
		return cmp.Compare(a.prefix, b.prefix)
	}
	return c.compare(&members[a.index], &members[b.index])
}

// appendTo is the second pass. Rearranging changes no length, so it can fill
// the result from its end: objects are noted when they close, so walking back
// through them meets the outer one before those inside it, and r.first skips
// these. The walk forward would need a list for every object.
func (c *canonicalizer) appendTo(dst []byte) []byte {
	base := len(dst)
	dst = append(dst, c.out...)
	if len(c.moved) > 0 {
		c.place(dst[base:], uint32(len(c.out)), 0, uint32(len(c.out)), 0, uint32(len(c.moved)))
	}
	return dst
}

// place writes out[from:to], whose moved objects are moved[lo:hi], to dst so
// that it ends at w. It returns where it begins.
func (c *canonicalizer) place(dst []byte, w, from, to, lo, hi uint32) uint32 {
	for hi > lo {
		r := &c.moved[hi-1]
		w -= to - r.end
		copy(dst[w:], c.out[r.end:to])
		for k := r.keptEnd; k > r.kept; k-- {
			m := &c.kept[k-1]
			w = c.place(dst, w, m.name-1, m.end, m.moved, m.movedEnd)
			if k-1 > r.kept {
				w--
				dst[w] = ','
			}
		}
		to, hi = r.start, r.first
	}
	w -= to - from
	copy(dst[w:], c.out[from:to])
	return w
}

// compare orders members by the UTF-16 code units of their names.
func (c *canonicalizer) compare(a, b *member) int {
	if a.special || b.special {
		return compareCodeUnits(c.out[a.name:a.nameEnd], c.out[b.name:b.nameEnd])
	}
	return bytes.Compare(c.out[a.name:a.nameEnd], c.out[b.name:b.nameEnd])
}

// prefix is the first eight bytes of name as a number that sorts as they do. A
// shorter name is filled up with zeros, which no name contains unescaped.
func prefix(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var p uint64
	for i, ch := range name {
		p |= uint64(ch) << (56 - 8*i)
	}
	return p
}

// compareCodeUnits orders canonically escaped strings by the UTF-16 code units
// of what they mean. UTF-8 bytes sort as code points do, and these sort as
// code units do except that surrogates, 0xD800 to 0xDFFF, come before 0xE000
// to 0xFFFF: lead bytes 0xF0 and above go between 0xED and 0xEE.
func compareCodeUnits(x, y []byte) int {
	for len(x) > 0 && len(y) > 0 {
		p, q := x[0], y[0]
		x, y = x[1:], y[1:]
		if p == '\\' {
			p, x = unescape(x)
		}
		if q == '\\' {
			q, y = unescape(y)
		}
		if p == q {
			continue
		}
		if p >= 0xEE && q >= 0xEE && (p >= 0xF0) != (q >= 0xF0) {
			p, q = q, p
		}
		return int(p) - int(q)
	}
	return len(x) - len(y)
}

// unescape reads the canonical escape whose backslash has been read.
func unescape(s []byte) (byte, []byte) {
	switch s[0] {
	case 'b':
		return '\b', s[1:]
	case 't':
		return '\t', s[1:]
	case 'n':
		return '\n', s[1:]
	case 'f':
		return '\f', s[1:]
	case 'r':
		return '\r', s[1:]
	case 'u':
		return byte(hexDigit[s[3]]<<4 | hexDigit[s[4]]), s[5:]
	}
	return s[0], s[1:]
}

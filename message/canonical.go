package message

import (
	"slices"
	"sync"
)

// The bounds of a body. They are part of what a fingerprint means: to lower
// one would refuse the retry of a request that was accepted before.
const (
	MaxDepth     = 128       // nested arrays and objects
	MaxExponent  = 1_000_000 // of a number in scientific notation, either sign
	MaxJSONBytes = 1 << 28   // keeps offsets in 32 bits, whatever the caller's own limit is
)

// Canonical appends to dst the one spelling of the JSON value in body, which
// must not overlap dst. An empty body counts as null. Two bodies have the same
// canonical form exactly when they mean the same value:
//
//   - White space and the order of an object's members carry no meaning; the
//     order of an array and the presence of a null member do.
//   - Members are sorted by the UTF-16 code units of their names, and strings
//     are escaped, as RFC 8785 (JCS) says. Nothing is Unicode-normalised.
//   - Numbers are exact decimals: 1.0, 1e0 and 10e-1 are 1, and -0 is 0. JCS
//     would round them to doubles and so equate 9007199254740993 with
//     9007199254740992, which may be two amounts or two accounts. They are laid
//     out as JCS lays them out, so a body whose numbers are the shortest
//     spelling of their doubles has the same form under both.
//
// The result is valid JSON, and its own canonical form. Unless the body is
// empty, it has less than 6 times its bytes (1e20 is written out), and time is
// O(n log n) in the worst case. The error is a *JSONError; dst is then returned
// as it came. It is safe for concurrent use.
func Canonical(dst, body []byte) ([]byte, error) {
	c := acquireCanonicalizer()
	defer c.release()
	if err := c.read(body); err != nil {
		return dst, err
	}
	return c.appendTo(dst), nil
}

// CheckJSON says whether body has a canonical form. The error is a *JSONError.
func CheckJSON(body []byte) error {
	c := acquireCanonicalizer()
	defer c.release()
	return c.read(body)
}

// canonicalizer holds one conversion and its scratch space. It works in two
// passes: read writes canonical tokens to out in the order they come and notes
// which objects have to be rearranged; appendTo copies out and does so, once
// for all levels. To rearrange each object as it closes is simpler, and moves
// the innermost bytes once for every level around them.
//
// The reading methods take the position of their token and return the position
// behind it, or -1 when they have set err.
type canonicalizer struct {
	body    []byte
	out     []byte
	depth   int
	open    []member // the members of the objects being read, innermost last
	kept    []member // the members of the rearranged objects, in canonical order
	moved   []moved  // the objects to rearrange, in the order they closed
	ranks   []rank   // the object being sorted
	digits  []byte   // the number being read
	message []byte   // what FingerprintOf hashes
	err     *JSONError
}

var canonicalizers = sync.Pool{New: func() any { return new(canonicalizer) }}

func acquireCanonicalizer() *canonicalizer {
	return canonicalizers.Get().(*canonicalizer)
}

// What the pool may hold per canonicalizer: enough for ordinary bodies, without
// letting one giant body pin its scratch space.
const (
	pooledBytes   = 64 << 10
	pooledMembers = 1 << 10
)

func (c *canonicalizer) release() {
	if c.forget() {
		canonicalizers.Put(c)
	}
}

// forget lets go of the caller's body, and says whether the pool may have c.
func (c *canonicalizer) forget() bool {
	c.body, c.err = nil, nil
	return cap(c.out)+cap(c.message)+cap(c.digits) <= pooledBytes &&
		cap(c.open)+cap(c.kept)+cap(c.ranks)+cap(c.moved) <= pooledMembers
}

// read is the first pass.
func (c *canonicalizer) read(body []byte) error {
	c.body, c.depth = body, 0
	c.out, c.open, c.kept, c.moved = c.out[:0], c.open[:0], c.kept[:0], c.moved[:0]
	if len(body) == 0 {
		c.out = append(c.out, "null"...)
		return nil
	}
	if len(body) > MaxJSONBytes {
		c.fail(MaxJSONBytes, "it exceeds 256 MiB", nextSmaller)
		return c.err
	}
	c.out = slices.Grow(c.out, len(body))
	i := c.value(skipSpace(body, 0))
	if i < 0 {
		return c.err
	}
	if i = skipSpace(body, i); i < len(body) {
		c.fail(i, "there is more data after the value", nextSyntax)
		return c.err
	}
	return nil
}

func (c *canonicalizer) fail(at int, problem, next string) int {
	c.err = &JSONError{Offset: at, Problem: problem, Next: next}
	return -1
}

// expected fails at i because something else had to be there.
func (c *canonicalizer) expected(at int, what string) int {
	if at >= len(c.body) {
		return c.fail(len(c.body), "it ends where "+what+" is expected", nextComplete)
	}
	if c.body[at] >= 0x80 {
		return c.fail(at, what+" is expected, not a byte beyond ASCII", nextUTF8)
	}
	return c.fail(at, what+" is expected", nextSyntax)
}

// value recurses at most MaxDepth deep: array and object count.
func (c *canonicalizer) value(i int) int {
	if i >= len(c.body) {
		return c.expected(i, "a value")
	}
	switch c.body[i] {
	case '"':
		i, _ = c.text(i)
		return i
	case '{':
		return c.object(i)
	case '[':
		return c.array(i)
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return c.number(i)
	case 't':
		return c.literal(i, "true")
	case 'f':
		return c.literal(i, "false")
	case 'n':
		return c.literal(i, "null")
	}
	return c.expected(i, "a value")
}

func (c *canonicalizer) literal(i int, word string) int {
	end := i + len(word)
	if end > len(c.body) || string(c.body[i:end]) != word {
		return c.fail(i, word+" is expected", nextSyntax)
	}
	c.out = append(c.out, word...)
	return end
}

func (c *canonicalizer) array(i int) int {
	if c.depth == MaxDepth {
		return c.fail(i, "arrays and objects are nested more than 128 deep", nextFlatten)
	}
	c.depth++
	b := c.body
	c.out = append(c.out, '[')
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		c.depth--
		c.out = append(c.out, ']')
		return i + 1
	}
	for {
		if i = c.value(i); i < 0 {
			return -1
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' && b[i] != ']' {
			return c.expected(i, "',' or ']'")
		}
		c.out = append(c.out, b[i])
		if b[i] == ']' {
			c.depth--
			return i + 1
		}
		i = skipSpace(b, i+1)
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

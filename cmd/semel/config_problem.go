package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A problem is one thing that is wrong with the configuration. Its text has no
// values in it that may be secrets.
type problem struct {
	From string `json:"from,omitempty"` // where it was said: FILE:LINE, a variable or a flag
	Key  string `json:"key,omitempty"`
	Text string `json:"problem"`
}

func (p problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.From != "" {
		s = p.From + ": " + s
	}
	return s
}

// problems are all that is wrong, as an error.
type problems []problem

func (p problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return "the configuration cannot be used:\n  " + strings.Join(lines, "\n  ")
}

// err is nil if there are none. Those of the file come first, from top to
// bottom, as a person mends them.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b problem) int { return cmp.Compare(a.line(), b.line()) })
	return p
}

func (p *problems) add(from, key, format string, args ...any) {
	*p = append(*p, problem{From: from, Key: key, Text: fmt.Sprintf(format, args...)})
}

// line is that of the file, or after all of them.
func (p problem) line() int {
	n, err := strconv.Atoi(p.From[strings.LastIndexByte(p.From, ':')+1:])
	if err != nil {
		return math.MaxInt
	}
	return n
}

// nearest returns the known name that somebody probably meant, or "".
func nearest(name string, known []string) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(name), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters must be changed, added, dropped or swapped with
// their neighbour (Damerau-Levenshtein, optimal string alignment).
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// unknownKey says what could have been meant.
func unknownKey(key string, known []string) string {
	if n := nearest(key, known); n != "" {
		return fmt.Sprintf("there is no such key; did you mean %q?", n)
	}
	known = slices.Sorted(slices.Values(known))
	return "there is no such key; there are " + strings.Join(known, ", ")
}

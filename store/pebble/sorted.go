package pebble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/semel-dev/semel/message"
)

// span names the rows that lie together in the LSM, whatever their shards.
type span struct {
	table message.Table
	gen   message.Generation
}

func (s span) compare(o span) int {
	return cmp.Or(cmp.Compare(s.table, o.table), cmp.Compare(s.gen, o.gen))
}

// run is one shard's valid entries of one span, to be sorted by their keys.
// Comparing keys means fetching them from all over the memory, so that each
// item carries what mostly decides: the first bytes behind what all keys of
// the run have in common.
type run struct {
	shard  message.Shard
	log    []byte
	items  []item
	first  []byte // some key of the run
	common int    // how many bytes all keys have in common with it
}

type item struct {
	rank   uint64
	offset uint32
}

// runs sorts a segment's valid entries into one run for each span.
func runs(shard message.Shard, s *segment, into map[span][]*run) {
	mine := map[span]*run{}
	var r *run
	var last span
	s.each(func(e entry, offset uint32) {
		if at := (span{e.table, e.gen}); r == nil || at != last {
			last = at
			if r = mine[at]; r == nil {
				r = &run{shard: shard, log: s.log, first: e.key, common: len(e.key)}
				mine[at] = r
				into[at] = append(into[at], r)
			}
		}
		giveWay(len(r.items))
		r.items = append(r.items, item{offset: offset})
		for r.common > 0 && (len(e.key) < r.common || !bytes.Equal(e.key[:r.common], r.first[:r.common])) {
			r.common = commonLen(r.first[:r.common], e.key)
		}
	})
	for _, r := range mine {
		r.sort()
	}
}

func commonLen(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func (r *run) sort() {
	for i := range r.items {
		giveWay(i)
		it := &r.items[i]
		e := r.entry(it)
		it.rank = rank(e.key[r.common:])
	}
	sortByRank(r.items)
	for rest := r.items; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].rank == rest[0].rank {
			n++
		}
		slices.SortFunc(rest[:n], func(a, b item) int {
			x, y := r.entry(&a), r.entry(&b)
			return bytes.Compare(x.key[r.common:], y.key[r.common:])
		})
		rest = rest[n:]
	}
}

// sortByRank is a radix sort from the last byte of the ranks to the first. A
// fold has many thousand items, for which it takes a fraction of what comparing
// does.
func sortByRank(items []item) {
	from, to := items, make([]item, len(items))
	for shift := 0; shift < 64; shift += 8 {
		var next [256]int // where the next item with that byte goes
		for i := range from {
			next[byte(from[i].rank>>shift)]++
		}
		if len(from) > 0 && next[byte(from[0].rank>>shift)] == len(from) {
			continue // they all have the same byte
		}
		sum := 0
		for b, n := range next {
			next[b] = sum
			sum += n
		}
		for _, it := range from {
			b := byte(it.rank >> shift)
			to[next[b]] = it
			next[b]++
		}
		from, to = to, from
	}
	if len(items) > 0 && &from[0] != &items[0] {
		copy(items, from)
	}
}

func (r *run) entry(it *item) entry {
	e, _ := parseEntry(r.log[it.offset:])
	return e
}

// rank orders like the first eight bytes: what is shorter may tie.
func rank(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

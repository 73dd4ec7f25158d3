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
	s.each(func(e *entry, offset uint32) {
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
	slices.SortFunc(r.items, func(a, b item) int {
		if a.rank != b.rank {
			return cmp.Compare(a.rank, b.rank)
		}
		x, y := r.entry(&a), r.entry(&b)
		return bytes.Compare(x.key[r.common:], y.key[r.common:])
	})
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

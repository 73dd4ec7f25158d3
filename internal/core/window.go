package core

import (
	"github.com/zeebo/xxh3"

	"github.com/semel-dev/semel/message"
)

// window remembers a hash of every identity seen since some time, so that most
// lookups of a new identity never reach the store: an identity that it does
// not contain was not seen since. A false match only costs a read. It keeps
// two halves and forgets the older one when the younger is full.
type window struct {
	limit      int // hashes in a half
	young, old hashSet
	youngSince message.Time // every identity seen at or after it is in young
	since      message.Time // every identity seen at or after it is contained
}

func newWindow(limit int, since message.Time) *window {
	return &window{limit: limit, since: since, youngSince: since}
}

// hash of an identity of an agent, both already in key form.
func hashIdentity(key []byte) uint64 { return xxh3.Hash(key) }

// provesNew says whether an identity certainly was not seen, if it cannot have
// been seen before notBefore.
func (w *window) provesNew(h uint64, notBefore message.Time) bool {
	if notBefore < w.since || w.young.contains(h) {
		return false
	}
	return notBefore >= w.youngSince || !w.old.contains(h)
}

func (w *window) add(h uint64, now message.Time) {
	if w.young.count >= w.limit {
		w.old.clear()
		w.old, w.young = w.young, w.old
		w.since, w.youngSince = w.youngSince, max(w.youngSince, now+1) // what was seen at now itself is in the half that goes first
	}
	w.young.add(h)
}

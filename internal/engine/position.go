package engine

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/semel-dev/semel/message"
)

// Position is a place in the change feed, as text that is safe in a URL and in
// a header. It is for the store that made it:
//
//	[format 1][incarnation 16][number of shards][sequence of shard 0] …
//
// in unpadded base64url, with numbers in the varints of encoding/binary. The
// sequence is that of the last unit of which nothing more need be told.
type Position string

// FromStart begins with the oldest change that is remembered.
const FromStart Position = "start"

const positionFormat = 1

var errPosition = errors.New("this is no position of a change feed; use what an event said, as it was, or nothing to begin now")

// place is where a follower is in one shard's feed: every row up to the
// sequence is done.
type place struct {
	seq message.Seq
	gen message.Generation // no later row lies in an earlier one; zero where that is not known
}

// positionOf writes a position. It uses buf.
func positionOf(inc message.Incarnation, places []place, buf []byte) (Position, []byte) {
	buf = append(append(buf[:0], positionFormat), inc[:]...)
	buf = binary.AppendUvarint(buf, uint64(len(places)))
	for _, p := range places {
		buf = binary.AppendUvarint(buf, uint64(p.seq))
	}
	return Position(base64.RawURLEncoding.EncodeToString(buf)), buf
}

// parse reads what positionOf wrote, and nothing else.
func (p Position) parse() (inc message.Incarnation, places []place, err error) {
	b, err := base64.RawURLEncoding.DecodeString(string(p))
	if err != nil || len(b) <= 1+len(inc) || b[0] != positionFormat {
		return inc, nil, errPosition
	}
	inc = message.Incarnation(b[1:])
	b = b[1+len(inc):]
	shards, n := binary.Uvarint(b)
	if b = b[max(n, 0):]; n <= 0 || shards > uint64(len(b)) {
		return inc, nil, errPosition
	}
	places = make([]place, shards)
	for i := range places {
		seq, n := binary.Uvarint(b)
		if n <= 0 {
			return inc, nil, errPosition
		}
		b, places[i].seq = b[n:], message.Seq(seq)
	}
	if again, _ := positionOf(inc, places, nil); again != p { // what is left over, or was written in another way
		return inc, nil, errPosition
	}
	return inc, places, nil
}

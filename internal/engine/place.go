package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// Place says where an entry of a listing stands, so that another listing can
// go on behind it: a part of what is listed (a shard, or a generation), and the
// row's key in it. It is opaque to everybody else. The empty place is the
// beginning.
type Place string

var errPlace = &message.Fault{Code: message.CodeInvalidRequest, Detail: "the place to go on from is none that this listing gave"}

func placeOf(part uint32, key []byte) Place {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(key)), part)
	return Place(base64.RawURLEncoding.EncodeToString(append(b, key...)))
}

// parse is false for what placeOf did not make. The key is nil at the beginning.
func (p Place) parse() (part uint32, key []byte, ok bool) {
	if p == "" {
		return 0, nil, true
	}
	b, err := base64.RawURLEncoding.DecodeString(string(p))
	if err != nil || len(b) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(b), b[4:], true
}

// behind is where a range goes on after a key. One outside the range is refused:
// a place may come from anybody, and must not show what the listing does not.
func behind(r store.Range, key []byte) ([]byte, bool) {
	if bytes.Compare(key, r.From) < 0 || r.To != nil && bytes.Compare(key, r.To) >= 0 {
		return nil, false
	}
	return append(key, 0), true
}

// goOn leaves out of ranges, which are the open rows and then generations, the
// newest first, what comes before a place. A generation that was dropped
// meanwhile had nothing but what would be dropped by now.
func goOn(ranges []store.Range, after Place) ([]store.Range, error) {
	part, key, ok := after.parse()
	switch {
	case !ok:
		return nil, errPlace
	case key == nil:
		return ranges, nil
	}
	for i, r := range ranges {
		switch {
		case uint32(r.Gen) == part:
			if r.From, ok = behind(r, key); !ok {
				return nil, errPlace
			}
			return append([]store.Range{r}, ranges[i+1:]...), nil
		case part != 0 && i > 0 && uint32(r.Gen) < part:
			return ranges[i:], nil
		}
	}
	return nil, nil
}

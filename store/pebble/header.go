package pebble

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/store"
)

// The header row says what the store is:
//
//	[format 1][incarnation 16][shards 4][created, Unix milliseconds 8][CRC-32C 4]
//
// Its format is that of all rows: a change of any layout raises it.
const (
	headerFormat = 1
	headerSize   = 1 + 16 + 4 + 8
)

type header struct {
	incarnation message.Incarnation
	shards      int
	created     time.Time
}

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerSize+sealSize), headerFormat)
	b = append(b, h.incarnation[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(h.shards))
	b = binary.BigEndian.AppendUint64(b, uint64(h.created.UnixMilli()))
	return seal(headerKey, b)
}

func parseHeader(row []byte) (header, error) {
	const what = "the store's header row"
	value, err := unseal(what, headerKey, row, headerFormat, headerSize)
	if err != nil {
		return header{}, err
	}
	h := header{
		incarnation: message.Incarnation(value[1:17]),
		shards:      int(binary.BigEndian.Uint32(value[17:])),
		created:     time.UnixMilli(int64(binary.BigEndian.Uint64(value[21:]))),
	}
	if h.shards < 1 || h.shards > 1<<16 {
		return header{}, fmt.Errorf("%w: %s says %d shards", store.ErrCorrupt, what, h.shards)
	}
	return h, nil
}

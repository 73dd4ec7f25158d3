package pebble

import (
	"encoding/binary"
	"fmt"

	"github.com/semel-dev/semel/message"
)

// A version row:
//
//	[format 1][epoch 8][sequence 8][CRC-32C 4]
const (
	versionFormat = 1
	versionSize   = 1 + 8 + 8
)

// putVersion writes a whole version row: key has versionKeyLen bytes and value
// versionSize + sealSize.
func putVersion(key, value []byte, shard message.Shard, v message.Version) {
	putVersionKey(key, shard)
	value[0] = versionFormat
	binary.BigEndian.PutUint64(value[1:], uint64(v.Epoch))
	binary.BigEndian.PutUint64(value[9:], uint64(v.Seq))
	binary.BigEndian.PutUint32(value[versionSize:], checksum(key, value[:versionSize]))
}

// parseVersion reads a shard's version row.
func parseVersion(shard message.Shard, row []byte) (message.Version, error) {
	value, err := unseal(fmt.Sprintf("the version row of shard %d", shard), versionKey(shard), row, versionFormat, versionSize)
	if err != nil {
		return message.Version{}, err
	}
	return message.Version{
		Epoch: message.Epoch(binary.BigEndian.Uint64(value[1:])),
		Seq:   message.Seq(binary.BigEndian.Uint64(value[9:])),
	}, nil
}

package pebble

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/semel-dev/semel/store"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealSize is what seal appends.
const sealSize = 4

// checksum covers where a value is and what it is, so that an intact value in
// the wrong place is found out too.
func checksum(place, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(place, castagnoli), castagnoli, value)
}

// seal appends the checksum of the value at its place.
func seal(place, value []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(place, value))
}

// unseal checks what seal wrote: the size, the checksum and the format byte in
// front. What names the thing in errors. A format above the known one is not
// corruption but a newer program's work, and its size is not judged.
func unseal(what string, place, sealed []byte, format byte, size int) ([]byte, error) {
	if len(sealed) < 1+sealSize {
		return nil, fmt.Errorf("%w: %s has %d bytes, too few to be whole", store.ErrCorrupt, what, len(sealed))
	}
	value, sum := sealed[:len(sealed)-sealSize], binary.BigEndian.Uint32(sealed[len(sealed)-sealSize:])
	if got := checksum(place, value); got != sum {
		return nil, fmt.Errorf("%w: the checksum of %s is %08x, not the %08x that was stored", store.ErrCorrupt, what, got, sum)
	}
	if value[0] > format {
		return nil, fmt.Errorf("%s has format %d, and this program knows formats up to %d: it was written by a newer version; run that one", what, value[0], format)
	}
	if value[0] != format || len(value) != size {
		return nil, fmt.Errorf("%w: %s has format %d and %d bytes, not format %d and %d bytes", store.ErrCorrupt, what, value[0], len(value), format, size)
	}
	return value, nil
}

package core

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/semel-dev/semel/message"
)

// Every value that the machine stores is sealed:
//
//	+--------+-----------------------------+-----------+
//	| format | fields, in protobuf's wire  | CRC-32C   |
//	| 1 byte | encoding, zero ones left out| 4 bytes LE|
//	+--------+-----------------------------+-----------+
//
// The checksum covers the row's key as well, so a value that turns up under
// another key is found out. Unknown fields are skipped: a field may be added
// without a new format.

const format = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CorruptError names a row whose value is not what was written.
type CorruptError struct {
	Row    string
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("row %s is corrupt: %s; restore a backup, or check the device", e.Row, e.Reason)
}

func rowName(k message.RowKey) string {
	if k.Gen != 0 {
		return fmt.Sprintf("%d/%d/%q", k.Table, k.Gen, k.Key)
	}
	return fmt.Sprintf("%d/%q", k.Table, k.Key)
}

// checksum covers the key and the sealed bytes before it.
func checksum(key, sealed []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, sealed)
}

// begin starts a sealed value at the end of dst; seal completes it.
func begin(dst []byte) []byte { return append(dst, format) }

func seal(b []byte, start int, key []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, checksum(key, b[start:]))
}

// unseal checks a value and returns its fields.
func unseal(k message.RowKey, value []byte) ([]byte, error) {
	if len(value) < 5 {
		return nil, &CorruptError{rowName(k), fmt.Sprintf("only %d bytes", len(value))}
	}
	if value[0] != format {
		return nil, &CorruptError{rowName(k), fmt.Sprintf("format %d is not known to this version", value[0])}
	}
	body := len(value) - 4
	if binary.LittleEndian.Uint32(value[body:]) != checksum(k.Key, value[:body]) {
		return nil, &CorruptError{rowName(k), "the checksum does not match"}
	}
	return value[1:body], nil
}

func putUint(b []byte, f protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, f, protowire.VarintType), v)
}

func putBytes[T string | []byte](b []byte, f protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, f, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// putNested writes a field whose value is itself made of fields. It is written
// even when empty: presence means something.
func putNested(b []byte, f protowire.Number, write func([]byte) []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, f, protowire.BytesType), write(nil))
}

// field is one field read back: num with either val or bytes.
type field struct {
	num   protowire.Number
	val   uint64
	bytes []byte
}

// readFields calls each for every field. The bytes alias b.
func readFields(b []byte, each func(f field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{num: num}
		switch typ {
		case protowire.VarintType:
			f.val, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// decode unseals a row and reads its fields, and names the row in any error.
func decode(k message.RowKey, value []byte, each func(f field) error) error {
	b, err := unseal(k, value)
	if err != nil {
		return err
	}
	if err := readFields(b, each); err != nil {
		return &CorruptError{rowName(k), err.Error()}
	}
	return nil
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte(nil), b...)
}

// idOf reads an ID field; a wrong length gives the zero ID and an error.
func idOf(b []byte) (message.ID, error) {
	if len(b) != len(message.ID{}) {
		return message.ID{}, fmt.Errorf("an identity of %d bytes", len(b))
	}
	return message.ID(b), nil
}

package allocation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"strings"
	"time"
)

// Reservation is what somebody holds of a pool.
type Reservation struct {
	Units     int64     `json:"units"`
	Holder    string    `json:"holder"`
	Expires   time.Time `json:"expires,omitzero"` // zero once it is confirmed
	Confirmed bool      `json:"confirmed"`
}

func (r Reservation) expired(now time.Time) bool { return !r.Confirmed && !now.Before(r.Expires) }

// buckets is a power of two: enough to make one of a full pool short (16 KiB),
// few enough to make the value small (1 KiB), since each step copies it.
const buckets = 64

// Reservations are those of a pool, by id. As JSON they are an object. Copying
// the value copies all of it. The zero value is empty.
//
// A map would have to be encoded after each step, and decoded after each
// rejection, which takes tens of milliseconds for thousands of reservations.
// Here each is kept as its JSON, in immutable strings:
//
//	"1a-8f3b…":{"units":2,"holder":"job-1","expires":"…","confirmed":false},"2c-…":{…},
//
// A change makes one new string, of the bucket that it falls into; encoding
// copies the strings; and to undo a step is to copy the value back.
type Reservations struct {
	bucket [buckets]string // a comma behind each entry
	count  int
	bytes  int // of all entries
}

// Len is how many there are.
func (r *Reservations) Len() int { return r.count }

// Get finds a reservation.
func (r *Reservations) Get(id string) (Reservation, bool) {
	b, at := r.find(id)
	if at < 0 {
		return Reservation{}, false
	}
	found, _ := decodeEntry(b, at, id)
	return found, true
}

// All ranges over the reservations, in no particular order.
func (r *Reservations) All() iter.Seq2[string, Reservation] {
	return func(yield func(string, Reservation) bool) {
		for _, b := range r.bucket {
			for at := 0; at < len(b); {
				id := b[at+1 : at+1+strings.IndexByte(b[at+1:], '"')]
				one, size := decodeEntry(b, at, id)
				if !yield(id, one) {
					return
				}
				at += size
			}
		}
	}
}

// find returns the id's bucket, and where in it its entry begins; -1 if there
// is none. No holder can be taken for it: within a string a quote has a
// backslash before it, and no id ends with one.
func (r *Reservations) find(id string) (string, int) {
	b := r.bucket[bucketOf(id)]
	if !isID(id) {
		return b, -1
	}
	return b, strings.Index(b, `"`+id+`":{`)
}

// add adds an entry of encodeEntry. Its id must be new.
func (r *Reservations) add(id, entry string) {
	r.bucket[bucketOf(id)] += entry
	r.count++
	r.bytes += len(entry)
}

// remove removes a reservation, which must be there.
func (r *Reservations) remove(id string) {
	b, at := r.find(id)
	_, size := decodeEntry(b, at, id)
	r.bucket[bucketOf(id)] = b[:at] + b[at+size:]
	r.count--
	r.bytes -= size
}

// encodeEntry makes the entry of a reservation.
func encodeEntry(id string, r Reservation) (string, error) {
	b, err := json.Marshal(r)
	return `"` + id + `":` + string(b) + ",", err
}

// decodeEntry reads the entry that begins at a place of a bucket, and says how
// many bytes it has.
func decodeEntry(bucket string, at int, id string) (Reservation, int) {
	var r Reservation
	begin := len(`"":`) + len(id)
	d := json.NewDecoder(strings.NewReader(bucket[at+begin:]))
	if err := d.Decode(&r); err != nil {
		panic(fmt.Sprintf("allocation: the entry of reservation %q, which encodeEntry wrote, cannot be decoded: %v", id, err))
	}
	return r, begin + int(d.InputOffset()) + len(",")
}

// bucketOf spreads ids. It is part of no format, but for the order in which
// the reservations are written.
func bucketOf(id string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, id) // never fails
	return int(h.Sum32() % buckets)
}

// isID says whether newID could have made the id.
func isID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return id != ""
}

// append appends the JSON.
func (r *Reservations) append(dst []byte) []byte {
	dst = append(dst, '{')
	for _, b := range r.bucket {
		dst = append(dst, b...)
	}
	if r.count > 0 {
		dst = dst[:len(dst)-1] // the last comma
	}
	return append(dst, '}')
}

// MarshalJSON implements json.Marshaler.
func (r Reservations) MarshalJSON() ([]byte, error) { return r.append(nil), nil }

// UnmarshalJSON implements json.Unmarshaler. It keeps the order in which the
// reservations were written.
func (r *Reservations) UnmarshalJSON(data []byte) error {
	*r = Reservations{}
	d := json.NewDecoder(bytes.NewReader(data))
	switch begin, err := d.Token(); {
	case err != nil:
		return err
	case begin == nil:
		return nil // null
	case begin != json.Delim('{'):
		return fmt.Errorf("the reservations are no object, but begin with %v", begin)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		id, _ := key.(string)
		if _, at := r.find(id); !isID(id) || at >= 0 {
			return fmt.Errorf("the id %q is no reservation's, or there twice", id)
		}
		var one Reservation
		if err := d.Decode(&one); err != nil {
			return fmt.Errorf("reservation %s: %w", id, err)
		}
		entry, err := encodeEntry(id, one)
		if err != nil {
			return fmt.Errorf("reservation %s: %w", id, err)
		}
		r.add(id, entry)
	}
	_, err := d.Token()
	return err
}

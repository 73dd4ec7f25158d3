package allocation

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// The bounds of what a caller may ask for.
const (
	DefaultTTL = 10 * time.Minute
	MaxTTL     = 24 * time.Hour
	MaxHolder  = 255 // bytes
)

// Reserve is the body of reserve.
type Reserve struct {
	Units  int64  `json:"units"`
	Holder string `json:"holder"`        // for whom, for people and audits
	TTL    string `json:"ttl,omitempty"` // a Go duration; DefaultTTL if empty
}

// Held is the body of confirm and release: which reservation.
type Held struct {
	Reservation string `json:"reservation"`
}

// Reserved is the reply of reserve, confirm and release: the reservation, and
// what is free after the step.
type Reserved struct {
	Reservation string `json:"reservation"`
	Units       int64  `json:"units"`
	Free        int64  `json:"free"`
}

// expire refers to the step by name: a handler cannot use a variable whose
// initialization needs the handler.
var expire = semel.RefTo[Held, struct{}](Type, "expire")

// Reserve takes units for a holder until they are released, or the time to
// confirm them is over.
func (p *Pool) Reserve(s *semel.Step, in Reserve) (Reserved, error) {
	ttl, err := in.check()
	if err != nil {
		return Reserved{}, err
	}
	if in.Units > p.Free {
		return Reserved{}, semel.Reject(CodeInsufficientCapacity, "%d units are free, less than %d", p.Free, in.Units)
	}
	id := newID(s)
	expires := s.Now().Add(ttl).Add(time.Millisecond - 1).Truncate(time.Millisecond) // milliseconds make a short text
	entry, err := encodeEntry(id, Reservation{Units: in.Units, Holder: in.Holder, Expires: expires})
	if err != nil {
		return Reserved{}, err
	}
	if len(entry) > p.room() {
		return Reserved{}, semel.Reject(CodeTooManyReservations, "the pool has no room for one more than its %d reservations: release some, or use another pool", p.Reservations.Len())
	}
	p.Reservations.add(id, entry)
	p.Free -= in.Units
	expire.After(s, id, expires.Sub(s.Now()), Held{Reservation: id})
	return Reserved{Reservation: id, Units: in.Units, Free: p.Free}, nil
}

// Confirm makes a reservation stay until it is released.
func (p *Pool) Confirm(s *semel.Step, in Held) (Reserved, error) {
	r, err := p.held(s, in)
	if err != nil {
		return Reserved{}, err
	}
	if !r.Confirmed {
		r.Confirmed, r.Expires = true, time.Time{}
		entry, err := encodeEntry(in.Reservation, r)
		if err != nil {
			return Reserved{}, err
		}
		p.Reservations.remove(in.Reservation)
		p.Reservations.add(in.Reservation, entry)
		s.CancelTimer(in.Reservation)
	}
	return Reserved{Reservation: in.Reservation, Units: r.Units, Free: p.Free}, nil
}

// Release gives the units of a reservation back, be it confirmed or not.
func (p *Pool) Release(s *semel.Step, in Held) (Reserved, error) {
	r, err := p.held(s, in)
	if err != nil {
		return Reserved{}, err
	}
	p.Reservations.remove(in.Reservation)
	p.Free += r.Units
	if !r.Confirmed {
		s.CancelTimer(in.Reservation)
	}
	return Reserved{Reservation: in.Reservation, Units: r.Units, Free: p.Free}, nil
}

// Expire is what the timer of a reservation brings. Anybody can call the
// action, so it believes only the clock; and its message may have been on its
// way when the reservation was confirmed or released.
func (p *Pool) Expire(s *semel.Step, in Held) (struct{}, error) {
	r, ok := p.Reservations.Get(in.Reservation)
	if ok && r.expired(s.Now()) {
		p.Reservations.remove(in.Reservation)
		p.Free += r.Units
	}
	return struct{}{}, nil
}

// held finds a reservation that has not expired.
func (p *Pool) held(s *semel.Step, in Held) (Reservation, error) {
	r, ok := p.Reservations.Get(in.Reservation)
	if !ok {
		return r, semel.Reject(CodeUnknownReservation, "there is no reservation %.64q: it was released, or it expired, or never was", in.Reservation)
	}
	if r.expired(s.Now()) {
		return r, semel.Reject(CodeUnknownReservation, "the reservation %q expired at %s", in.Reservation, r.Expires.Format(time.RFC3339Nano))
	}
	return r, nil
}

// check refuses what is not meant, and reads the ttl.
func (in Reserve) check() (time.Duration, error) {
	if in.Units <= 0 {
		return 0, semel.Reject(CodeInvalidUnits, "the units are %d; they must be positive", in.Units)
	}
	if err := message.CheckName("holder", in.Holder); err != nil {
		return 0, semel.Reject(CodeInvalidHolder, "%v", err)
	}
	if len(in.Holder) > MaxHolder {
		return 0, semel.Reject(CodeInvalidHolder, "the holder has %d bytes; at most %d are allowed", len(in.Holder), MaxHolder)
	}
	if in.TTL == "" {
		return DefaultTTL, nil
	}
	ttl, err := time.ParseDuration(in.TTL)
	if err != nil {
		return 0, semel.Reject(CodeInvalidTTL, `the ttl is %.64q; it must be a duration like "90s" or "10m"`, in.TTL)
	}
	if ttl <= 0 || ttl > MaxTTL {
		return 0, semel.Reject(CodeInvalidTTL, "the ttl is %v; it must be positive and at most %v", ttl, MaxTTL)
	}
	return ttl, nil
}

// newID is the id of a reservation. A key that is used again after its
// retention makes Step.NewID return what it returned at first, while that
// reservation may still stand; no two steps find the same version. The rest
// tells it from those of a pool of the same name that was deleted.
func newID(s *semel.Step) string {
	id := s.NewID()
	return strconv.FormatUint(s.Version(), 16) + "-" + hex.EncodeToString(id[:6])
}

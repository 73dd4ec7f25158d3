package allocation

import (
	"strconv"

	"github.com/semel-dev/semel"
)

// The codes of the pool's rejections.
const (
	CodeCapacityInUse        = "capacity_in_use"
	CodeInsufficientCapacity = "insufficient_capacity"
	CodeInvalidCapacity      = "invalid_capacity"
	CodeInvalidHolder        = "invalid_holder"
	CodeInvalidTTL           = "invalid_ttl"
	CodeInvalidUnits         = "invalid_units"
	CodeTooManyReservations  = "too_many_reservations"
	CodeUnknownReservation   = "unknown_reservation"
)

// MaxState bounds the JSON of a pool, in bytes. It is the default of
// semel.Config.MaxState, which must not be less.
const MaxState = 1 << 20

// Pool is the state of a pool. Its zero value has no capacity.
type Pool struct {
	Capacity     int64        `json:"capacity"`
	Free         int64        `json:"free"` // what nobody has reserved
	Reservations Reservations `json:"reservations"`
}

// Configure is the body of configure: the capacity, in units.
type Configure struct {
	Capacity int64 `json:"capacity"`
}

// Configured is the reply of configure.
type Configured struct {
	Capacity int64 `json:"capacity"`
	Free     int64 `json:"free"`
}

// Configure sets the capacity, at first and later.
func (p *Pool) Configure(_ *semel.Step, in Configure) (Configured, error) {
	if in.Capacity < 0 {
		return Configured{}, semel.Reject(CodeInvalidCapacity, "the capacity is %d; it must not be negative", in.Capacity)
	}
	reserved := p.Capacity - p.Free
	if in.Capacity < reserved {
		return Configured{}, semel.Reject(CodeCapacityInUse, "%d units are reserved, more than %d", reserved, in.Capacity)
	}
	p.Capacity, p.Free = in.Capacity, in.Capacity-reserved
	return Configured{Capacity: p.Capacity, Free: p.Free}, nil
}

// frame bounds what the JSON of a pool has besides its reservations.
const frame = 128

// room is for how many bytes of reservations the pool has room.
func (p *Pool) room() int { return MaxState - frame - p.Reservations.bytes }

// AppendJSON implements semel.JSONAppender: the JSON of all reservations is
// there already.
func (p *Pool) AppendJSON(dst []byte) ([]byte, error) {
	dst = strconv.AppendInt(append(dst, `{"capacity":`...), p.Capacity, 10)
	dst = strconv.AppendInt(append(dst, `,"free":`...), p.Free, 10)
	dst = p.Reservations.append(append(dst, `,"reservations":`...))
	return append(dst, '}'), nil
}

var _ semel.JSONAppender = (*Pool)(nil)

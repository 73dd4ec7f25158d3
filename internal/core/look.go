package core

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/semel-dev/semel/message"
)

// Look is the moment at which a doubt was read, in the time of one session of
// its shard: other sessions have other clocks, and calls that they let go.
type Look struct {
	Epoch message.Epoch
	At    message.Time
}

// Look is this moment. Who looks at the outside later has seen all that was
// there by now.
func (s *Shard) Look(now message.Time) Look {
	s.advanceClock(now)
	return Look{s.epoch, s.now}
}

// String is what people give back.
func (l Look) String() string { return fmt.Sprintf("%d-%d", l.Epoch, l.At) }

// ParseLook reads what String wrote, and says whether it is that.
func ParseLook(text string) (l Look, ok bool) {
	epoch, at, _ := strings.Cut(text, "-")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	t, err2 := strconv.ParseUint(at, 10, 63)
	l = Look{message.Epoch(e), message.Time(t)}
	return l, err1 == nil && err2 == nil && l.String() == text && e > 0
}

// settled says whether no call of an effect that was made could still arrive
// at that moment.
func (s *Shard) settled(e *effectRecord, l Look) bool {
	return l.Epoch == s.epoch && l.At >= s.settleTime(e)
}

package message

import "fmt"

// Status says where a message, or an effect, stands.
type Status uint8

// The statuses. Done, Rejected and Unknown are final: they are settled and
// replayed. The others are not settled, and never expire. The numbers are part
// of the on-disk format.
const (
	StatusDone     Status = 1 // it took effect; the reply is recorded
	StatusRejected Status = 2 // the answer is no, recorded with its code
	StatusUnknown  Status = 3 // it may have taken effect, nobody can know, and it will not be tried again
	StatusInFlight Status = 4 // accepted, not finished
	StatusInDoubt  Status = 5 // an effect that may have happened waits for a person or a probe
	StatusDead     Status = 6 // accepted, failed for good, kept among the dead letters
	StatusNotDone  Status = 7 // given up, and certain not to have happened
)

var statusNames = [...]string{
	StatusDone: "done", StatusRejected: "rejected", StatusUnknown: "unknown", StatusInFlight: "in_flight",
	StatusInDoubt: "in_doubt", StatusDead: "dead", StatusNotDone: "not_done",
}

// String is the status as the API writes it.
func (s Status) String() string {
	if int(s) < len(statusNames) && statusNames[s] != "" {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Settled says whether the status is final.
func (s Status) Settled() bool { return s >= StatusDone && s <= StatusUnknown }

// Outcome is what the dedup log records of a message.
type Outcome struct {
	Status      Status
	Action      string
	Fingerprint Fingerprint // zero for messages without a key
	Body        []byte      // the reply, byte for byte; of a rejection, its data
	Code        string      // of a rejection
	Detail      string
	FirstSeen   Time
	Settled     Time
	Attempts    int
	Doubt       ID // the effect in doubt, or the dead letter, that it waits for
	ReplyTo     *ReplyTo
}

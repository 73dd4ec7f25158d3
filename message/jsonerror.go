package message

import "strconv"

// JSONError refuses a body that has no single meaning as JSON. Retrying the
// same bytes never helps.
type JSONError struct {
	Offset  int    // where in the body, in bytes from 0
	Problem string // what is wrong there
	Next    string // what the sender can do
}

// Error names the place, the problem and the remedy. It quotes nothing of the
// body: errors reach logs, and bodies may hold secrets.
func (e *JSONError) Error() string {
	return "the body is not acceptable JSON: at byte " + strconv.Itoa(e.Offset) + ", " + e.Problem + "; " + e.Next
}

// The remedies, shared by the problems that have the same one.
const (
	nextSyntax    = "send one JSON value as RFC 8259 defines it"
	nextComplete  = "send the whole value; the body may have been cut off"
	nextUTF8      = "encode the body as UTF-8, without a byte order mark"
	nextSurrogate = `escape such a character as its two surrogates (\ud83d\ude00), or write it as UTF-8`
	nextDuplicate = "send each member once: parsers disagree on which of two wins"
	nextFlatten   = "flatten the value"
	nextExponent  = "send such a number as a string"
	nextSmaller   = "send a smaller body and refer to the data instead"
)

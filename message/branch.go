package message

// Branch makes a message a phase of a transaction: the agent runs the action's
// step as far as its promise, or hears what becomes of it.
type Branch struct {
	Tx    string
	Phase Phase
}

// Phase is what an agent is to do about its branch of a transaction.
type Phase uint8

// The phases. The numbers are part of the on-disk format.
const (
	Prepare Phase = 1 // run the action, keep all consequences aside, take no other message
	Commit  Phase = 2 // let them take effect
	Abort   Phase = 3 // forget them
)

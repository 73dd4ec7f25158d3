// Package message holds the nouns that every other room of the house speaks:
// agents, messages and their identity, outcomes, and the units in which a
// shard's changes are committed. It is plain data: no I/O, no clock, no
// goroutines, and it imports nothing of this module.
//
// Start with Message (what an agent consumes), Outcome (what is recorded of
// it) and Unit (what becomes durable at once).
package message

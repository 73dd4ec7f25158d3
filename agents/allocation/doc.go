// Package allocation is a ready-made agent: a pool of units (seats, licences,
// slots of a machine) that are reserved, confirmed and released. It is written
// on the public API only, and is also an example of it.
//
// A reservation that is not confirmed expires, by a durable timer; a confirmed
// one stays until it is released. At every moment, in every crash, whatever
// comes twice or late:
//
//  1. Free + the units of all reservations = Capacity.
//  2. Free is never negative: nothing is allocated that is not there.
//  3. The units of a reservation come back once: with its release or with its
//     expiry, whichever step is first; then it is gone, and the other finds
//     nothing.
//
// # Expiry
//
// A reservation lives for the ttl that reserve was asked for, which is a Go
// duration ("90s", "10m"), more than 0 and at most [MaxTTL]; [DefaultTTL] if
// none is given. From Expires on it cannot be confirmed or released any more,
// which is decided by the step's clock: if its timer comes late, as after a
// restart, its units are not free until then, but nobody can count on them
// either.
//
// # How many reservations fit
//
// The state of a pool, with all reservations, is one row of at most [MaxState]
// bytes. A reservation takes about 100 bytes, the JSON of its holder, and the
// digits of its units: 1 MiB holds about 9,800 with holders of 8 bytes, 7,500
// with holders of 40 and 2,960 with the longest, [MaxHolder] bytes of plain
// text. What would not fit is rejected with too_many_reservations; confirming
// and releasing never make the state larger. If Config.MaxState is below
// MaxState, such a reserve is not done (ErrHandlerFailed) rather than rejected.
//
// A step copies the pool's JSON, but encodes and decodes no more than the
// reservation that it is about; each unit of the store that changes the pool
// writes the JSON once, however many steps it has. So a pool of thousands is
// fast when many callers use it at once, but a call that is alone writes the
// whole row: keep separate things in separate pools.
//
// # Deletion
//
// Deleting a pool ([semel.Agent.Delete]) forgets its reservations and their
// timers. Confirming or releasing one of them is then rejected.
package allocation

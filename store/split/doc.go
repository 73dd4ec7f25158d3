// Package split makes one store of several, its parts: each shard lies in the
// part that a map names. It is how a cluster grows beyond one database. No
// commit touches two parts, and none is different from what it is in a store of
// one part; only messages go from part to part, and they are pulled by cursor as
// always.
//
//		store, err := semel.Open(ctx, split.Of(
//			split.Part{Name: "a", Shards: split.Range(0, 15), Opener: postgres.At(dsnA, postgres.Options{Shards: 32})},
//			split.Part{Name: "b", Shards: split.Range(16, 31), Opener: postgres.At(dsnB, postgres.Options{Shards: 32})},
//		), config)
//
//	 1. Shards have the same numbers everywhere. Each part has room for all of
//	    them, and only those that it holds are ever opened in it: to move a shard is
//	    to copy its rows.
//	 2. Each part has a record of the whole, its charter: the map, its own name, and
//	    the incarnations of all parts. It is compared at every opening: another
//	    database, one of another map, or one that was restored, is refused, and so is
//	    a part that is opened by itself.
//	 3. A shard that is used in a part that does not hold it is refused too: whoever
//	    changed the map has not moved it.
//	 4. A session reads the outboxes of its own part as ever. From those of other
//	    parts it takes what is durable there (store.Part); no messages go by it while
//	    such a part is away (store.ErrAway), and the session does not suffer from it.
//	 5. What a destination has consumed durably, its word has removed in the
//	    source's part.
//	 6. Each part has leases of its own, by its own clock (store.Divided). A node
//	    runs shards of the parts that it reaches.
//
// A part that is away when the store is opened is opened later, as soon as it can
// be; until then its shards fail with store.ErrUnavailable. The first opening,
// which makes the charters, needs all parts.
//
// The package imports store and message and nothing else of this module. Start
// with Of, then read charter.go and session.go.
package split

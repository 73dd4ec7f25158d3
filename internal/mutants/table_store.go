package mutants

// The embedded store.
var storeMutants = []Mutant{
	{
		Name:  "store-no-version-fence",
		Fault: "a commit is compared with the shard's epoch only",
		File:  "store/pebble/commit.go",
		Old:   "v.Epoch != at.Epoch || v.Seq != at.Seq+1 {",
		New:   "v.Epoch != at.Epoch {",
		By:    shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-no-epoch-fence",
		Fault: "a commit is compared with the shard's sequence only",
		File:  "store/pebble/commit.go",
		Old:   "v.Epoch != at.Epoch || v.Seq != at.Seq+1 {",
		New:   "v.Seq != at.Seq+1 {",
		By:    shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-epoch-not-raised",
		Fault: "opening a shard does not raise its epoch",
		File:  "store/pebble/store.go",
		Old: `	v.Epoch++
`,
		New: "",
		By:  shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-epoch-not-durable",
		Fault: "the raised epoch is not durable when a session begins",
		File:  "store/pebble/store.go",
		Old:   "st.db.Set(key[:], value[:], pebble.Sync)",
		New:   "st.db.Set(key[:], value[:], pebble.NoSync)",
		By:    shortly("./store/pebble", "TestRaisedEpochIsDurable"),
	},
	{
		Name:  "store-acknowledges-after-failure",
		Fault: "a commit is acknowledged after a sync of the device failed",
		File:  "store/pebble/commit.go",
		Old: `		err = st.failed.broken()
	}
	if err != nil {
		return fmt.Errorf("commit unit`,
		New: `		err = nil
	}
	if err != nil {
		return fmt.Errorf("commit unit`,
		By: shortly("./store/pebble", "TestNoAcknowledgementAfterFailure"),
	},
	{
		Name:  "store-watermark-ahead",
		Fault: "the watermark tells of units that are not durable",
		File:  "store/pebble/commit.go",
		Old: `	s.shard.version = v
	s.store.folds.grew(`,
		New: `	s.shard.version = v
	s.shard.durable.raise(v)
	s.store.mark.touch()
	s.store.folds.grew(`,
		By: shortly("./store/pebble", "TestCrashAtEveryOperation"),
	},
	{
		Name:  "store-loss-not-noticed",
		Fault: "what was durable and is gone is not noticed when the store is opened",
		File:  "store/pebble/open.go",
		Old: `	if err := m.missing(versions); err != nil {
		return err
	}
`,
		New: "",
		By:  shortly("./store/pebble", "TestWatermarkTellsOfLoss"),
	},
	{
		Name:  "store-mark-not-synced",
		Fault: "the mark takes the old one's place before it is on the device",
		File:  "store/pebble/mark.go",
		Old: `	if _, err = f.Write(m.encode()); err == nil {
		err = f.Sync()
	}
`,
		New: `	_, err = f.Write(m.encode())
`,
		By: shortly("./store/pebble", "TestCrashAtEveryOperation"),
	},
	{
		Name:  "store-unclean-taken-for-clean",
		Fault: "a store whose process died is taken for one that was closed",
		File:  "store/pebble/open.go",
		Old: `	st.clean = m.state == stateClosed
`,
		New: `	st.clean = m.state != stateEnd
`,
		By: shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-no-checksums",
		Fault: "a damaged row of the store's own is believed",
		File:  "store/pebble/checksum.go",
		Old: `	if got := checksum(place, value); got != sum {
`,
		New: `	if got := checksum(place, value); got != sum && len(value) == 0 {
`,
		By: shortly("./store/pebble", "TestGarbageInOwnRows"),
	},
	{
		Name:  "store-missing-unit-not-noticed",
		Fault: "a unit row that is missing is not noticed when they are read back",
		File:  "store/pebble/replay.go",
		Old: `		if want := st.shards[i].version.Seq; seq != want {
`,
		New: `		if want := st.shards[i].version.Seq; seq > want {
`,
		By: shortly("./store/pebble", "TestGarbageInUnitRows"),
	},
	{
		Name:  "store-drops-one-more",
		Fault: "maintenance drops the generation at the horizon too",
		File:  "store/pebble/maintain.go",
		Old: `	if r.Below > st.upkeep.dropped[r.Shard] {
`,
		New: `	if r.Below > 0 {
		r.Below++
	}
	if r.Below > st.upkeep.dropped[r.Shard] {
`,
		By: shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-purges-one-more",
		Fault: "a message that was not consumed is purged from its outbox",
		File:  "store/pebble/maintain.go",
		Old:   "append(outboxKey(o.from, o.to, position), 0), nil)",
		New:   "append(outboxKey(o.from, o.to, position+1), 0), nil)",
		By:    shortly("./store/pebble", "TestStoreInMemory"),
	},
	{
		Name:  "store-gap-in-an-outbox",
		Fault: "a message that is missing from an outbox is passed over",
		File:  "store/pebble/inbox.go",
		Old: `		if len(key) != outboxKeyLen || binary.BigEndian.Uint64(key[5:]) != next {
`,
		New: `		if len(key) != outboxKeyLen || binary.BigEndian.Uint64(key[5:]) < next {
`,
		By: shortly("./store/pebble", "TestStoreInMemory"),
	},
}

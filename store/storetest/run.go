// Package storetest is the suite that every store passes: what package store
// promises, one test for each sentence of it. A store's own test calls Run
// with a Harness, and declares there where it differs; what a declaration
// rules out is skipped with its reason, never silently.
//
// The tests name the laws they check. Those of the files are: commit.go
// (atomicity, order, the fence), rows.go (reads and writes), lifecycle.go
// (opening, closing, dying, backups), outbox.go (pulling and purging),
// retention.go, lease.go (who may try), part.go (one of several stores that are
// one, and those themselves), concurrent.go, and model.go, which compares long random
// histories with a naive map.
package storetest

import (
	"testing"

	"github.com/semel-dev/semel/store"
)

// Harness is how the suite gets at stores of one kind.
type Harness struct {
	// Make returns a place where no store was ever opened, for a store with
	// that many shards. The place lasts until t ends.
	Make func(t testing.TB, shards int) Place
	// Differs declares where the store differs from the others.
	Differs Differences
}

// Place is where one store lives. A store that was closed, or that died, is
// opened again by the same Opener.
type Place struct {
	store.Opener
	// Kill ends the open store as the death of its process would: what was
	// written stays, nothing is closed. nil if Differs.NoKill says why.
	Kill func(t testing.TB)
	// Lapse makes a node's lease be over, by the store's clock. nil if one
	// process at a time has the store.
	Lapse func(t testing.TB, node string)
	// Restore backs the open store up and returns the opener of a store that
	// was restored from that. nil if Differs.NoBackup says why.
	Restore func(t testing.TB, st store.Store) store.Opener
}

// Differences are the ways in which stores may differ. The zero value is the
// embedded store's: one process, hints, kills, backups.
type Differences struct {
	NoKill    string // why the suite cannot kill this store; "" if it can
	NoBackup  string // why there are no backups; "" if there are
	NoHints   string // why Wake never hints; "" if it does
	NotLocked string // why several processes may open the store; "" if they may not
	// NoCleanStart says why nothing tells how the last process ended; "" if
	// CleanStart does.
	NoCleanStart string
	// CleanBySession says why only a process that dies with a session makes the
	// next start unclean; "" if any does that has the store open.
	CleanBySession string
	// LeasesByPart says why leases are those of the store's parts, which have suites
	// of their own; "" if they are the store's.
	LeasesByPart string
	// Remote says why a unit may not have reached the store before it is
	// answered: another session's Inbox may not show it, and another Open may
	// fence it. "" if what Commit returned for is there.
	Remote string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Profile", testProfile},
		{"Atomicity", testAtomicity},
		{"UnitsInOrder", testUnitsInOrder},
		{"FenceEpoch", testFenceEpoch},
		{"FenceSequence", testFenceSequence},
		{"OpenFencesCommitsInFlight", testOpenFencesInFlight},
		{"OpenSettlesCommitsInFlight", testOpenSettles},
		{"ShardsAreIndependent", testShardsIndependent},
		{"TooLarge", testTooLarge},
		{"StoreKeepsNoReference", testNoReference},
		{"EmptyUnit", testEmptyUnit},
		{"ReadsSeeAppliedUnits", testReadsSeeApplied},
		{"GetMisses", testGet},
		{"NilAndEmptyValues", testEmptyValues},
		{"LaterWriteWins", testLaterWriteWins},
		{"DeletePrefix", testDeletePrefix},
		{"ByteOrder", testByteOrder},
		{"ScanBounds", testScanBounds},
		{"ReadBytesAreTheCallers", testReadBytes},
		{"ReadsHonourContext", testReadContext},
		{"VersionSurvivesReopen", testReopen},
		{"CleanStart", testCleanStart},
		{"Killed", testKilled},
		{"Locked", testLocked},
		{"Incarnation", testIncarnation},
		{"Restore", testRestore},
		{"ClosedSession", testClosedSession},
		{"ClosedStore", testClosedStore},
		{"NoSuchShard", testNoSuchShard},
		{"OutboxPull", testOutboxPull},
		{"OutboxFairness", testOutboxFairness},
		{"OutboxGap", testOutboxGap},
		{"OutboxPurge", testOutboxPurge},
		{"OutboxHints", testOutboxHints},
		{"RetentionDropsGenerations", testRetention},
		{"RetentionRepeats", testRetentionRepeats},
		{"LeasesRoster", testRoster},
		{"LeasesClaim", testClaim},
		{"LeasesLapse", testLapse},
		{"LeasesLeave", testLeave},
		{"LeasesOneHolder", testOneHolder},
		{"PartCharter", testPartCharter},
		{"PartGrantFences", testPartGrantFences},
		{"PartGrantWhileUsed", testPartGrantWhileUsed},
		{"PartUsed", testPartUsed},
		{"PartOutbox", testPartOutbox},
		{"PartOutboxIsDurable", testPartOutboxIsDurable},
		{"Divisions", testDivisions},
		{"ReadersBesideCommits", testReadersBesideCommits},
		{"ShardsCommitAtOnce", testShardsAtOnce},
		{"Model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, h)
		})
	}
}

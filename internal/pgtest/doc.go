// Package pgtest starts a real PostgreSQL for tests: from the binaries that are
// installed (the PATH's, or the newest of /usr/lib/postgresql), in a temporary
// directory, reachable through a socket in it and in no other way, and durable
// as in production: fsync is on. Run as root it drops to an ordinary user.
//
// Most tests share the server of their test binary, and have a database each:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Around(m).Run()) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		dsn := pgtest.Shared(t).Database(t)
//
// A test that kills the server, or wants other settings, starts its own:
//
//	s := pgtest.Start(t, pgtest.Set("fsync", "off"))
//	s.Kill(t)
//	s.Restart(t)
//
// When SEMEL_TEST_POSTGRES has a DSN, as a URL, Shared is that server, and
// nothing is started for it. Where PostgreSQL is not installed tests are
// skipped, see package need; its name there is "postgres".
package pgtest

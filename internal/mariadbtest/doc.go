// Package mariadbtest starts a real MariaDB for tests: from the binaries that are
// installed, in a temporary directory, reachable through a socket in it and in no
// other way, and durable as in production. Run as root it drops to an ordinary
// user. It is the like of package pgtest: tests share the server of their binary
// (Shared), or start one of their own, to kill it (Start).
//
//	func TestMain(m *testing.M) { os.Exit(mariadbtest.Around(m).Run()) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		dsn := mariadbtest.Shared(t).Database(t)
//
// When SEMEL_TEST_MARIADB has a DSN of github.com/go-sql-driver/mysql, without a
// database's name, Shared is that server, and nothing is started for it. Where
// MariaDB is not installed tests are skipped, see package need; its name there is
// "mariadb".
package mariadbtest

package outbox

import (
	_ "embed"
	"strings"
)

// schema is the tables in words of its own, which are those of a dialect in types.
// Lines that begin with @mariadb are MariaDB's, and with @others are not.
//
//go:embed schema.sql
var schema string

// types are, for each word of the schema, what PostgreSQL, MariaDB and SQLite call
// it. The words behind a table say how it is used.
var types = [][4]string{
	{"{message}", messageColumns, messageColumns, messageColumns},
	{"{bytes16}", "bytea", "binary(16)", "BLOB"},
	{"{bytes32}", "bytea", "binary(32)", "BLOB"},
	{"{bound}", "bytea", "varbinary(17)", "BLOB"},
	{"{bytes}", "bytea", "longblob", "BLOB"},
	{"{name}", "text", "varchar(512)", "TEXT"},
	{"{word}", "text", "varchar(200)", "TEXT"},
	{"{text}", "text", "text", "TEXT"},
	{"{int}", "int", "int", "INTEGER"},
	{"{long}", "bigint", "bigint", "INTEGER"},
	{"{serial}", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bigint NOT NULL AUTO_INCREMENT PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"},
	{"{plain}", "", innodb, ""},
	{"{small}", "", innodb, " WITHOUT ROWID"},
	{"{hot}", " WITH (fillfactor = 50)", innodb, " WITHOUT ROWID"}, // updated in place
	{"{churn}", " WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)", innodb, ""},
}

const (
	innodb         = " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	messageColumns = `okey    {bytes16} NOT NULL, -- of the message's key, or random if it has none
	n       {long} NOT NULL, -- the order of its key
	id      {name} NOT NULL,
	msg_key {name} NOT NULL,
	topic   {name} NOT NULL,
	type    {name} NOT NULL,
	headers {bytes} NOT NULL,
	body    {bytes} NOT NULL,
	sent_at {long} NOT NULL`
)

// tables is the schema for a dialect and a prefix.
func tables(d Dialect, prefix string) string {
	column := map[Dialect]int{PostgreSQL: 1, MariaDB: 2, SQLite: 3}[d]
	text := schema
	for _, t := range types { // {message} first: it has words in it
		text = strings.ReplaceAll(text, t[0], t[column])
	}
	text = strings.NewReplacer("{p}", prefix, "{i}", unqualified(prefix)).Replace(text)
	var b strings.Builder
	for line := range strings.Lines(text) {
		if before, rest, found := strings.Cut(line, "@mariadb "); found {
			if d == MariaDB {
				b.WriteString(before + rest)
			}
		} else if rest, found := strings.CutPrefix(line, "@others "); !found || d != MariaDB {
			b.WriteString(rest)
		}
	}
	return b.String()
}

package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semel-dev/semel/store"
)

//go:embed migrations/*.sql
var files embed.FS

// migration is one step from a format to the next. Migrations are numbered from
// 1, and once released never change.
type migration struct {
	name string
	sql  string
}

// migrations are all that this program knows, for a schema.
func migrations(schema string) []migration {
	names, err := fs.Glob(files, "migrations/*.sql") // sorted
	if err != nil {
		panic(err) // the pattern is wrong
	}
	var all []migration
	for _, name := range names {
		sql, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		name = strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql")
		all = append(all, migration{name: name, sql: strings.ReplaceAll(string(sql), "{schema}", schema)})
	}
	return all
}

// bootstrap makes the table that says which migrations were made.
func bootstrap(schema string) string {
	return fmt.Sprintf(`CREATE SCHEMA IF NOT EXISTS %[1]s;
CREATE TABLE IF NOT EXISTS %[1]s.semel_migration (
	version integer     PRIMARY KEY,
	name    text        NOT NULL,
	at      timestamptz NOT NULL DEFAULT now()
);
`, schema)
}

// MigrationSQL returns all migrations as one script, for people who make
// changes to their database themselves. "" is the default schema. OpenStore
// makes none when all were made.
func MigrationSQL(schema string) (string, error) {
	o := Options{Schema: schema}.withDefaults()
	if err := o.validate(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(bootstrap(o.Schema))
	for i, m := range migrations(o.Schema) {
		fmt.Fprintf(&b, "\nBEGIN;\nINSERT INTO %s.semel_migration (version, name) VALUES (%d, '%s');\n%sCOMMIT;\n", o.Schema, i+1, m.name, m.sql)
	}
	return b.String(), nil
}

// migrate brings the tables to this program's format. Any number of nodes may
// do so at once: who inserts the row of a migration first makes it, and the
// others wait for that row.
func (st *Store) migrate(ctx context.Context) error {
	all := migrations(st.opt.Schema)
	for try := 1; ; try++ {
		err := st.migrateOnce(ctx, all)
		if err == nil || try == tries || !racing(err) || !pause(ctx, try) {
			return err
		}
	}
}

// racing says whether an error may come of two nodes that make the same table:
// IF NOT EXISTS looks before it makes, and does not hold anybody off.
func racing(err error) bool {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return false
	}
	switch said.Code {
	case "23505", "42P06", "42P07", "42710", "XX000", serializationFailure, deadlockDetected:
		return true
	}
	return false
}

func (st *Store) migrateOnce(ctx context.Context, all []migration) error {
	made, err := st.format(ctx)
	if err != nil {
		return err
	}
	if made > len(all) {
		return fmt.Errorf("the tables in schema %s have format %d and this program knows formats up to %d: use a newer version of it", st.opt.Schema, made, len(all))
	}
	if made == len(all) {
		return nil
	}
	if made == 0 && st.opt.Existing {
		return st.noStore()
	}
	if made == 0 {
		err := st.patiently(ctx, func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.PgConn().Exec(ctx, bootstrap(st.opt.Schema)).ReadAll()
			return err
		})
		if err != nil {
			return advise(err)
		}
	}
	for i := made; i < len(all); i++ {
		err := st.patiently(ctx, func(ctx context.Context, c *pgx.Conn) error { return st.step(ctx, c, i+1, all[i]) })
		if err != nil {
			return fmt.Errorf("migration %s: %w", all[i].name, advise(err))
		}
	}
	return nil
}

// patiently gives one step a connection, and another one when that breaks: a step
// that was made is not made twice. It takes no longer than the store's patience; a
// step that does is rolled back by the server, which never hears of its end.
func (st *Store) patiently(ctx context.Context, step func(context.Context, *pgx.Conn) error) error {
	limited, cancel := context.WithTimeout(ctx, st.opt.Patience)
	defer cancel()
	for try := 1; ; try++ {
		c, err := st.pool.Acquire(limited)
		if err == nil {
			err = step(limited, c.Conn())
			c.Release()
		}
		var server *ServerError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil:
			return fmt.Errorf("%w: it is not done within the store's patience; give more, or have the script made that `semel migrate --print` prints: %w", store.ErrUnavailable, err)
		case refusal(err) != nil && refusal(err).Code == noLock && pause(limited, tries): // it is held for long
		case refusal(err) != nil || errors.As(err, &server) || try == otherTries || !pause(limited, try):
			return unreachable(err)
		}
	}
}

// step makes one migration, unless somebody did.
func (st *Store) step(ctx context.Context, c *pgx.Conn, version int, m migration) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		// Nobody waits in line behind us for a table that a dump, say, has read.
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "INSERT INTO "+st.opt.Schema+".semel_migration (version, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", version, m.name)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Conn().PgConn().Exec(ctx, m.sql).ReadAll()
		return err
	})
}

// advise says what to do about a right that is missing.
func advise(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == "42501" {
		return fmt.Errorf("%w; give the user that right, or have the script made that `semel migrate --print` prints, and give the user the schema", err)
	}
	return err
}

// format is the number of the last migration that was made, 0 if none was.
func (st *Store) format(ctx context.Context) (int, error) {
	var version *int
	f, err := st.run(ctx, &query{
		sql:      "SELECT max(version) FROM " + st.opt.Schema + ".semel_migration",
		row:      func(r pgx.Rows) error { return r.Scan(&version) },
		harmless: true,
	})
	var said *pgconn.PgError
	switch {
	case errors.As(err, &said) && (said.Code == noTable || said.Code == "3F000"):
		return 0, nil
	case f != done:
		return 0, st.harmlessError(ctx, f, err)
	case version == nil:
		return 0, nil
	}
	return *version, nil
}

package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Whatever is wrong with a DSN, no part of a password is told: not in the text,
// nor in an error that is wrapped.
func TestBadDSN(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://me:%zzhunter@host/db",
		"postgres://me:hun%2ter@host/db",
		"postgres://me:hunter/2@host/db",
		"postgres://me:hun:ter@ho:st/db",
		"postgres://me:hunter@ho st/db",
		"postgres://me:hunter@host:port/db",
		"postgres://me:hunter@host:99999/db",
		"postgres://me:hunter@[::1/db",
		"host=h user=me password=two hunter words dbname=db",
		"host=h user=me password='hunter dbname=db",
		"host=h user=me password=hunter=2 sslmode=hunter",
		"host=h user=me password=hunter dbname",
		"host=h password=hunter port=hunter",
		"host=h password=hunter target_session_attrs=hunter",
		"host=h password=hunter connect_timeout=hunter",
		"host=h password=hunter pool_max_conns=hunter",
		"host=h password=hunter pool_max_conn_lifetime=hunter",
		"host=h password=hunter default_query_exec_mode=hunter",
		"host=h password=hunter service=hunter",
		"host=h password=`:hunter sslmode=`:hunter",
		"postgres:/me:hunter@host/db",
		"hunter",
	} {
		_, err := At(dsn).OpenStore(background)
		if err == nil {
			t.Errorf("%q is taken", dsn)
			continue
		}
		var parse *pgconn.ParseConfigError
		if strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "words") || errors.As(err, &parse) {
			t.Errorf("%q: %v tells of it", dsn, err)
		}
		if !strings.Contains(err.Error(), "the DSN ") {
			t.Errorf("%q: %v does not say what is wrong", dsn, err)
		}
	}
}

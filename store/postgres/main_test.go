package postgres

import (
	"os"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Around(m).Run()) }

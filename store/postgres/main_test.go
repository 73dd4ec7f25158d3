package postgres

import (
	"flag"
	"os"
	"testing"

	"github.com/semel-dev/semel/internal/pgtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A history of the suite's model makes tables, and runs several times: the
	// 100 that are the default would take minutes.
	few := true
	flag.Visit(func(f *flag.Flag) { few = few && f.Name != "rapid.checks" })
	if few {
		if err := flag.Set("rapid.checks", "15"); err != nil {
			panic(err) // there is no such flag
		}
	}
	os.Exit(pgtest.Around(m).Run())
}

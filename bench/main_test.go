package bench

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/semel-dev/semel/internal/pgtest"
)

// Whatever a test starts, it ends.
func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

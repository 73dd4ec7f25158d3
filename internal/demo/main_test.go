package demo

import (
	"testing"

	"go.uber.org/goleak"
)

// Whatever a test starts, it ends.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:build !unix

package torture

import (
	"errors"
	"os"
)

const canPause = false

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // an error says that it has ended
	}
}

func pauseGroup(int) error  { return errors.ErrUnsupported }
func resumeGroup(int) error { return errors.ErrUnsupported }

var stopSignal = os.Kill

package torture

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"time"
)

// killTarget has a server that runs already killed by the user's command, and
// returns when it is gone. A command that kills nobody would make a run without a
// kill look like one with many; and one that returns before the server has ended
// would have the readiness of the old process taken for that of the new one.
func (k *keeper) killTarget(ctx context.Context) error {
	before := k.born(ctx)
	command := exec.CommandContext(ctx, "sh", "-c", k.killWith)
	command.Stdout, command.Stderr = k.log, k.log
	ran := make(chan error, 1)
	go func() { ran <- command.Run() }()
	var late <-chan time.Time // once the command is over, which may take its time
	for gone := false; ; {
		if gone = gone || k.gone(ctx, before); gone && late != nil {
			return nil
		}
		select {
		case err := <-ran:
			if err != nil {
				return fmt.Errorf("--kill-with: %w", err)
			}
			late = time.After(k.killTime)
		case <-late:
			return fmt.Errorf("--kill-with: the server is the same process still, %v after the command; it must kill the server and start it again", k.killTime)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// gone says whether the process that began at a time runs no more. One that does
// not tell when it began is gone when it is not ready, which is seen only if it
// takes longer to start than to ask.
func (k *keeper) gone(ctx context.Context, before string) bool {
	if before == "" {
		return !k.ready(ctx)
	}
	now := k.born(ctx)
	return now != "" && now != before
}

// born is when the server's process began, as it says itself, which a Prometheus
// client on Linux does; empty if it does not.
func (k *keeper) born(ctx context.Context) string {
	status, body := k.ask(ctx, "/metrics")
	if status != http.StatusOK {
		return ""
	}
	for line := range bytes.Lines(body) {
		if at, ok := bytes.CutPrefix(line, []byte("process_start_time_seconds ")); ok {
			return string(bytes.TrimSpace(at))
		}
	}
	return ""
}

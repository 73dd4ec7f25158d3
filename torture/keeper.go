package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/semel-dev/semel/internal/child"
)

// startTime is what a server has to be ready, stopTime what it has to stop.
const (
	startTime = 60 * time.Second
	stopTime  = 20 * time.Second
)

// keeper is a server: one that it starts, or one that runs already. One
// goroutine starts and ends it.
type keeper struct {
	number int // of a node, from 1
	url    string
	log    io.Writer
	guard  func(pid int) error // is told the process that must not outlive us; 0 for none

	command []string // of a server that is started
	process *child.Process

	killWith string        // of one that runs already
	killTime time.Duration // within which it must be gone
	token    string        // that it wants to tell when it began
}

// freeAddr finds a port that nobody will take while the server is down: one below
// those that systems give to outgoing connections.
func freeAddr() (string, error) {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// start returns when the server is ready.
func (k *keeper) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("the server was not ready within %v", startTime))
	defer cancel()
	if len(k.command) > 0 {
		var err error
		k.process, err = child.Start(child.Options{Log: k.log, Own: true}, k.command[0], k.command[1:]...)
		if err != nil {
			return err
		}
		if err := k.guard(k.process.Cmd.Process.Pid); err != nil {
			k.killNow()
			return err
		}
	}
	for !k.ready(ctx) {
		if ended := k.ended(); ended != nil {
			return ended
		}
		if !sleep(ctx, 5*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// ready asks the server whether it takes calls.
func (k *keeper) ready(ctx context.Context) bool {
	status, _ := k.ask(ctx, "/readyz")
	return status == http.StatusOK
}

// ask asks the server by a connection of its own; status 0 is no answer.
func (k *keeper) ask(ctx context.Context, path string) (status int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := newRequest(ctx, http.MethodGet, k.url+path, nil)
	if err != nil {
		return 0, nil
	}
	req.Close = true
	if k.token != "" {
		req.Header.Set("Authorization", "Bearer "+k.token)
	}
	if status, _, body, err = do(http.DefaultClient, req); err != nil {
		return 0, nil
	}
	return status, body
}

// ended says that a server that was started has ended by itself.
func (k *keeper) ended() error {
	if k.process == nil {
		return nil
	}
	select {
	case <-k.process.Ended:
		return fmt.Errorf("the server ended by itself: %v", k.process.Cmd.ProcessState)
	default:
		return nil
	}
}

// kill ends the server at once, with all that it started.
func (k *keeper) kill(ctx context.Context) error {
	if k.process == nil {
		return k.killTarget(ctx)
	}
	if ended := k.ended(); ended != nil {
		return ended // that is news
	}
	k.killNow()
	return nil
}

func (k *keeper) killNow() {
	killGroup(k.process.Cmd.Process.Pid)
	<-k.process.Ended
}

// pause stops the server for some time.
func (k *keeper) pause(ctx context.Context, d time.Duration) error {
	pid := k.process.Cmd.Process.Pid
	if err := pauseGroup(pid); err != nil {
		return err
	}
	sleep(ctx, d)
	return resumeGroup(pid)
}

// stop ends a server that was started, in order.
func (k *keeper) stop() error {
	if k.process == nil {
		return nil
	}
	err := k.ended()
	if err == nil {
		_ = k.process.Cmd.Process.Signal(stopSignal) // it may have ended
		late := time.AfterFunc(stopTime, func() { killGroup(k.process.Cmd.Process.Pid) })
		<-k.process.Ended
		late.Stop()
	}
	return errors.Join(err, k.guard(0))
}

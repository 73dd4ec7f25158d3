package outbox_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/semel-dev/semel/outbox"
	"github.com/semel-dev/semel/outbox/httpsink"
)

// The test binary is also a relay that its tests can kill.
const (
	childKind = "SEMEL_TEST_OUTBOX_CHILD"
	childDSN  = "SEMEL_TEST_OUTBOX_DSN"
	childURL  = "SEMEL_TEST_OUTBOX_URL"
)

func childMain() int {
	w, closeAll, err := openWorld(os.Getenv(childKind), os.Getenv(childDSN), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer closeAll()
	sink, err := httpsink.New(httpsink.Config{URL: os.Getenv(childURL), Source: "/test"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r, err := outbox.NewRelay(w.box, w.db, sink, quick())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = r.Run(context.Background()) // until it is killed
	return 0
}

// quick is a relay for tests.
func quick() *outbox.RelayConfig {
	return &outbox.RelayConfig{Lease: time.Second, Poll: 20 * time.Millisecond, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond}
}

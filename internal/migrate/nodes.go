package migrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/semel-dev/semel/store"
)

// vacant waits until no node of a cluster has the store: for as long as one that
// died may still have its lease, if need be. A node that lives is not fenced by
// mistake.
func vacant(ctx context.Context, s Side, owner string) (err error) {
	leaser, ok := s.Store.(store.Leaser)
	if !ok || s.Store.Profile().Exclusive {
		return nil
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // it does not fail
	self := store.Node{ID: hex.EncodeToString(id[:]), Name: owner, Leaving: true}
	defer func() { err = errors.Join(err, leaser.Leave(context.WithoutCancel(ctx), self.ID)) }()
	deadline := time.Now().Add(s.Store.Profile().Lease + time.Second)
	for {
		roster, err := leaser.Keep(ctx, self)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		var living []string
		for _, n := range roster.Nodes {
			if n.ID != self.ID {
				living = append(living, n.Name)
			}
		}
		switch {
		case len(living) == 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w: %s: %s; stop them first", ErrInUse, s.Name, strings.Join(living, ", "))
		}
		wait := time.NewTimer(100 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

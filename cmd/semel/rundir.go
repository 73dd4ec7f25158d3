package main

import (
	"errors"
	"fmt"
	"os"
)

// runDir makes the directory of a run of a verb: the one that a flag names, which
// is kept, or a temporary one. That is removed, unless somebody must see what
// went wrong.
func runDir(verb, flag string, dir *string) (remove func(error) error, err error) {
	if *dir == "" {
		*dir, err = os.MkdirTemp("", "semel-"+verb+"-")
		return func(err error) error {
			if err != nil && !errors.Is(err, errInterrupted) {
				return fmt.Errorf("%w; look into %s", err, *dir)
			}
			return errors.Join(err, os.RemoveAll(*dir))
		}, err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	entries, err := os.ReadDir(*dir)
	if err == nil && len(entries) > 0 {
		return nil, usageError{fmt.Errorf("%s %s: it is not empty; name a new directory", flag, *dir)}
	}
	return func(err error) error { return err }, err
}

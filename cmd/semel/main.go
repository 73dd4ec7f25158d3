// Command semel serves agents whose every message and action takes effect
// exactly once. One file per verb; this one runs them.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel"
)

// Exit codes. They are part of the command's contract; 74 is the storage
// device's failure (see store/pebble).
const (
	exitOK       = 0
	exitNotDone  = 1
	exitUsage    = 2
	exitRejected = 3
	exitUnknown  = 4

	exitInconclusive = 2 // of torture: nothing was proved
)

func main() { os.Exit(run(os.Args[1:])) }

// run executes a command line and returns the exit code.
func run(args []string) int {
	root := &cobra.Command{
		Use:           "semel",
		Short:         "Every message and action takes effect exactly once",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), benchCommand(), demoCommand(), demoProviderCommand(), tortureCommand(), torturePartCommand(), storeCommand(), migrateCommand(), configCommand(), versionCommand())
	root.SetArgs(args)
	root.AddCommand(clientCommands()...)
	err := root.Execute()
	if err != nil {
		fmt.Fprintln(os.Stderr, "semel:", err)
	}
	return exitCode(err)
}

// failure is an error of a verb at work, as opposed to one of the command
// line, which is cobra's.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// verb marks the errors of a verb's work.
func verb(work func(cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		err := work(cmd)
		var usage usageError
		if err == nil || errors.As(err, &usage) {
			return err
		}
		return failure{err}
	}
}

// usageError is a mistake in the command line that cobra cannot see.
type usageError struct{ error }

func exitCode(err error) int {
	var f failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		return exitUsage
	}
	var nothing inconclusive
	if errors.As(err, &nothing) {
		return exitInconclusive
	}
	var after afterwardsError
	if errors.As(err, &after) {
		return exitUnknown
	}
	var rejected *semel.Rejection
	var unknown *semel.UnknownError
	switch {
	case errors.As(err, &rejected):
		return exitRejected
	case errors.As(err, &unknown):
		return exitUnknown
	}
	return exitNotDone
}

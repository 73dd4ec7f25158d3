package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The page of the command line has every verb and every flag.
func TestThePageIsComplete(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/reference/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	root := &cobra.Command{Use: "semel"}
	root.AddCommand(clientCommands()...)
	seen := 0
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		// `semel effects` only helps, and `semel doubts list` is `semel doubts`, as others are.
		if c.Runnable() && c.CommandPath() != "semel effects" && c.Name() != "list" || c.CommandPath() == "semel list" {
			seen++
			if path := "`" + c.CommandPath(); !strings.Contains(page, path+" ") && !strings.Contains(page, path+"`") {
				t.Errorf("%s is not on the page", c.CommandPath())
			}
		}
		flags := func(f *pflag.Flag) {
			if !strings.Contains(page, "`--"+f.Name+"`") && !strings.Contains(page, "`--"+f.Name+" ") && !strings.Contains(page, "--"+f.Name+"`") {
				t.Errorf("%s --%s is not on the page", c.CommandPath(), f.Name)
			}
		}
		c.LocalFlags().VisitAll(flags)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	if seen < 15 {
		t.Errorf("only %d verbs were looked at", seen)
	}
}

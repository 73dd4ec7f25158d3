package main

import (
	_ "embed" // the example
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/semel-dev/semel/server"
)

//go:embed config_example.yaml
var exampleConfig string

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show and begin a configuration",
		Long: `Check, show and begin a configuration.

check and show take the flags of serve, and look at the same SEMEL_* variables.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // with it, cobra refuses a verb that is none
	}
	cmd.AddCommand(configCheckCommand(), configShowCommand(), configTokenCommand(), configExampleCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with the configuration",
		Long: `Say everything that is wrong with the configuration, each with its line.

Exit code 0: serve would start with it. 2: it would not.`,
		Example: "  semel config check --config semel.yaml",
		Args:    cobra.NoArgs,
	}
	addSettings(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command) error {
		l, bad := commandSource(cmd.Flags()).load()
		l.check(cmd.Context(), &bad)
		err := bad.err()
		if err := printCheck(cmd.OutOrStdout(), asJSON, l.warnings, bad); err != nil {
			return err
		}
		if err != nil {
			if asJSON {
				err = fmt.Errorf("the configuration cannot be used; problems: %d", len(bad))
			}
			return usageError{err}
		}
		return nil
	})
	return cmd
}

// printCheck prints the result of a check. As text, problems are the error of
// the command.
func printCheck(w io.Writer, asJSON bool, warnings, bad problems) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			OK       bool     `json:"ok"`
			Problems problems `json:"problems"`
			Warnings problems `json:"warnings"`
		}{len(bad) == 0, append(problems{}, bad...), append(problems{}, warnings...)})
	}
	for _, one := range warnings {
		if _, err := fmt.Fprintln(w, "warning:", one); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return nil
	}
	_, err := fmt.Fprintln(w, "the configuration can be used")
	return err
}

func configTokenCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token for a principal",
		Long: `Make a token for a principal: 256 random bits, and their hash.

The token goes to the client, and is not stored anywhere. The hash goes to
auth.principals[].tokens in the configuration; SIGHUP makes serve read it.`,
		Args: cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command) error {
			token := server.NewToken()
			hash := server.HashToken(token)
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					Token string `json:"token"`
					Hash  string `json:"hash"`
				}{token, hash})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "token  %s\nhash   %s\n", token, hash)
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func configExampleCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "example",
		Short:   "Print a configuration file with every key",
		Example: "  semel config example > semel.yaml",
		Args:    cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"example": exampleConfig})
			}
			_, err := io.WriteString(cmd.OutOrStdout(), exampleConfig)
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

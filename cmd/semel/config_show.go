package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// shown is a line of `semel config show`.
type shown struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func configShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration that serve would use, and where each value is from",
		Long: `Print the configuration that serve would use, and where each value is from.

Secrets are not printed: tokens, headers, and credentials in URLs.`,
		Args: cobra.NoArgs,
	}
	addSettings(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command) error {
		l, bad := commandSource(cmd.Flags()).load()
		if err := bad.err(); err != nil {
			return usageError{err}
		}
		return printShown(cmd.OutOrStdout(), l.show(), asJSON)
	})
	return cmd
}

func printShown(w io.Writer, lines []shown, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(lines)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range lines {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, s.Value, s.From)
	}
	return t.Flush()
}

// show lists every value, of a configuration that was loaded and not checked,
// so that headers are as the file has them. What it does not know to be
// harmless, it does not show.
func (l *loaded) show() []shown {
	var lines []shown
	add := func(key, value string) { lines = append(lines, shown{key, value, l.from(key)}) }
	for _, s := range settings {
		value := formatText(s.of(&l.config).Interface())
		if s.path == "otlp.endpoint" {
			value = bareURL(value)
		}
		add(s.path, value)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Store.Parts)) {
		at := "store.parts." + name
		add(at+".url", referred(l.Store.Parts[name].URL))
		add(at+".shards", l.Store.Parts[name].Shards)
	}
	for i, p := range l.Auth.Principals {
		at := fmt.Sprintf("auth.principals[%d]", i)
		add(at+".name", p.Name)
		add(at+".tenant", p.Tenant)
		add(at+".roles", strings.Join(p.Roles, ","))
		for j := range p.Tokens {
			add(fmt.Sprintf("%s.tokens[%d]", at, j), redacted)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Effects)) {
		at := "effects." + name
		e := l.Effects[name].spec().WithDefaults()
		add(at+".url", bareURL(e.URL))
		add(at+".method", e.Method)
		add(at+".policy", e.Policy)
		add(at+".timeout", shortDuration(e.Timeout))
		add(at+".attempts", fmt.Sprint(e.Attempts))
		add(at+".probe_url", bareURL(e.ProbeURL))
		for _, h := range slices.Sorted(maps.Keys(e.Headers)) {
			key := at + ".headers." + h
			add(key, referred(secret(e.Headers[h])))
		}
		add(at+".allow_private", fmt.Sprint(e.AllowPrivate))
		add(at+".max_reply", size(e.MaxReply).String())
	}
	for _, name := range slices.Sorted(maps.Keys(l.Participants)) {
		at, p := "participants."+name, l.Participants[name]
		add(at+".url", bareURL(p.URL))
		for _, h := range slices.Sorted(maps.Keys(p.Headers)) {
			add(at+".headers."+h, referred(p.Headers[h]))
		}
		add(at+".allow_private", fmt.Sprint(p.AllowPrivate))
	}
	return lines
}

var reference = regexp.MustCompile(`\$\{\w+\}`)

// referred is what may be shown of a header: the variables it is made of.
func referred(text secret) string {
	if names := reference.FindAllString(string(text), -1); len(names) > 0 {
		return redacted + " from " + strings.Join(names, " ")
	}
	return redacted
}

// bareURL drops what may be a secret: user, password, the values of the query,
// the fragment.
func bareURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	if u.User != nil {
		u.User = url.User("redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	u.Fragment = ""
	return u.String()
}

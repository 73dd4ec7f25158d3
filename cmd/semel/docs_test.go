package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// In a span of code or a line of it; not as a part of another name, such as
	// cmd/semel.
	verbsInCode = regexp.MustCompile(`(?:^|[^\w/.-]|\./)semel ([a-z]+)(?: ([a-z]+)\b(/?))?`) // not an agent, type/id
	spansOfCode = regexp.MustCompile("`[^`]+`")
)

// subcommands asks the program itself.
func subcommands(t *testing.T, of ...string) map[string]bool {
	t.Helper()
	out, err := exec.Command(binary, append(append([]string{"__complete"}, of...), "")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		if name, _, described := strings.Cut(line, "\t"); described {
			all[name] = true
		}
	}
	return all
}

// Every verb that a page mentions is one, and every verb is mentioned.
func TestTheDocumentationNamesVerbsThatAre(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	verbs := subcommands(t)
	below := make(map[string]map[string]bool)
	var all strings.Builder
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
		fenced := false
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "```") {
				fenced = !fenced
				continue
			}
			code := spansOfCode.FindAllString(line, -1)
			if strings.HasPrefix(line, "    ") && !fenced {
				code = []string{line}
			}
			for _, m := range verbsInCode.FindAllStringSubmatch(strings.Join(code, "\n"), -1) {
				verb, sub := m[1], m[2]
				if !verbs[verb] {
					t.Errorf("%s: there is no verb semel %s", page, verb)
					continue
				}
				if below[verb] == nil {
					below[verb] = subcommands(t, verb)
				}
				if sub != "" && m[3] == "" && len(below[verb]) > 0 && !below[verb][sub] {
					t.Errorf("%s: there is no verb semel %s %s", page, verb, sub)
				}
			}
		}
	}
	for verb := range verbs {
		if verb != "help" && !strings.Contains(all.String(), "semel "+verb) {
			t.Errorf("no page mentions semel %s", verb)
		}
	}
}

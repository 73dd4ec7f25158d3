package semel_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	docLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHeading = regexp.MustCompile(`^#{1,6} +(.+)$`)
	codeSpan   = regexp.MustCompile("`[^`]*`")
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// docLines are the lines of a page that are no code, in which a link would be none.
func docLines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	fenced := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		} else if !fenced && !strings.HasPrefix(line, "    ") {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// anchors are the headings of a page as GitHub names them.
func anchors(t *testing.T, name string) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, line := range docLines(t, name) {
		if m := docHeading.FindStringSubmatch(line); m != nil {
			slug := notInSlug.ReplaceAllString(strings.ToLower(m[1]), "")
			all[strings.ReplaceAll(slug, " ", "-")] = true
		}
	}
	return all
}

// Every link of a page to another one, or to a heading, leads somewhere.
func TestLinksOfTheDocumentation(t *testing.T) {
	t.Parallel()
	links := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".md" {
			return err
		}
		for _, line := range docLines(t, name) {
			for _, m := range docLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "x"), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				links++
				file, anchor, _ := strings.Cut(m[1], "#")
				target := name
				if file != "" {
					target = filepath.Join(filepath.Dir(name), filepath.FromSlash(file))
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s links to %s: %v", name, m[1], err)
				} else if anchor != "" && !anchors(t, target)[anchor] {
					t.Errorf("%s links to %s: there is no such heading", name, m[1])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 30 {
		t.Errorf("only %d links were found", links)
	}
}

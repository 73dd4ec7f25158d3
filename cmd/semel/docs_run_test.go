package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands of the pages do what they say when they are pasted, one after
// the other, into one shell beside a server with an empty directory. What takes
// long (serve, bench, demo) has tests of its own.
func TestTheDocumentationRuns(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("without %s the commands of the documentation cannot be run", tool)
		}
	}
	for page, least := range map[string]int{
		"README.md": 6, "docs/quickstart.md": 9, "docs/guides/allocation.md": 7, "docs/reference/configuration.md": 4,
		"docs/guides/sagas-by-configuration.md": 8, "docs/guides/transactions-http.md": 6,
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			commands := commandsOf(t, "../../"+page)
			if len(commands) < least {
				t.Fatalf("there are only %d commands: %q", len(commands), commands)
			}
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"charged":true,"id":"F1"}`) }))
			defer provider.Close()
			dir := t.TempDir()
			config := filepath.Join(dir, "server.yaml")
			text := "effects:\n  charge: {url: \"" + provider.URL + "\", policy: keyed, allow_private: true}\n"
			if own := configurationOf(t, "../../"+page); own != "" {
				text = strings.ReplaceAll(own, "http://127.0.0.1:7333", provider.URL)
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(binary, filepath.Join(dir, "semel")); err != nil {
				t.Fatal(err)
			}
			p := start(t, filepath.Join(dir, "data"), "--config", config)
			for i, c := range commands {
				commands[i] = strings.ReplaceAll(c, "http://127.0.0.1:7075", p.url)
			}
			shell := exec.Command("bash", "-e", "-o", "pipefail", "-x", "-c", strings.Join(commands, "\n"))
			shell.Dir = dir
			shell.Env = append(os.Environ(), "SEMEL_SERVER="+p.url, "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := shell.CombinedOutput(); err != nil || strings.Contains(string(out), `"internal"`) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// configurationOf is the first configuration that a page has for a server with
// sagas, or empty.
func configurationOf(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "```yaml\n")
	if text, _, _ = strings.Cut(text, "```"); strings.Contains(text, "\nsagas:") {
		return text
	}
	return ""
}

// commandsOf are the lines of a page's code that are pasted into a shell.
func commandsOf(t *testing.T, page string) (commands []string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line, code := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		verb := strings.TrimPrefix(strings.TrimPrefix(line, "./"), "semel ")
		switch first, _, _ := strings.Cut(verb, " "); {
		case !code || first == "serve" || first == "bench" || first == "demo":
		case verb != line, strings.HasPrefix(line, "curl "), strings.HasPrefix(line, "P="), strings.HasPrefix(line, "R="):
			commands = append(commands, line)
		}
	}
	return commands
}

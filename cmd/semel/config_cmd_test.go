package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/semel-dev/semel/server"
)

// FAULTS 64: a canary in every place for a secret, and in no output.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	hash := server.HashToken(canary)
	name := writeFile(t, "semel.yaml", `
auth:
  principals:
  - {name: orders, roles: [call], tokens: ["`+hash+`"]}
effects:
  charge:
    url: https://psp.example/x?key=`+canary+`
    policy: probe
    probe_url: https://psp.example/x/{key}?key=`+canary+`
    headers: {Authorization: "`+canary+`", X-Key: "v ${PSP}"}
otlp: {endpoint: "http://u:`+canary+`@127.0.0.1:1"}
`)
	for _, args := range [][]string{{"show"}, {"show", "--json"}, {"check"}, {"check", "--json"}} {
		cmd := exec.Command(binary, append(append([]string{"config"}, args...), "--config", name)...)
		cmd.Env = append(os.Environ(), "PSP="+canary, "SEMEL_DATQ="+canary)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v, %s", args, err, out)
		}
		for _, secret := range []string{canary, hash, hash[7:]} {
			if strings.Contains(string(out), secret) {
				t.Errorf("%v prints a secret: %s", args, out)
			}
		}
		if args[0] == "show" {
			for _, part := range []string{"orders", "psp.example", "(redacted) from ${PSP}", "semel.yaml:4", "auth.principals[0].tokens[0]"} {
				if !strings.Contains(string(out), part) {
					t.Errorf("%v lacks %s: %s", args, part, out)
				}
			}
		}
	}
	l := mustLoad(t, sourceOf(t, "", []string{"PSP=" + canary}, "--config", name))
	b, err := json.Marshal(l.config)
	if err != nil || strings.Contains(string(b), hash) || strings.Contains(string(b), `"`+canary) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	good, wrong := writeFile(t, "good.yaml", "wait: 3s\n"), writeFile(t, "wrong.yaml", "wiat: 3s\nskew: 1\n")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"check"}, exitOK, "can be used"},
		{[]string{"check", "--config", good}, exitOK, "can be used"},
		{[]string{"check", "--config", wrong}, exitUsage, `wrong.yaml:1: wiat: there is no such key; did you mean "wait"?` + "\n  " + wrong + ":2: skew"},
		{[]string{"check", "--config", "/no/such"}, exitUsage, "/no/such: the configuration file cannot be read"},
		{[]string{"check", "--listen", "0.0.0.0:0"}, exitUsage, "--listen: listen: 0.0.0.0:0 can be reached from other machines"},
		{[]string{"show", "--config", wrong}, exitUsage, "wrong.yaml:2"},
		{[]string{"example"}, exitOK, "listen: 127.0.0.1:7075"},
		{[]string{"nonsense"}, exitUsage, "nonsense"},
		{nil, exitOK, "Available Commands"},
	} {
		out, err := exec.Command(binary, append([]string{"config"}, c.args...)...).CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("semel config %s: exit code %d, %s", strings.Join(c.args, " "), code, out)
		}
	}

	out, err := exec.Command(binary, "config", "check", "--json", "--config", wrong).Output() // standard output alone
	var check struct {
		OK       bool
		Problems []problem
	}
	if err == nil || json.Unmarshal(out, &check) != nil || check.OK || len(check.Problems) != 2 || check.Problems[0].From != wrong+":1" || check.Problems[0].Key != "wiat" {
		t.Errorf("%s, %v", out, err)
	}
	out, err = exec.Command(binary, "config", "show", "--json", "--config", good).Output()
	var lines []shown
	if err != nil || json.Unmarshal(out, &lines) != nil || !slices.Contains(lines, shown{"wait", "3s", good + ":1"}) || !slices.Contains(lines, shown{"skew", "5m", "default"}) {
		t.Errorf("%s, %v", out, err)
	}
	out, err = exec.Command(binary, "config", "token", "--json").Output()
	var token struct{ Token, Hash string }
	if err != nil || json.Unmarshal(out, &token) != nil || token.Hash != server.HashToken(token.Token) || !strings.HasPrefix(token.Token, server.TokenPrefix) {
		t.Errorf("%s, %v", out, err)
	}
	out, err = exec.Command(binary, "config", "token").Output()
	m := regexp.MustCompile(`^token  (\S+)\nhash   (\S+)\n$`).FindStringSubmatch(string(out))
	if err != nil || m == nil || server.HashToken(m[1]) != m[2] || m[1] == token.Token {
		t.Errorf("%s, %v", out, err)
	}
}

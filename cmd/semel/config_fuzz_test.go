package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Whatever a file is: it is taken and fits the struct, or every problem has a
// line.
func FuzzConfigFile(f *testing.F) {
	f.Add([]byte(exampleConfig))
	f.Add([]byte(regexp.MustCompile(`(?m)^#([^ \n]|  )`).ReplaceAllString(exampleConfig, "$1")))
	for _, s := range []string{"a: *b", "? {}\n: x", "wait: !!binary YQ==", "hosts: [[a]]", "effects: {a: {headers: {b: ~}}}", "auth: {principals: [~, {}]}", "%YAML 9\n---\n", "data: !!str 5", "max_body: 0x7fffffffffffffff", "\xff", "--- |\n"} {
		f.Add([]byte(s))
	}
	located := regexp.MustCompile(`^fuzz:[0-9]+$`)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, bad := parseFile("fuzz", b)
		for _, p := range bad {
			if !located.MatchString(p.From) || p.Text == "" {
				t.Errorf("%+v", p)
			}
		}
		if len(bad) > 0 {
			return
		}
		k, c := koanf.New("."), defaultConfig()
		if err := k.Load(confmap.Provider(file.values, ""), nil); err != nil {
			t.Fatal(err)
		}
		if err := k.UnmarshalWithConf("", &c, strict()); err != nil {
			t.Errorf("what the reader took does not fit: %v", err)
		}
		for path := range file.lines {
			if !strings.HasPrefix(file.at(path), "fuzz:") {
				t.Errorf("%s has no line", path)
			}
		}
	})
}

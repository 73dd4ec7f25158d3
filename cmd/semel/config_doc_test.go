package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The table of settings and the struct have the same keys, and no two names
// are the same.
func TestEveryScalarIsASetting(t *testing.T) {
	t.Parallel()
	var want []string
	var walk func(rt reflect.Type, path string)
	walk = func(rt reflect.Type, path string) {
		for _, key := range keysOf(rt) {
			f, _ := field(rt, key)
			switch at := join(path, key); {
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, at)
			case at != "effects" && at != "sagas" && at != "participants" && at != "auth.principals" && at != "store.parts":
				want = append(want, at)
			}
		}
	}
	walk(reflect.TypeFor[config](), "")
	names := make(map[string]string)
	var got []string
	for _, s := range settings {
		got = append(got, s.path)
		for _, name := range []string{s.flagName(), s.envName()} {
			if other, taken := names[name]; taken {
				t.Errorf("%s and %s are both %s", s.path, other, name)
			}
			names[name] = s.path
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("settings %v\nstruct   %v", got, want)
	}
}

// everyKey lists all keys, those of principals and effects by their last name.
func everyKey() []string {
	keys := make(map[string]bool)
	for _, s := range settings {
		keys[s.path] = true
	}
	for prefix, rt := range map[string]reflect.Type{
		"auth.principals[].": reflect.TypeFor[principalConfig](), "effects.NAME.": reflect.TypeFor[effectConfig](),
		"store.parts.NAME.":  reflect.TypeFor[partConfig](),
		"participants.NAME.": reflect.TypeFor[participantConfig](),
		"sagas.NAME.":        reflect.TypeFor[sagaConfig](), "sagas.NAME.steps[].": reflect.TypeFor[stepConfig](), "sagas.NAME.steps[].undo.": reflect.TypeFor[undoConfig](),
	} {
		for _, key := range keysOf(rt) {
			keys[prefix+key] = true
		}
	}
	delete(keys, "sagas.NAME.steps[].undo") // it is its keys
	return slices.Sorted(maps.Keys(keys))
}

func TestDocumentationHasEveryKey(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if m := regexp.MustCompile("^\\| `([^`]+)` \\|").FindStringSubmatch(line); m != nil {
			rows[m[1]] = line
		}
	}
	for _, key := range everyKey() {
		if rows[key] == "" {
			t.Errorf("there is no row of %s", key)
		}
	}
	for key := range rows {
		if !slices.Contains(everyKey(), key) {
			t.Errorf("there is no key %s", key)
		}
	}
	defaults := defaultConfig()
	for _, s := range settings {
		for _, part := range []string{"`" + s.envName() + "`", "`--" + s.flagName() + "`"} {
			if !strings.Contains(rows[s.path], part) {
				t.Errorf("the row of %s lacks %s: %s", s.path, part, rows[s.path])
			}
		}
		cells := strings.Split(rows[s.path], "|")
		want := formatText(s.of(&defaults).Interface())
		if want == "" {
			want = "none"
		}
		if len(cells) < 5 || strings.Trim(cells[3], " `") != want {
			t.Errorf("the row of %s does not have the default %s: %s", s.path, want, rows[s.path])
		}
	}
}

func TestExampleLoads(t *testing.T) {
	t.Parallel()
	l := mustLoad(t, sourceOf(t, exampleConfig, nil))
	want := defaultConfig()
	if l.Hosts = nil; !reflect.DeepEqual(l.config, want) {
		t.Errorf("the example is not the defaults: %+v", l.config)
	}
	// With the examples that are commented out: a # without a space.
	full := regexp.MustCompile(`(?m)^#([^ \n]|  )`).ReplaceAllString(exampleConfig, "$1")
	l, bad := sourceOf(t, full, []string{"PSP_TOKEN=x", "WAREHOUSE_TOKEN=x", "SEMEL_PART_A=postgres://semel@a.example/semel", "SEMEL_PART_B=postgres://semel@b.example/semel"}).load()
	l.check(t.Context(), &bad)
	for _, p := range bad {
		if !strings.HasPrefix(p.Key, "tls.") && p.Key != "store.parts" { // its files are examples, and there is one store
			t.Error(p)
		}
	}
	if len(l.Auth.Principals) != 2 || len(l.Effects) != 1 || len(l.Sagas) != 1 || l.TLS.Cert == "" {
		t.Fatalf("%+v", l.config)
	}
	for _, key := range everyKey() {
		key = strings.NewReplacer("[]", "[0]", "parts.NAME", "parts.a", "sagas.NAME", "sagas.trip", "participants.NAME", "participants.warehouse", "NAME", "charge").Replace(key)
		if l.from(key) == "default" {
			t.Errorf("the example does not have %s", key)
		}
	}
}

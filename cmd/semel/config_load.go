package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// loaded is a configuration, and where each part of it came from.
type loaded struct {
	config
	file     *configFile // nil if there is none
	origins  map[string]string
	warnings problems
	environ  []string
}

// from is where a key was said: "default", FILE:LINE, a variable or a flag.
func (l *loaded) from(path string) string {
	if o, ok := l.origins[path]; ok {
		return o
	}
	if l.file != nil {
		if _, ok := l.file.lines[path]; ok {
			return l.file.at(path)
		}
	}
	return "default"
}

// where is from for a problem: the place to mend something that was not said
// is what is around it, or the file.
func (l *loaded) where(path string) string {
	if f := l.from(path); f != "default" {
		return f
	}
	if l.file != nil {
		return l.file.at(path)
	}
	return ""
}

// source is what a configuration is made of. It can be loaded again.
type source struct {
	flags   *pflag.FlagSet // with addSettings
	environ []string
}

// load gathers the layers: flags over variables over the file over defaults.
// What it returns beside problems may be shown, but not used.
func (s source) load() (*loaded, problems) {
	l := &loaded{origins: make(map[string]string), environ: s.environ}
	var bad problems
	k := koanf.New(".")
	if name := s.fileName(); name != "" {
		var more problems
		l.file, more = readFile(name)
		bad = append(bad, more...)
	}
	var layers []koanf.Provider
	if l.file != nil {
		layers = append(layers, confmap.Provider(l.file.values, "")) // nested: an effect's name may have dots
	}
	layers = append(layers, s.environment(l, &bad), s.commandLine(l))
	for _, layer := range layers {
		if err := k.Load(layer, nil); err != nil {
			bad.add("", "", "%v", err)
		}
	}
	l.config = defaultConfig()
	if err := k.UnmarshalWithConf("", &l.config, strict()); err != nil {
		bad.add("", "", "%v", err)
	}
	return l, bad
}

// strict decodes values that have their types already: to convert them would
// hide a mistake.
func strict() koanf.UnmarshalConf {
	return koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{ErrorUnused: true}}
}

// fileName is the file of --config or SEMEL_CONFIG, or "".
func (s source) fileName() string {
	if name, _ := s.flags.GetString("config"); name != "" {
		return name
	}
	name, _ := lookup(s.environ, envPrefix+"CONFIG")
	return name
}

func (s source) environment(l *loaded, bad *problems) koanf.Provider {
	var names []string
	for _, set := range settings {
		names = append(names, set.envName())
	}
	return env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return s.environ },
		TransformFunc: func(name, text string) (string, any) {
			i := slices.Index(names, name)
			if i < 0 {
				l.warnUnknown(name, names)
				return "", nil
			}
			if text == "" { // as from a template that had nothing to fill in
				return "", nil
			}
			set := settings[i]
			v, err := parseText(set.of(&l.config).Type(), text)
			if err != nil {
				bad.add(name, set.path, "%v", err)
				return "", nil
			}
			l.origins[set.path] = name
			return set.path, v
		},
	})
}

// others are variables of other parts of the program.
var others = []string{"SEMEL_CONFIG", "SEMEL_TOKEN", "SEMEL_URL", "SEMEL_SERVER"}

// warnUnknown does not refuse: Kubernetes gives every pod variables of its own
// for a service called semel (SEMEL_PORT, SEMEL_SERVICE_HOST).
func (l *loaded) warnUnknown(name string, names []string) {
	if slices.Contains(others, name) {
		return
	}
	if n := nearest(strings.ToLower(name[len(envPrefix):]), lowered(names)); n != "" {
		l.warnings.add(name, "", "the variable is not used; was %s meant?", envPrefix+strings.ToUpper(n))
	}
}

// lowered drops the prefix, so that it does not make all names alike.
func lowered(names []string) []string {
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = strings.ToLower(n[len(envPrefix):])
	}
	return short
}

func (s source) commandLine(l *loaded) koanf.Provider {
	return posflag.ProviderWithFlag(s.flags, ".", nil, func(f *pflag.Flag) (string, any) {
		v, ok := f.Value.(*flagValue)
		if !ok || !f.Changed {
			return "", nil
		}
		i := slices.IndexFunc(settings, func(set setting) bool { return set.flagName() == f.Name })
		l.origins[settings[i].path] = "--" + f.Name
		return settings[i].path, v.value
	})
}

// expandHeaders replaces ${NAME} in the values of effects' headers, so that a
// secret can stay out of the file. $ before anything else is itself. It returns
// the paths of the headers that have no value because of a problem.
func (l *loaded) expandHeaders(bad *problems) (failed map[string]bool) {
	failed = make(map[string]bool)
	for name, e := range l.Effects {
		for header, value := range e.Headers {
			path := fmt.Sprintf("effects.%s.headers.%s", name, header)
			text, err := expand(string(value), l.environ)
			if err != nil {
				bad.add(l.where(path), path, "%v", err)
				failed[path] = true
			}
			e.Headers[header] = secret(text)
		}
	}
	return failed
}

func expand(text string, environ []string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !isEnvName(name) {
			return "", fmt.Errorf("after ${ there must be the name of a variable and }")
		}
		value, ok := lookup(environ, name)
		if !ok || value == "" {
			return "", fmt.Errorf("the variable %s is not set; set it, or put the value in", name)
		}
		out.WriteString(value)
		text = after
	}
}

func isEnvName(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// lookup finds a variable; the last one counts, as in os/exec.
func lookup(environ []string, name string) (string, bool) {
	for _, kv := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// commandSource is the configuration of this process.
func commandSource(flags *pflag.FlagSet) source { return source{flags: flags, environ: os.Environ()} }

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfigBytes is more than any configuration has.
const maxConfigBytes = 1 << 20

// configFile is what a file says: nested values of exactly the types of config,
// and the line of each key, by its path (auth.principals[0].tokens[1]).
type configFile struct {
	name   string
	values map[string]any
	lines  map[string]int
}

// at is the place of a key, or of the nearest part around it.
func (f *configFile) at(path string) string {
	for ; path != ""; path = parent(path) {
		if line, ok := f.lines[path]; ok {
			return f.name + ":" + strconv.Itoa(line)
		}
	}
	return f.name
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// readFile reads a configuration file and finds everything that is wrong with
// its form. Strict on purpose: a key that is not understood is a setting that
// somebody believes in.
func readFile(name string) (*configFile, problems) {
	b, err := readBounded(name)
	if err != nil {
		return nil, problems{{From: name, Text: err.Error()}}
	}
	return parseFile(name, b)
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the name is said already
		}
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	if len(b) > maxConfigBytes {
		return nil, fmt.Errorf("the configuration file has more than %v", size(maxConfigBytes))
	}
	return b, nil
}

func parseFile(name string, b []byte) (*configFile, problems) {
	r := &fileReader{file: &configFile{name: name, values: map[string]any{}, lines: map[string]int{}}}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return r.file, nil // nothing but comments
	} else if err != nil {
		r.syntax(err)
		return r.file, r.problems
	}
	if err := decoder.Decode(&more); err == nil {
		r.problem(&more, "", "the file has a second document; put all in one")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	if v, ok := r.value(doc.Content[0], reflect.TypeFor[config](), ""); ok {
		r.file.values = v.(map[string]any)
	}
	return r.file, r.problems
}

// fileReader turns nodes into values, and gathers problems.
type fileReader struct {
	file     *configFile
	problems problems
}

func (r *fileReader) problem(n *yaml.Node, path, format string, args ...any) {
	r.problems.add(r.file.name+":"+strconv.Itoa(max(n.Line, 1)), path, format, args...)
}

var (
	yamlLine  = regexp.MustCompile(`\bline (\d+): `)
	yamlQuote = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")
)

// syntax tells a mistake of YAML. The parser quotes from the file, which may be
// a secret, so quotations are dropped.
func (r *fileReader) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := "1"
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line = m[1]
	}
	text = yamlQuote.ReplaceAllString(yamlLine.ReplaceAllString(text, ""), "…")
	r.problems.add(r.file.name+":"+line, "", "this is not YAML: %s", text)
}

// value returns a node's value, and false if it has none of use.
func (r *fileReader) value(n *yaml.Node, t reflect.Type, path string) (any, bool) {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		r.problem(n, path, "anchors and aliases are not taken; write it out")
		return nil, false
	}
	switch {
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		if n.Tag == "!!null" {
			return nil, false // a section whose keys are all commented out
		}
		if n.Kind != yaml.MappingNode {
			r.problem(n, path, "it must be a mapping: keys with values, indented below it")
			return nil, false
		}
		return r.mapping(n, t, path), true
	case t.Kind() == reflect.Slice:
		if n.Tag == "!!null" {
			return nil, false
		}
		if n.Kind != yaml.SequenceNode {
			r.problem(n, path, "it must be a list: [a, b], or a line with - for each")
			return nil, false
		}
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			r.file.lines[at] = item.Line
			v, ok := r.value(item, t.Elem(), at)
			if !ok && item.Tag == "!!null" && t.Elem().Kind() == reflect.Struct { // a scalar has said it
				r.problem(item, at, "it has no value")
			}
			if !ok { // the place is kept, so that the next ones have their numbers
				v = reflect.Zero(t.Elem()).Interface()
				if t.Elem().Kind() == reflect.Struct {
					v = map[string]any{}
				}
			}
			list = append(list, v)
		}
		return list, true
	}
	return r.scalar(n, t, path)
}

func (r *fileReader) mapping(n *yaml.Node, t reflect.Type, path string) map[string]any {
	values := make(map[string]any)
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag != "!!str" || key.Anchor != "" {
			r.problem(key, path, "a key here must be a name")
			continue
		}
		at := join(path, key.Value)
		if first, ok := seen[key.Value]; ok {
			r.problem(key, at, "the key is in line %d already", first)
			continue
		}
		seen[key.Value] = key.Line
		r.file.lines[at] = key.Line
		elem := t
		if t.Kind() == reflect.Map {
			elem = t.Elem()
		} else if f, ok := field(t, key.Value); ok {
			elem = f.Type
		} else {
			r.problem(key, at, "%s", unknownKey(key.Value, keysOf(t)))
			continue
		}
		if t.Kind() == reflect.Map && elem.Kind() == reflect.Struct && value.Tag == "!!null" {
			r.problem(value, at, "it has no value; say what it is, or remove it")
			continue
		}
		if v, ok := r.value(value, elem, at); ok {
			values[key.Value] = v
		}
	}
	return values
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("koanf"))
	}
	return keys
}

// tags are the types that a scalar may be written in. A number where text is
// meant is refused, because YAML has changed it already: 010 is 8.
func tags(t reflect.Type) []string {
	switch {
	case t == sizeType:
		return []string{"!!str", "!!int"}
	case t == durationType, t.Kind() == reflect.String:
		return []string{"!!str"}
	case t.Kind() == reflect.Bool:
		return []string{"!!bool"}
	}
	return []string{"!!int"}
}

func (r *fileReader) scalar(n *yaml.Node, t reflect.Type, path string) (any, bool) {
	if n.Tag == "!!null" {
		r.problem(n, path, "it has no value; remove the key for the default")
		return nil, false
	}
	fits := false
	for _, tag := range tags(t) {
		fits = fits || n.Tag == tag
	}
	if n.Kind != yaml.ScalarNode || !fits {
		want := "it must be text; put it in quotes"
		if t.Kind() != reflect.String {
			_, err := parseText(t, "")
			want = err.Error()
		}
		if n.Kind != yaml.ScalarNode {
			want = "it must be one value, not a list or a mapping"
		}
		r.problem(n, path, "%s", want)
		return nil, false
	}
	v, err := parseText(t, n.Value)
	if err != nil {
		r.problem(n, path, "%v", err)
		return nil, false
	}
	return v, true
}

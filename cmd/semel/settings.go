package main

import (
	"reflect"
	"strings"

	"github.com/spf13/pflag"
)

// A setting is a key of the configuration that can be given as a flag and as a
// variable as well. What has parts of its own (principals, effects) is only in
// the file.
type setting struct {
	path  string // in the file, as in tls.cert
	flag  string // if it is not the path with dashes
	usage string
}

var settings = []setting{
	{path: "data", usage: "the data `directory`; it is created if it does not exist"},
	{path: "store.url", flag: "store", usage: "the `URL` of a PostgreSQL database that servers share, instead of a data directory; better in SEMEL_STORE_URL, as it may have a password in it"},
	{path: "store.schema", usage: "the `name` of the database's schema that has the tables"},
	{path: "store.shards", usage: "the `number` of shards of a database that is used for the first time; 0 for the store's default"},
	{path: "store.lease", usage: "the `time` after which a server that is not heard of loses its shards to the others"},
	{path: "node.address", usage: "the `URL` at which the other servers of the database reach this one, if not that of --listen"},
	{path: "node.secret", usage: "the `secret` that the servers of a database prove each other; better in SEMEL_NODE_SECRET"},
	{path: "listen", usage: "the `address` to listen on; port 0 chooses a free one"},
	{path: "hosts", flag: "host", usage: "a `name` under which a proxy on this machine asks for the server, besides localhost; repeat it for more"},
	{path: "wait", usage: "the `time` a call waits for its outcome before it is answered 409 in_flight"},
	{path: "insecure_public", usage: "allow an address that other machines can reach, although callers are not authenticated or not encrypted"},
	{path: "proxy_tls", usage: "a proxy in front ends TLS, so that the server need not"},
	{path: "tls.cert", usage: "the `file` of the certificate and its chain, PEM"},
	{path: "tls.key", usage: "the `file` of the certificate's private key, PEM"},
	{path: "retention", usage: "the `time` that a settled outcome is kept, at least"},
	{path: "skew", usage: "the `time` by which a key's own time may be ahead of this machine's clock"},
	{path: "max_body", usage: "the largest body of a call, in `bytes`"},
	{path: "max_state", usage: "the largest state of an agent, in `bytes`"},
	{path: "max_in_flight", usage: "the `number` of calls that may wait for their answer"},
	{path: "max_attempts", usage: "the `number` of tries before an accepted message is a dead letter"},
	{path: "effects_running", usage: "the `number` of effects that are called at once"},
	{path: "cache_bytes", usage: "the memory for agents' decoded states, in `bytes`"},
	{path: "memtable_bytes", usage: "what the store gathers in memory before it is sorted into tables, in `bytes`"},
	{path: "backups", usage: "the `directory` for backups that are asked for over HTTP; without it there are none"},
	{path: "change_feed", usage: "keep what GET /v1/changes tells"},
	{path: "log.level", usage: "the least `level` that is logged: debug, info, warn or error"},
	{path: "log.format", usage: "the `format` of the log: text or json"},
	{path: "otlp.endpoint", usage: "the `URL` of an OpenTelemetry collector that is sent traces (OTLP over HTTP)"},
}

// flagName is how the setting is given on the command line, without dashes.
func (s setting) flagName() string {
	if s.flag != "" {
		return s.flag
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.path)
}

const envPrefix = "SEMEL_"

// envName is the setting's environment variable.
func (s setting) envName() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// of returns the setting's place in a configuration.
func (s setting) of(c *config) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(s.path, ".") {
		f, ok := field(v.Type(), name)
		if !ok {
			panic("semel: no such setting: " + s.path)
		}
		v = v.FieldByIndex(f.Index)
	}
	return v
}

// field finds the struct field of a key.
func field(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("koanf") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// addSettings adds a flag for every setting, and --config.
func addSettings(f *pflag.FlagSet) {
	f.String("config", "", "the configuration `file`, YAML; see semel config example")
	c := defaultConfig()
	for _, s := range settings {
		v := s.of(&c)
		flag := f.VarPF(&flagValue{value: v.Interface(), t: v.Type()}, s.flagName(), "", s.usage)
		if v.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// flagValue is a pflag.Value that parses as the environment does, so that a
// value means the same wherever it stands.
type flagValue struct {
	value any
	t     reflect.Type
	given bool
}

func (f *flagValue) Set(text string) error {
	v, err := parseText(f.t, text)
	if err != nil {
		return err
	}
	if list, ok := v.([]string); ok && f.given {
		v = append(f.value.([]string), list...) // --host a --host b
	}
	f.value, f.given = v, true
	return nil
}

func (f *flagValue) String() string { return formatText(f.value) }

// Type is shown by the help where a flag's usage names none.
func (f *flagValue) Type() string {
	if f.t.Kind() == reflect.Bool {
		return "bool"
	}
	return "value"
}

package main

import (
	"time"

	"github.com/semel-dev/semel/webeffect"
)

// config is everything that `semel serve` can be told. A key of the file is a
// path of koanf tags; settings.go says which of them are flags and variables as
// well, docs/reference/configuration.md says it to people.
type config struct {
	Data           string        `koanf:"data"`
	Store          storeConfig   `koanf:"store"`
	Node           nodeConfig    `koanf:"node"`
	Listen         string        `koanf:"listen"`
	Hosts          []string      `koanf:"hosts"`
	Wait           time.Duration `koanf:"wait"`
	InsecurePublic bool          `koanf:"insecure_public"`
	ProxyTLS       bool          `koanf:"proxy_tls"`
	TLS            tlsConfig     `koanf:"tls"`
	Auth           authConfig    `koanf:"auth"`

	Effects map[string]effectConfig `koanf:"effects"`
	Sagas   map[string]sagaConfig   `koanf:"sagas"`

	Participants map[string]participantConfig `koanf:"participants"`

	Retention      time.Duration `koanf:"retention"`
	Skew           time.Duration `koanf:"skew"`
	MaxBody        size          `koanf:"max_body"`
	MaxState       size          `koanf:"max_state"`
	MaxInFlight    int           `koanf:"max_in_flight"`
	MaxAttempts    int           `koanf:"max_attempts"`
	EffectsRunning int           `koanf:"effects_running"`
	CacheBytes     size          `koanf:"cache_bytes"`
	MemtableBytes  size          `koanf:"memtable_bytes"`
	Backups        string        `koanf:"backups"`
	ChangeFeed     bool          `koanf:"change_feed"`

	Log  logConfig  `koanf:"log"`
	OTLP otlpConfig `koanf:"otlp"`
}

// storeConfig is a database that several servers share, instead of a directory.
type storeConfig struct {
	URL    secret        `koanf:"url"`
	Schema string        `koanf:"schema"`
	Shards int           `koanf:"shards"`
	Lease  time.Duration `koanf:"lease"`

	Parts map[string]partConfig `koanf:"parts"` // instead of URL
}

// partConfig is one of the databases that a store is divided among.
type partConfig struct {
	URL    secret `koanf:"url"` // ${NAME} is replaced when the file is read
	Shards string `koanf:"shards"`
}

// shared says whether the store is one that several servers share.
func (c *config) shared() bool { return c.Store.URL != "" || len(c.Store.Parts) > 0 }

// nodeConfig is how the servers that share a database reach each other.
type nodeConfig struct {
	Address string `koanf:"address"`
	Secret  secret `koanf:"secret"`
}

// tlsConfig names PEM files. Both are given, or neither.
type tlsConfig struct {
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// authConfig is who may call. Nobody is asked if there are no principals.
type authConfig struct {
	Principals []principalConfig `koanf:"principals"`
}

type principalConfig struct {
	Name   string   `koanf:"name"`
	Tenant string   `koanf:"tenant"`
	Roles  []string `koanf:"roles"`
	Tokens []secret `koanf:"tokens"` // hashes; see server.HashToken
}

// effectConfig is an effect that is an HTTP request; its name is the key above.
// A zero field means the effect's own default.
type effectConfig struct {
	URL          string            `koanf:"url"`
	Method       string            `koanf:"method"`
	Policy       string            `koanf:"policy"`
	Timeout      time.Duration     `koanf:"timeout"`
	Attempts     int               `koanf:"attempts"`
	ProbeURL     string            `koanf:"probe_url"`
	Headers      map[string]secret `koanf:"headers"` // ${NAME} is replaced when the file is read
	AllowPrivate bool              `koanf:"allow_private"`
	MaxReply     size              `koanf:"max_reply"`
}

// spec is the effect as webeffect takes it.
func (e effectConfig) spec() webeffect.Spec {
	headers := make(map[string]string, len(e.Headers))
	for name, value := range e.Headers {
		headers[name] = string(value)
	}
	return webeffect.Spec{
		URL: e.URL, Method: e.Method, Policy: e.Policy, Timeout: e.Timeout, Attempts: e.Attempts,
		ProbeURL: e.ProbeURL, Headers: headers, AllowPrivate: e.AllowPrivate, MaxReply: int64(e.MaxReply),
	}
}

// specs are all effects.
func (c *config) specs() map[string]webeffect.Spec {
	all := make(map[string]webeffect.Spec, len(c.Effects))
	for name, e := range c.Effects {
		all[name] = e.spec()
	}
	return all
}

type logConfig struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
}

type otlpConfig struct {
	Endpoint string `koanf:"endpoint"`
}

// defaultConfig is what applies where nothing is said.
func defaultConfig() config {
	return config{
		Data:           "semel-data",
		Store:          storeConfig{Schema: "semel", Lease: 5 * time.Second},
		Listen:         "127.0.0.1:7075",
		Wait:           10 * time.Second,
		Retention:      24 * time.Hour,
		Skew:           5 * time.Minute,
		MaxBody:        1 << 20,
		MaxState:       1 << 20,
		MaxInFlight:    16384,
		MaxAttempts:    10,
		EffectsRunning: 1024,
		CacheBytes:     256 << 20,
		MemtableBytes:  64 << 20,
		ChangeFeed:     true,
		Log:            logConfig{Level: "info", Format: "text"},
	}
}

package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/twopc"
	"github.com/semel-dev/semel/twopc/web"
)

// participantConfig is a participant of transactions over HTTP; its name is the key
// above. A zero field means the participant's own default.
type participantConfig struct {
	URL          string            `koanf:"url"`
	Timeout      time.Duration     `koanf:"timeout"`
	Headers      map[string]secret `koanf:"headers"` // ${NAME} is replaced when the file is read
	AllowPrivate bool              `koanf:"allow_private"`
	MaxReply     size              `koanf:"max_reply"`
}

func (p participantConfig) participant() (*web.Participant, error) {
	header := make(http.Header)
	for name, value := range p.Headers {
		header.Set(name, string(value))
	}
	return web.New(web.Config{URL: p.URL, Header: header, AllowPrivate: p.AllowPrivate, Timeout: p.Timeout, MaxReply: int64(p.MaxReply)})
}

// checkParticipants expands their headers, and looks at what can be said without
// calling them. No value is quoted: each may be a secret in the wrong place.
func (l *loaded) checkParticipants(bad *problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Participants)) {
		p, at := l.Participants[name], "participants."+name
		if err := message.CheckName("participant's name", name); err != nil {
			bad.add(l.where(at), at, "%v", err)
			continue
		}
		expanded := true
		for header, value := range p.Headers {
			text, err := expand(string(value), l.environ)
			if err != nil {
				path := at + ".headers." + header
				bad.add(l.where(path), path, "%v", err)
				expanded = false
			}
			p.Headers[header] = secret(text)
		}
		switch {
		case p.URL == "":
			bad.add(l.where(at), at, "it has no url; say where its requests are sent")
		case expanded:
			if _, err := p.participant(); err != nil {
				bad.add(l.where(at), at, "%v", err)
			}
		}
	}
}

// registerParticipants makes those of the configuration known to the coordinator.
func (c *config) registerParticipants(co *twopc.Coordinator) error {
	for _, name := range slices.Sorted(maps.Keys(c.Participants)) {
		p, err := c.Participants[name].participant()
		if err != nil {
			return fmt.Errorf("participants.%s: %w", name, err)
		}
		co.Register(name, p)
	}
	return nil
}

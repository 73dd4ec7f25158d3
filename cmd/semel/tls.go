package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// certificate is what TLS shows to clients. It is read whole before anything is
// replaced, so a file that is half written changes nothing.
type certificate struct{ tls.Certificate }

// certificate reads the files of TLS; nil if none are named.
func (l *loaded) certificate(bad *problems) *certificate {
	switch {
	case l.TLS == tlsConfig{}:
		return nil
	case l.TLS.Cert == "":
		bad.add(l.where("tls.key"), "tls.cert", "it is missing; tls.key needs it")
		return nil
	case l.TLS.Key == "":
		bad.add(l.where("tls.cert"), "tls.key", "it is missing; tls.cert needs it")
		return nil
	}
	cert, certErr := readPEM(l.TLS.Cert)
	if certErr != nil {
		bad.add(l.where("tls.cert"), "tls.cert", "%v", certErr)
	}
	key, keyErr := readPEM(l.TLS.Key)
	if keyErr != nil {
		bad.add(l.where("tls.key"), "tls.key", "%v", keyErr)
	}
	if certErr != nil || keyErr != nil {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		bad.add(l.where("tls.cert"), "tls", "%s and %s are not a certificate and its key: %v", l.TLS.Cert, l.TLS.Key, err)
		return nil
	}
	return &certificate{pair}
}

func readPEM(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, fmt.Errorf("%s cannot be read: %w", name, path.Err)
	}
	return b, err
}

// expired says so in words, or is "". An expired certificate is served all the
// same: some clients do not look, and no server at all serves nobody.
func (c *certificate) expired(now time.Time) string {
	switch {
	case now.After(c.Leaf.NotAfter):
		return "it expired on " + c.Leaf.NotAfter.Format(time.DateOnly)
	case now.Before(c.Leaf.NotBefore):
		return "it is valid from " + c.Leaf.NotBefore.Format(time.DateOnly)
	}
	return ""
}

// certificates holds the certificate of new connections.
type certificates struct{ current atomic.Pointer[certificate] }

// config is for a server. TLS 1.2 is the least: older versions are broken
// (RFC 8996).
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &c.current.Load().Certificate, nil
		},
	}
}

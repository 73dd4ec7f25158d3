package outbound

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

const maxResponseHeader = 64 << 10

// NewTransport makes connections, and is used for nothing else: its RoundTrip
// would choose one, and may send a request again on another when the first was
// closed by the server (a POST too, if it has an Idempotency-Key).
func NewTransport(allowPrivate bool, config *tls.Config) *http.Transport {
	dialer := &net.Dialer{KeepAlive: -1}
	if !allowPrivate {
		dialer.Control = RefusePrivate
	}
	if config != nil {
		config = config.Clone()
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeader,
		Protocols:              protocols,
	}
}

// Lost words why an answer did not come, or not completely. It does not repeat
// err: net/http quotes what it cannot read, and an endpoint may echo a header with
// a secret, or the query.
func Lost(err error) error {
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the connection timed out")
	}
	return fmt.Errorf("what came on the connection is no whole answer of HTTP/1.1 with a header of at most %d bytes", maxResponseHeader)
}

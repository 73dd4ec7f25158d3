package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options tune a client. The zero value of a field means its default.
type Options struct {
	// Token is sent as a bearer token. It decides who calls: tenant, principal
	// and role. It is sent to the server only: redirects are not followed.
	Token string
	// HTTP sends the requests. The default keeps up to 64 idle connections. It
	// is copied, and its CheckRedirect is not used: a redirected call would
	// become another request.
	HTTP *http.Client
	// Retries is how often at most a request is sent again after failures; 10.
	// A negative number means never. To ask again for what is in flight does
	// not count: that goes on until the context ends.
	Retries int
	// BackoffBase and BackoffMax bound the waits between attempts: the n-th is
	// drawn between zero and BackoffBase·2ⁿ, at most BackoffMax. A longer
	// Retry-After is honoured. 100 ms and 5 s.
	BackoffBase, BackoffMax time.Duration
	// PageSize is how many entries of a listing are asked for at once, from 1
	// to 1000; 500.
	PageSize int
	// OnRetry is told why a request is sent again, and after what wait, before
	// the wait begins. It must not block; it is called by many goroutines.
	OnRetry func(err error, wait time.Duration)
}

// Client calls the agents of one server. It is safe for concurrent use.
type Client struct {
	base string // without a slash at its end
	http http.Client
	opt  Options

	patience time.Duration // the longest wait that is asked of the server at once
	grace    time.Duration // how much longer than that an attempt may take
	idle     time.Duration // how long a feed may be silent
}

// New makes a client of the server at a URL such as http://127.0.0.1:7075. A
// path in it is kept, for a proxy that serves Semel below one. Nothing is sent
// yet. Nil options mean the defaults.
func New(baseURL string, opts *Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: the server's URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("client: %q is not the URL of a server; give one such as http://127.0.0.1:7075", baseURL)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("client: the server's URL must have no query, fragment, or user; a token belongs into Options.Token")
	}
	c := &Client{base: strings.TrimRight(u.String(), "/"), patience: 30 * time.Second, grace: 30 * time.Second, idle: 45 * time.Second}
	if opts != nil {
		c.opt = *opts
	}
	if err := c.opt.complete(); err != nil {
		return nil, err
	}
	if c.opt.HTTP != nil {
		c.http = *c.opt.HTTP
	} else {
		c.http.Transport = transport()
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func (o *Options) complete() error {
	switch {
	case o.PageSize < 0 || o.PageSize > 1000:
		return fmt.Errorf("client: PageSize is %d; choose 1 to 1000, or 0 for the default", o.PageSize)
	case o.BackoffBase < 0 || o.BackoffMax < 0:
		return errors.New("client: BackoffBase and BackoffMax must not be negative; 0 means the default")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("client: the token has a character that no token has, perhaps a line end at its end") // which one is nobody's business
	}
	if o.Retries == 0 {
		o.Retries = 10
	}
	if o.BackoffBase == 0 {
		o.BackoffBase = 100 * time.Millisecond
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = 5 * time.Second
	}
	if o.PageSize == 0 {
		o.PageSize = 500
	}
	return nil
}

// transport is the standard one with more idle connections: two, as by
// default, make most concurrent calls dial.
func transport() http.RoundTripper {
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // the program replaced it; it knows why
		return http.DefaultTransport
	}
	t := standard.Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

package outbound

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads a URL. What is wrong is told in words that do not repeat it:
// url.Parse would, and with it a secret.
func ParseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("it is missing; set it to the http or https URL of the endpoint")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL; write it as https://host/path, with special characters percent-encoded")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it must begin with https:// or http://")
	case u.User != nil:
		return nil, errors.New("it must not contain a user name or password; send them in headers, such as Authorization")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it has no host; write it as https://host/path")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > 0x7e }):
		return nil, errors.New("its host is not in ASCII; write an international name in its xn-- form")
	case u.Fragment != "":
		return nil, errors.New("it has a fragment (#…), which is never sent; remove it, or write # as %23")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("its port is not between 1 and 65535")
		}
	}
	return u, nil
}

// Address is what to dial.
func Address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

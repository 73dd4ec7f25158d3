// Package outbound has the rules of calls to places that a configuration names:
// which URLs are taken, which addresses are connected, and how a connection is made
// so that it is certain whether anything was sent on it. It knows nothing of what is
// called, and why.
package outbound

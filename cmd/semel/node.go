package main

import (
	"net"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/server"
	"github.com/semel-dev/semel/store"
	"github.com/semel-dev/semel/store/postgres"
	"github.com/semel-dev/semel/store/split"
)

// cluster is how this server and the others that share its database reach each
// other; nil for a server with a data directory.
func (u *usable) cluster(l net.Listener) *semel.Cluster {
	if !u.shared() {
		return nil
	}
	address := u.Node.Address
	if address == "" {
		address = baseURL(l, u.cert != nil)
	}
	return &semel.Cluster{Address: address, Ask: server.AskNodes(string(u.Node.Secret), nil)}
}

// database is the store that servers share.
func (c *config) database() store.Opener {
	if len(c.Store.Parts) > 0 {
		parts, _ := c.parts()
		return split.Of(parts...)
	}
	return postgres.At(string(c.Store.URL), c.databaseOptions())
}

func (c *config) databaseOptions() postgres.Options {
	return postgres.Options{Schema: c.Store.Schema, Shards: c.Store.Shards, Lease: c.Store.Lease}
}

// place is what holds the data, for people.
func (c *config) place(dir string) string {
	switch {
	case !c.shared():
		return dir
	case len(c.Store.Parts) > 0:
		return c.partPlaces() + " schema " + c.Store.Schema
	}
	return placeOf(c.Store.URL) + " schema " + c.Store.Schema
}

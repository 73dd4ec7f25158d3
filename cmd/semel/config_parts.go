package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/semel-dev/semel/store/postgres"
	"github.com/semel-dev/semel/store/split"
)

const notDatabase = "it is no URL of a database; give postgres://USER@HOST/DATABASE"

// expandParts replaces ${NAME} in the URLs of the store's parts, so that passwords
// can stay out of the file.
func (l *loaded) expandParts(bad *problems) {
	for _, name := range slices.Sorted(maps.Keys(l.Store.Parts)) {
		p := l.Store.Parts[name]
		text, err := expand(string(p.URL), l.environ)
		if err != nil {
			path := "store.parts." + name + ".url"
			bad.add(l.where(path), path, "%v", err)
		}
		p.URL = secret(text)
		l.Store.Parts[name] = p
	}
}

// checkParts looks at what can be said of the parts without asking them.
func (l *loaded) checkParts(refuse func(path, format string, args ...any)) {
	if l.Store.URL != "" {
		refuse("store.parts", "there is a store.url as well; the store is in one database, or in those of its parts")
	}
	wrong := false
	for _, name := range slices.Sorted(maps.Keys(l.Store.Parts)) {
		at, p := "store.parts."+name, l.Store.Parts[name]
		if p.URL != "" && !isDatabase(string(p.URL)) { // an empty one was told when it was expanded
			refuse(at+".url", notDatabase)
		} else if p.URL == "" && l.from(at+".url") == "default" {
			refuse(at+".url", "it has none; say where the part is")
		}
		if _, err := split.ParseShards(p.Shards); err != nil {
			refuse(at+".shards", "%v", err)
			wrong = true
		}
	}
	if wrong {
		return
	}
	parts, shards := l.parts()
	if err := split.Check(parts...); err != nil {
		refuse("store.parts", "%v", err)
	} else if l.Store.Shards != 0 && l.Store.Shards != shards {
		refuse("store.shards", "it is %d, and the parts have %d; leave it out", l.Store.Shards, shards)
	}
}

// parts are the store's parts, and how many shards they have. Lists that are wrong
// have none.
func (c *config) parts() (parts []split.Part, shards int) {
	for _, name := range slices.Sorted(maps.Keys(c.Store.Parts)) {
		list, _ := split.ParseShards(c.Store.Parts[name].Shards)
		parts = append(parts, split.Part{Name: name, Shards: list})
		shards += len(list)
	}
	opt := c.databaseOptions()
	opt.Shards = shards
	for i := range parts {
		parts[i].Opener = postgres.At(string(c.Store.Parts[parts[i].Name].URL), opt)
	}
	return parts, shards
}

// renew makes the database, or all of them, a store of its own after a restore.
func (c *config) renew(ctx context.Context) error {
	opt := c.databaseOptions()
	if len(c.Store.Parts) == 0 {
		return postgres.Renew(ctx, string(c.Store.URL), opt)
	}
	parts, shards := c.parts()
	opt.Shards = shards
	return split.Renew(ctx, parts, func(ctx context.Context, name string) error {
		return postgres.Renew(ctx, string(c.Store.Parts[name].URL), opt)
	})
}

// placeOf names a database for people.
func placeOf(text secret) string {
	u, err := url.Parse(string(text))
	if err != nil {
		return "the database"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// partPlaces names the parts for people.
func (c *config) partPlaces() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c.Store.Parts)) {
		p := c.Store.Parts[name]
		all = append(all, fmt.Sprintf("%s (%s) %s", name, p.Shards, placeOf(p.URL)))
	}
	return strings.Join(all, ", ")
}

var errNoDatabase = errors.New("no database is named; give --store, SEMEL_STORE_URL, or store.url or store.parts in the file of --config")

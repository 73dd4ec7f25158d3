package server

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// The entries of a page.
const (
	pageDefault = 100
	pageMax     = 1000

	// pageBytes ends a page early, so that a thousand bodies of a megabyte are
	// not gathered in memory: an entry more than that may be in it.
	pageBytes = 4 << 20
)

// weighty is an entry that has a body or a reply in it.
type weighty interface{ weight() int }

// pageOf reads the query's limit and cursor. The cursor goes to the listing,
// which refuses one that is not its own.
func pageOf(r *http.Request) (limit int, after semel.ListOption, err error) {
	q := r.URL.Query()
	limit = pageDefault
	if text := q.Get("limit"); text != "" || q.Has("limit") {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > pageMax {
			return 0, nil, &semel.NotDoneError{Code: message.CodeInvalidRequest, Detail: fmt.Sprintf("limit is %q; give a number from 1 to %d", text, pageMax)}
		}
	}
	return limit, semel.After(semel.Place(q.Get("cursor"))), nil
}

// collect takes a page from a listing, and the place of its last entry if there
// are more behind it.
func collect[T, Doc any](list iter.Seq2[T, error], limit int, doc func(T) Doc, place func(T) semel.Place) (page []Doc, next semel.Place, err error) {
	page = make([]Doc, 0, min(limit, pageDefault))
	var last T
	size := 0
	for entry, err := range list {
		if err != nil {
			return nil, "", err
		}
		if len(page) == limit || size > pageBytes {
			return page, place(last), nil
		}
		d := doc(entry)
		switch d := any(d).(type) {
		case weighty:
			size += d.weight()
		case saga.View:
			size += len(d.State)
		case twopc.Info:
			for i := range d.Branches {
				size += len(d.Branches[i].Reply)
			}
		}
		page, last = append(page, d), entry
	}
	return page, "", nil
}

// chosen is the entries of a listing that are asked for.
func chosen[T any](list iter.Seq2[T, error], is func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for entry, err := range list {
			if (err != nil || is(entry)) && !yield(entry, err) {
				return
			}
		}
	}
}

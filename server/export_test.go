package server

import (
	"maps"
	"slices"

	"github.com/semel-dev/semel"
)

// Codes are all that a problem document may have for its code, besides those
// that handlers choose.
func Codes() (all []string) {
	for code := range maps.Keys(answers) {
		all = append(all, string(code))
	}
	slices.Sort(all)
	return all
}

// RouteRow is a line of the table of routes, as far as tests look at it.
type RouteRow struct {
	Method, Path string
	Open         bool // for everybody
}

// Routes are the lines of the table.
func Routes(app *semel.App, opts Options) (rows []RouteRow) {
	for _, rt := range newAPI(app, opts).routes() {
		rows = append(rows, RouteRow{rt.method, rt.path, rt.roles == 0})
	}
	return rows
}

package server

import (
	"cmp"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
)

// openAPI is GET /openapi.json: the description of the API (OpenAPI 3.1), made
// of the routes and of the actions that the App has.
func (s *api) openAPI(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, s.described())
}

func (s *api) describe() *huma.OpenAPI {
	d := describer{
		registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
		paths:    make(map[string]*huma.PathItem),
	}
	for _, rt := range s.routes() {
		d.add(rt, nil)
		if rt.path == actionPath {
			for _, info := range s.app.Actions() {
				if info.Type != effectsType && ownRoute(info.Type) == "" {
					d.add(concrete(rt, info), &info)
				}
			}
		}
	}
	security := []map[string][]string{{"token": {}}}
	if s.open() {
		security = append(security, map[string][]string{}) // or nothing
	}
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Semel", Version: cmp.Or(s.Version, "dev"),
			Description: "Every call takes effect exactly once per Idempotency-Key. Of a failure, kind says whether it took effect.",
		},
		Paths: d.paths,
		Components: &huma.Components{
			Schemas: d.registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer"},
			},
		},
		Security: security,
	}
}

// concrete is the route of one action that the App has.
func concrete(rt route, info semel.ActionInfo) route {
	rt.path = "/v1/agents/" + info.Type + "/{id}/" + info.Action
	rt.id = info.Type + "-" + info.Action
	rt.about = "Call " + info.Action + " of an agent of type " + info.Type
	rt.query = append([]param(nil), rt.query...)
	rt.query[0].required = info.NeedsKey()
	return rt
}

type describer struct {
	registry huma.Registry
	paths    map[string]*huma.PathItem
}

// add describes a route; info is of the action if the route is of one.
func (d *describer) add(rt route, info *semel.ActionInfo) {
	op := &huma.Operation{OperationID: rt.id, Summary: rt.about, Method: rt.method, Path: rt.path, Responses: make(map[string]*huma.Response)}
	if rt.roles == 0 {
		op.Security = []map[string][]string{{}}
	}
	for _, name := range pathNames.FindAllStringSubmatch(rt.path, -1) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name[1], In: "path", Required: true, Schema: nameSchema()})
	}
	for _, p := range rt.query {
		in, schema := "query", d.registry.Schema(reflect.TypeOf(p.sample), false, "")
		switch p.name {
		case keyHeader:
			schema.Pattern = headerKeyPattern
		case "limit":
			schema.Minimum, schema.Maximum = ptr(1.0), ptr(float64(pageMax))
		case "cursor":
			schema.Pattern = "^[A-Za-z0-9_-]*$"
		case "state":
			for _, state := range transactionStates {
				schema.Enum = append(schema.Enum, state)
			}
		case "phase":
			for _, phase := range saga.Phases {
				schema.Enum = append(schema.Enum, string(phase))
			}
		case "type":
			schema.MaxLength, schema.MinLength = ptr(message.MaxNameBytes), ptr(1)
		case "key":
			schema.MaxLength, schema.Pattern = ptr(message.MaxKeyBytes), keyPattern
		}
		if p.name[0] >= 'A' && p.name[0] <= 'Z' {
			in = "header"
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: in, Description: p.about, Required: p.required, Schema: schema})
	}
	d.body(op, rt, info)
	d.replies(op, rt, info)
	item := d.paths[rt.path]
	if item == nil {
		item = &huma.PathItem{}
		d.paths[rt.path] = item
	}
	switch rt.method {
	case http.MethodGet:
		item.Get = op
	case http.MethodPost:
		item.Post = op
	case http.MethodDelete:
		item.Delete = op
	}
}

var pathNames = regexp.MustCompile(`\{(\w+)\}`)

// The patterns of names and keys, as message.CheckName has them: without control
// characters, and a name in a path is not made of one or two dots. The header has
// the key as a string of RFC 8941, or bare.
const (
	plainChar        = `[^\x00-\x1f\x7f-\x9f]`
	namePattern      = `^([^.\x00-\x1f\x7f-\x9f]` + plainChar + `*|\.[^.\x00-\x1f\x7f-\x9f]` + plainChar + `*|\.\.` + plainChar + `+)$`
	keyPattern       = `^` + plainChar + `+$`
	headerKeyPattern = `^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~]([ -~]{0,253}[!-~])?)$`
)

func nameSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, MaxLength: ptr(message.MaxNameBytes), Pattern: namePattern}
}

// body describes what a request carries.
func (d *describer) body(op *huma.Operation, rt route, info *semel.ActionInfo) {
	if rt.body == nil {
		return
	}
	var schema *huma.Schema
	switch {
	case info != nil:
		schema = d.loose(info.In)
	case rt.path == "/v1/calls":
		one := d.registry.Schema(reflect.TypeFor[callDoc](), true, "Call")
		schema = &huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one, MaxItems: ptr(maxBatch)}}}
	default:
		schema = d.of(rt.body)
	}
	op.RequestBody = &huma.RequestBody{
		Required: info == nil && rt.body != (raw{}) || rt.path == "/v1/calls",
		Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

// of is the schema of a document.
func (d *describer) of(doc any) *huma.Schema {
	if doc == (raw{}) {
		return &huma.Schema{}
	}
	return d.registry.Schema(reflect.TypeOf(doc), true, "")
}

// loose is the schema of an action's body or reply: of a body members may be
// left out, and others are ignored.
func (d *describer) loose(t reflect.Type) *huma.Schema {
	if t == reflect.TypeFor[struct{}]() {
		return &huma.Schema{}
	}
	schema := huma.SchemaFromType(huma.NewMapRegistry("#/", huma.DefaultSchemaNamer), t)
	if !self(schema) {
		return &huma.Schema{} // too deep for a description; the App checks it
	}
	schema.Required, schema.AdditionalProperties = nil, true
	return schema
}

// self says whether a schema stands by itself, without references.
func self(s *huma.Schema) bool {
	if s == nil {
		return true
	}
	if s.Ref != "" || !self(s.Items) {
		return false
	}
	for _, p := range s.Properties {
		if !self(p) {
			return false
		}
	}
	return true
}

// replies describes what may be answered.
func (d *describer) replies(op *huma.Operation, rt route, info *semel.ActionInfo) {
	ok := &huma.Response{Description: "Done"}
	switch {
	case info != nil:
		ok.Content = content("application/json", d.loose(info.Out))
	case rt.media != "":
		ok.Content = content(rt.media, &huma.Schema{Type: huma.TypeString})
	case rt.reply != nil:
		ok.Content = content("application/json", d.of(rt.reply))
	}
	for _, h := range rt.sends {
		if ok.Headers == nil {
			ok.Headers = make(map[string]*huma.Param)
		}
		ok.Headers[h.name] = &huma.Param{Description: h.about, Schema: d.registry.Schema(reflect.TypeOf(h.sample), false, "")}
	}
	op.Responses[strconv.Itoa(rt.status)] = ok
	if rt.roles&RoleCall != 0 && rt.method == http.MethodPost && slices.Contains(rt.query, waitParam) {
		op.Responses["202"] = &huma.Response{Description: "Accepted, as was preferred; no outcome", Headers: ok.Headers, Content: content("application/json", d.of(acceptedDoc{}))}
	}
	all := codes(rt.codes, []message.Code{codeMisdirected})
	if rt.roles != 0 {
		all = codes(all, []message.Code{codeUnauthorized, codeForbidden, codeNotFound})
	}
	said := make(map[int][]string)
	for _, code := range all {
		status := rejected.status
		if code != codeRejected {
			status = answers[code].status
		}
		said[status] = append(said[status], string(code))
	}
	problems := content("application/problem+json", d.registry.Schema(reflect.TypeFor[problem](), true, "Problem"))
	for status, list := range said {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: strings.Join(list, ", "), Content: problems}
	}
}

func content(media string, schema *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{media: {Schema: schema}}
}

func ptr[T any](v T) *T { return &v }

package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// made is a request that was made of the description.
type made struct {
	method, target string
	headers        []string
	body           []byte
	wrong          string // what was broken in it
}

func (m made) String() string {
	return fmt.Sprintf("%s %s %q %.200s", m.method, m.target, m.headers, m.body)
}

// request makes one that fits the description.
func (d *described) request(op operation) made { return d.make(op, "", nil) }

// broken makes requests that do not fit the description, each in one way.
func (d *described) broken(op operation) (all []made) {
	add := func(wrong, without string, params map[string]string, change func(*made)) {
		r := d.make(op, without, params)
		r.wrong = wrong
		if change != nil {
			change(&r)
		}
		all = append(all, r)
	}
	for _, p := range params(op) {
		name := p["name"].(string)
		if p["required"] == true && p["in"] != "path" {
			add("without "+name, name, nil, nil)
			add("with an empty "+name, "", map[string]string{name: ""}, nil)
		}
		schema := p["schema"].(map[string]any)
		switch {
		case schema["type"] == "integer":
			for _, v := range []string{"x", "", "-1", "0", "1.5", "99999999999999999999", "true"} {
				add(name+" is "+v, "", map[string]string{name: v}, nil)
			}
		case name == "cursor":
			add("a cursor of nobody's", "", map[string]string{name: "!"}, nil)
		case name == "key" || name == "Idempotency-Key":
			add("a long key", "", map[string]string{name: strings.Repeat("k", 513)}, nil)
		case p["in"] == "path":
			add("a long "+name, "", map[string]string{name: strings.Repeat("x", 513)}, nil)
			add("dots for "+name, "", map[string]string{name: ".."}, nil)
		}
	}
	body, ok := op.doc["requestBody"].(map[string]any)
	if !ok {
		return all
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "nonsense/;"} {
		add("of type "+media, "Content-Type", nil, func(r *made) { r.headers = append(r.headers, "Content-Type", media) })
	}
	add("compressed", "", nil, func(r *made) { r.headers = append(r.headers, "Content-Encoding", "gzip") })
	for _, b := range []string{"{", "nul", `{"a":1,"a":2}`, "\xff", `"\ud800"`, "1 2", "[1,]", "{\"a\":1}\x00", strings.Repeat("[", 1000) + strings.Repeat("]", 1000)} {
		add("of the body "+b[:min(len(b), 20)], "", nil, func(r *made) { r.body = []byte(b) })
	}
	if body["required"] == true {
		add("without a body", "", nil, func(r *made) { r.body = nil })
	}
	schema := d.deref(body["content"].(map[string]any)["application/json"].(map[string]any)["schema"])
	if one, ok := schema["oneOf"].([]any); ok {
		schema = d.deref(one[0])
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		for _, v := range []string{`{"x":[]}`, `[[]]`, `true`, `-1.5`, `"text"`} {
			if !d.fits(p, v) {
				add(name+" is "+v, "", nil, func(r *made) { r.body = d.object(schema, name, v) })
			}
		}
		if required, _ := schema["required"].([]any); slices.Contains(required, any(name)) {
			add("without the member "+name, "", nil, func(r *made) { r.body = d.object(schema, name, "") })
		}
	}
	if schema["additionalProperties"] == false {
		add("with another member", "", nil, func(r *made) { r.body = d.object(schema, "another", "1") })
	}
	return all
}

// fits says whether a JSON value has the schema's type; of null nobody is sure.
func (d *described) fits(schema any, value string) bool {
	s := d.deref(schema)
	if s["type"] == nil {
		return true
	}
	kind := map[byte]string{'{': "object", '[': "array", 't': "boolean", '-': "number", '"': "string"}[value[0]]
	if value[0] == '"' && s["enum"] != nil {
		return false
	}
	return s["type"] == kind
}

// object is a good one but for one member.
func (d *described) object(schema map[string]any, name, value string) []byte {
	o := d.value(schema).(map[string]any)
	delete(o, name)
	if value != "" {
		o[name] = json.RawMessage(value)
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return b
}

func params(op operation) (all []map[string]any) {
	list, _ := op.doc["parameters"].([]any)
	for _, p := range list {
		all = append(all, p.(map[string]any))
	}
	return all
}

// make makes a request, without one of the parameters, and with others chosen.
func (d *described) make(op operation, without string, chosen map[string]string) made {
	r := made{method: op.method, target: op.path}
	query := make(url.Values)
	for _, p := range params(op) {
		name := p["name"].(string)
		value, given := chosen[name]
		if name == without || !given && p["required"] != true && d.rng.IntN(2) == 0 {
			continue
		}
		if !given {
			value = d.param(op, name, p["schema"].(map[string]any))
		}
		switch p["in"] {
		case "path":
			r.target = strings.Replace(r.target, "{"+name+"}", strings.ReplaceAll(url.PathEscape(value), "..", "%2E%2E"), 1)
		case "query":
			query.Set(name, value)
		case "header":
			r.headers = append(r.headers, name, value)
		}
	}
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	if body, ok := op.doc["requestBody"].(map[string]any); ok {
		if without != "Content-Type" {
			r.headers = append(r.headers, "Content-Type", "application/json")
		}
		b, err := json.Marshal(d.value(d.deref(body["content"].(map[string]any)["application/json"].(map[string]any)["schema"])))
		if err != nil {
			panic(err)
		}
		r.body = b
	}
	return r
}

// param is a value for a parameter: mostly one that something is found by.
func (d *described) param(op operation, name string, schema map[string]any) string {
	pick := func(list ...string) string { return list[d.rng.IntN(len(list))] }
	switch name {
	case "tx":
		if tx, ok := d.sample(op); ok {
			return tx
		}
		return pick("x", "é/%", "f0d36a68-hmmw7veq-4v6a4xc3vjqbkf66rn4n2w-bvqvquf")
	case "saga":
		if id, ok := d.sample(op); ok && op.String() != "POST /v1/sagas/{saga}" {
			return id
		}
		return pick("deal", "deal", "deal", "nothing", "é/%")
	case "branch":
		return pick("2", "2", "9")
	case "id":
		if id, ok := d.sample(op); ok {
			return id
		}
		return pick("a0", "a1", "a2", "s1", "é/%", "new")
	case "type":
		return pick("account", "account", "account", "stuck", "nothing")
	case "action":
		return pick("credit", "debit", "open", "nothing")
	case "name":
		return pick("echo", "echo", "deal", "hold", "nothing")
	case "key", "Idempotency-Key":
		return pick("k0", "k1", "k2", "k3", fmt.Sprint("new", d.rng.IntN(1000)))
	case "principal":
		return pick("anonymous", "other")
	case "cursor", "from", "Last-Event-ID":
		return ""
	case "Prefer":
		return pick("respond-async", "wait=1", "wait=5, respond-async", "handling=strict")
	}
	return fmt.Sprint(d.value(schema))
}

func (d *described) deref(schema any) map[string]any {
	s := schema.(map[string]any)
	for {
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		s = d.doc["components"].(map[string]any)["schemas"].(map[string]any)[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
	}
}

// value is one that a schema allows.
func (d *described) value(schema any) any {
	s := d.deref(schema)
	if one, ok := s["oneOf"].([]any); ok {
		return d.value(one[d.rng.IntN(len(one))])
	}
	if list, ok := s["enum"].([]any); ok {
		return list[d.rng.IntN(len(list))]
	}
	switch s["type"] {
	case "object":
		o := make(map[string]any)
		properties, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if must := slices.Contains(required, any(name)); must || d.rng.IntN(2) == 0 {
				o[name] = d.member(name, properties[name])
			}
		}
		return o
	case "array":
		list := make([]any, 0)
		for range d.rng.IntN(4) {
			list = append(list, d.value(s["items"]))
		}
		return list
	case "integer":
		low := 1
		if m, ok := s["minimum"].(json.Number); ok {
			if n, err := m.Int64(); err == nil {
				low = int(n)
			}
		}
		return low + d.rng.IntN(5)
	case "number":
		return d.rng.Float64()
	case "boolean":
		return d.rng.IntN(2) == 0
	case "string":
		return []string{"text", "b", "é", strings.Repeat("long", 20)}[d.rng.IntN(4)]
	}
	return []any{nil, 1, "any", []any{}, map[string]any{"cents": 1}, map[string]any{"from": "from", "cents": 1}}[d.rng.IntN(6)]
}

// member is a value for a member whose name says more than its schema.
func (d *described) member(name string, schema any) any {
	switch name {
	case "agent":
		return []string{"account/a1", "account/new", "nothing/a", "effects/echo"}[d.rng.IntN(4)]
	case "action":
		return []string{"credit", "run"}[d.rng.IntN(2)]
	case "to":
		return "a2"
	case "cents":
		return 1 + d.rng.IntN(5) // an account has some of those
	case "timeout":
		return []string{"1s", "soon"}[d.rng.IntN(2)]
	case "branch":
		return []string{"2", "2", "9"}[d.rng.IntN(3)]
	case "step":
		return []string{"pay", "pay", "nothing"}[d.rng.IntN(3)]
	case "participants": // of agents: there are no others
		return []any{map[string]any{"agent": "account/from", "action": "debit", "body": map[string]int{"cents": 1}}, map[string]any{"agent": []string{"account/a1", "account/from"}[d.rng.IntN(2)], "action": "credit", "body": map[string]int{"cents": 1}}}
	case "name":
		return fmt.Sprint("b", d.rng.IntN(1_000_000))
	}
	return d.value(schema)
}

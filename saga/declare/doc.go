// Package declare makes saga definitions of data, such as a configuration: their
// steps are effects and agents' actions by name, and what is sent to each is made
// by a template from the saga's input and from what the steps before replied.
//
// # Templates
//
// A body is JSON with actions of text/template in it:
//
//	{"traveller": {{json .input.traveller}}, "flight": {{json .replies.flight.id}}}
//
// There are .input, what the saga was started with; .replies, by the steps' names,
// of those that are done; and, in a compensation, .fact: happened,
// did_not_happen or may_have_happened. The function json writes a value as JSON:
// numbers as they came, text with its quotation marks. A field that is not there is
// an error, which parks the saga; has tells whether a step has replied:
//
//	{"booking": {{if has .replies "hotel"}}{{json .replies.hotel.id}}{{else}}null{{end}}}
//
// Without a body, what the saga was started with is sent. An agent's id is a
// template too, of text and numbers: a null or an object in it is an error, as is
// an empty id.
package declare

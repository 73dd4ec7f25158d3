package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/server"
)

func (s *site) saga(who, name, key, input string, headers ...string) response {
	s.t.Helper()
	return s.as(who, "POST", "/v1/sagas/"+name, input, append([]string{"Idempotency-Key", key}, headers...)...)
}

// contractStartSaga: once per key, and its end is its outcome.
func contractStartSaga(t *testing.T, c *contract) {
	s := rich(t, server.Options{MaxBody: 1000})
	first := s.saga("anna", "deal", `"k 1"`, `{"from":"from","cents":10}`)
	id := first.header.Get("Semel-Saga")
	if first.status != 200 || !strings.HasPrefix(id, "deal-") || first.header.Get("Idempotency-Key") != `"k 1"` || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%+v", first)
	}
	same(t, "the final state", first.body, `{"input":{"from":"from","cents":10},"replies":{"book":{"cents":10},"pay":"paid","take":{"cents":90}}}`)
	for _, prefer := range []string{"", "respond-async"} {
		again := s.saga("anna", "deal", "k 1", `{"cents":1e1, "from":"from"}`, "Prefer", prefer)
		same(t, "again", fmt.Sprint(again.status, again.body, again.header.Get("Idempotent-Replayed"), again.header.Get("Semel-Saga")), "200"+first.body+"true"+id)
	}
	conflict := s.saga("anna", "deal", "k 1", `{"from":"from","cents":11}`)
	c.want(t, conflict, 422, "idempotency_conflict", "not_done")
	same(t, "the id, beside a conflict", conflict.header.Get("Semel-Saga"), id)

	no := s.saga("anna", "deal", "no", `{"from":"from","cents":1000}`)
	c.want(t, no, 422, "insufficient_funds", "rejected")
	var told struct{ Data saga.Failed }
	if err := json.Unmarshal([]byte(no.body), &told); err != nil || told.Data.Step != "take" {
		t.Errorf("%s, %v", no.body, err)
	}
	again := s.saga("anna", "deal", "no", `{"from":"from","cents":1000}`)
	same(t, "no again", fmt.Sprint(again.status, again.body, again.header.Get("Idempotent-Replayed"), again.header.Get("Semel-Saga")), "422"+no.body+"true"+no.header.Get("Semel-Saga"))

	// What is refused is not recorded.
	for _, body := range []string{"{", `{"a":1,"a":2}`, "1 2"} {
		c.want(t, s.saga("anna", "deal", "bad", body), 400, "invalid_request", "not_done")
	}
	c.want(t, s.saga("anna", "deal", "bad", strings.Repeat(" ", 1001)), 413, "too_large", "not_done")
	c.want(t, s.saga("anna", "deal", "bad", "1", "Content-Type", "text/plain"), 415, "unsupported_media_type", "not_done")
	c.want(t, s.saga("anna", "deal", `"bad`, "1"), 400, "idempotency_key_invalid", "not_done")
	c.want(t, s.as("anna", "POST", "/v1/sagas/deal", "1"), 400, "idempotency_key_required", "not_done")
	for _, name := range []string{"none", id, "a%2Fb"} {
		c.want(t, s.saga("anna", name, "bad", "{}"), 404, "unknown_saga", "not_done")
	}
	c.want(t, s.as("anna", "GET", "/v1/sagas?name=deal&key=bad", ""), 404, "unknown_saga", "not_done")
}

// contractParked: a saga that waits for a person is in flight, until somebody
// resumes it, or says what is the case.
func contractParked(t *testing.T, c *contract) {
	s := rich(t, server.Options{Wait: 5 * time.Second})
	input := `{"from":"from","cents":10,"failures":2}`
	id := s.start("anna", "deal", "k", input)
	v := s.phased("anna", id, saga.Parked)
	if v.Parked == nil || v.Parked.Step != "pay" || v.Parked.Code != saga.CodeStepFailing || v.Failure != nil {
		t.Errorf("%+v", v)
	}
	r := s.saga("anna", "deal", "k", input, "Prefer", "wait=1")
	c.want(t, r, 409, "in_flight", "unknown")
	same(t, "the id, beside in_flight", r.header.Get("Semel-Saga"), id)
	order := func(who, what, body string) response { return s.as(who, "POST", "/v1/sagas/"+id+"/"+what, body) }
	phase := func(r response) string { t.Helper(); return get[struct{ Phase string }](t, r, 200).Phase }
	settle := `{"step":"%s","fact":"%s"%s}`
	c.want(t, order("anna", "cancel", `{}`), 422, saga.CodePastPivot, "rejected")
	c.want(t, order("anna", "settle", fmt.Sprintf(settle, "none", "happened", "")), 422, saga.CodeUnknownStep, "rejected")
	c.want(t, order("anna", "settle", fmt.Sprintf(settle, "take", "happened", "")), 422, saga.CodeNotOpen, "rejected")
	for _, body := range []string{"", "[]", "{}", fmt.Sprintf(settle, "pay", "perhaps", ""), fmt.Sprintf(settle, "pay", "may_have_happened", ""), fmt.Sprintf(settle, "pay", "did_not_happen", `,"reply":1`), fmt.Sprintf(settle, "pay", "happened", `,"who":"carl"`)} {
		c.want(t, order("anna", "settle", body), 400, "invalid_request", "not_done")
	}
	for _, what := range []string{"resume", "settle"} { // for operators
		c.want(t, order("ben", what, fmt.Sprintf(settle, "pay", "happened", "")), 403, "forbidden", "not_done")
	}
	same(t, "resumed", phase(order("anna", "resume", "")), saga.Running)
	v = s.phased("anna", id, saga.Parked) // it failed once more
	same(t, "settled", phase(order("anna", "settle", fmt.Sprintf(settle, "pay", "happened", `,"why":"by hand","reply":"cash"`))), saga.Completed)
	v = s.phased("anna", id, saga.Completed)
	if pay := v.Steps[2].Do; pay.By != "anna" || pay.Why != "by hand" {
		t.Errorf("%+v", v)
	}
	late := s.saga("anna", "deal", "k", input)
	if late.status != 200 || !strings.Contains(late.body, `"pay":"cash"`) {
		t.Errorf("%+v", late)
	}
	for what, body := range map[string]string{"cancel": "{}", "resume": "", "settle": fmt.Sprintf(settle, "pay", "happened", "")} {
		c.want(t, order("anna", what, body), 422, saga.CodeEnded, "rejected")
	}
}

// contractSagas: who sees what of sagas, and what is another tenant's is not there.
func contractSagas(t *testing.T, c *contract) {
	s := rich(t, server.Options{})
	hold := `{"from":"from","cents":10}`
	mine, bens, carls := s.start("anna", "hold", "k", hold), s.start("ben", "hold", "k", hold), s.start("carl", "hold", "k", hold)
	s.saga("anna", "hold", "no", `{"from":"from","cents":1000}`)
	type page struct {
		Sagas       []saga.View
		Definitions []struct {
			Name     string
			Versions []int
			Steps    []string
		}
		Next string
	}
	list := func(who, query string) page {
		t.Helper()
		return get[page](t, s.as(who, "GET", "/v1/sagas"+query, ""), 200)
	}
	same(t, "the definitions", fmt.Sprintf("%+v", list("ben", "").Definitions), "[{Name:deal Versions:[1] Steps:[take book pay]} {Name:hold Versions:[1] Steps:[take wait]}]")
	same(t, "anna's tenant's", len(list("anna", "?name=hold").Sagas), 3)
	same(t, "carl's", list("carl", "?name=hold").Sagas[0].ID, carls)
	same(t, "of another definition", len(list("anna", "?name=deal").Sagas), 0)
	same(t, "running", len(list("anna", "?name=hold&phase=running").Sagas), 2)
	same(t, "running or compensated", len(list("anna", "?name=hold&phase=running&phase=compensated").Sagas), 3)
	same(t, "parked", len(list("anna", "?name=hold&phase=parked").Sagas), 0)
	walk(t, s, "/v1/sagas?name=hold", 1, 3)
	for _, query := range []string{"?name=hold&limit=0", "?limit=x", "?name=hold&cursor=!", "?name=hold&phase=x"} {
		c.want(t, s.as("anna", "GET", "/v1/sagas"+query, ""), 400, "invalid_request", "not_done")
	}
	c.want(t, s.as("anna", "GET", "/v1/sagas?name=none", ""), 404, "unknown_saga", "not_done")
	c.want(t, s.as("ben", "GET", "/v1/sagas?name=hold", ""), 403, "forbidden", "not_done")

	same(t, "ben's own key", list("ben", "?name=hold&key=k").Sagas[0].ID, bens)
	same(t, "ben's, for anna", list("anna", "?name=hold&key=k&principal=ben").Sagas[0].ID, bens)
	c.want(t, s.as("ben", "GET", "/v1/sagas?name=hold&key=k&principal=anna", ""), 403, "forbidden", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/sagas?name=hold&key=k&principal=carl", ""), 404, "unknown_saga", "not_done")
	c.want(t, s.as("anna", "GET", "/v1/sagas?name=hold&key=", ""), 400, "idempotency_key_invalid", "not_done")

	never := "hold-" + strings.Repeat("0", 32)
	for what, body := range map[string]string{"": "", "/cancel": "{}", "/resume": "", "/settle": `{"step":"wait","fact":"happened"}`} {
		method := "POST"
		if what == "" {
			method = "GET"
		}
		var answers []string
		for _, id := range []string{carls, never, "hold", "none-" + strings.Repeat("0", 32)} {
			r := s.as("anna", method, "/v1/sagas/"+id+what, body)
			c.want(t, r, 404, "unknown_saga", "not_done")
			answers = append(answers, strings.ReplaceAll(r.body, id, "ID"))
		}
		for _, a := range answers {
			same(t, what, a, answers[0])
		}
	}
	// What another principal started may be read, and cancelled, with a role only.
	c.want(t, s.as("ben", "GET", "/v1/sagas/"+mine, ""), 404, "unknown_saga", "not_done")
	c.want(t, s.as("ben", "POST", "/v1/sagas/"+mine+"/cancel", "{}"), 404, "unknown_saga", "not_done")
	// To cancel again is to be told the same.
	for range 2 {
		r := s.as("anna", "POST", "/v1/sagas/"+mine+"/cancel", `{"why":"rain"}`)
		if p := get[struct{ Phase saga.Phase }](t, r, 200).Phase; p != saga.Running { // until it is known what became of the wait
			t.Errorf("it is %s", p)
		}
	}
	same(t, "carl's goes on", s.phased("carl", carls, saga.Running).Undoing, false)
	close(s.deals.released)
	r := s.saga("anna", "hold", "k", hold)
	c.want(t, r, 422, saga.CodeCancelled, "rejected")
	v := s.phased("anna", mine, saga.Cancelled)
	if v.Failure == nil || v.Failure.By != "anna" || v.Failure.Detail != "rain" {
		t.Errorf("%+v", v.Failure)
	}
	same(t, "what was taken is back, but for ben's", s.cents(t, "anna", "from"), 90)
	s.phased("carl", carls, saga.Completed)
}

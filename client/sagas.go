package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
)

// SagaRequest starts a saga.
type SagaRequest struct {
	Name  string          // of its definition
	Key   string          // the idempotency key, as in Request
	Input json.RawMessage // nil means null
}

// RunSaga starts a saga, or finds the one that was started with the key, and waits
// for its end until ctx ends. Its repetitions and its errors are those of Call: that
// it was undone is a rejection with the code of the step that failed; that it is
// parked, semel.ErrInFlight. The id is known beside most errors.
func (c *Client) RunSaga(ctx context.Context, r SagaRequest) (id string, reply Reply, err error) {
	x, key, err := r.exchange()
	if err != nil {
		return "", Reply{Key: key}, err
	}
	a, err := c.do(ctx, x)
	reply, err = x.reply(key, a, err)
	return a.header.Get("Semel-Saga"), reply, err
}

// StartSaga starts a saga and returns its id when the server has durably accepted
// it. That is no outcome, see Saga; if it is at its end already, the error says
// whether it was undone.
func (c *Client) StartSaga(ctx context.Context, r SagaRequest) (id string, reply Reply, err error) {
	x, key, err := r.exchange()
	if err != nil {
		return "", Reply{Key: key}, err
	}
	x.prefer, x.accept = "respond-async", []int{http.StatusOK, http.StatusAccepted}
	a, err := c.do(ctx, x)
	reply, err = x.reply(key, a, err)
	return a.header.Get("Semel-Saga"), reply, err
}

func (r SagaRequest) exchange() (*exchange, string, error) {
	x := &exchange{method: http.MethodPost, path: "/v1/sagas/" + url.PathEscape(r.Name), nature: repeats, waits: true, action: "start saga " + r.Name, body: r.Input}
	if err := message.CheckName("saga's name", r.Name); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	if err := message.CheckJSON(r.Input); err != nil {
		return nil, r.Key, x.refuse(message.CodeInvalidRequest, err.Error())
	}
	key, err := x.keyed(r.Key)
	return x, key, err
}

// SagaDefinition is a saga that can be started.
type SagaDefinition struct {
	Name     string   `json:"name"`
	Versions []int    `json:"versions"`
	Steps    []string `json:"steps"`
}

// SagaDefinitions lists what sagas the server can start.
func (c *Client) SagaDefinitions(ctx context.Context) ([]SagaDefinition, error) {
	doc, err := get[struct {
		Definitions []SagaDefinition `json:"definitions"`
	}](ctx, c, reading("/v1/sagas", "list the sagas"))
	return doc.Definitions, err
}

// Sagas lists the sagas of a definition that are in one of the phases, or all. It
// ends with an error, if there is one.
func (c *Client) Sagas(ctx context.Context, name string, phases ...saga.Phase) iter.Seq2[saga.View, error] {
	q := url.Values{"name": {name}}
	for _, p := range phases {
		q.Add("phase", string(p))
	}
	return pages[saga.View](ctx, c, reading("/v1/sagas", "list sagas "+name), q, "sagas")
}

// Saga reads a saga by its id.
func (c *Client) Saga(ctx context.Context, id string) (saga.View, error) {
	return get[saga.View](ctx, c, reading(sagaPath(id), "read saga "+id))
}

// FindSaga reads the saga of a definition that was started with a key. Whose key
// it is says principal; empty means the caller's own.
func (c *Client) FindSaga(ctx context.Context, name, key, principal string) (saga.View, error) {
	q := ofKey(key, principal)
	q.Set("name", name)
	what := "find saga " + name + " of key " + key
	doc, err := get[struct {
		Sagas []saga.View `json:"sagas"`
	}](ctx, c, reading("/v1/sagas?"+q.Encode(), what))
	if err == nil && len(doc.Sagas) != 1 {
		err = &semel.NotDoneError{Action: what, Code: CodeNotUnderstood, Detail: fmt.Sprintf("the answer has %d sagas, and not one", len(doc.Sagas))}
	}
	if err != nil {
		return saga.View{}, err
	}
	return doc.Sagas[0], nil
}

// CancelSaga has a saga undone, if it is not past its pivot.
func (c *Client) CancelSaga(ctx context.Context, id, why string) (saga.Phase, error) {
	return c.orderSaga(ctx, id, "cancel", map[string]string{"why": why})
}

// ResumeSaga has a parked saga try again.
func (c *Client) ResumeSaga(ctx context.Context, id string) (saga.Phase, error) {
	return c.orderSaga(ctx, id, "resume", nil)
}

// SettleStep says what is the case with a step at which a saga is parked. Who says
// so is the principal of the token.
func (c *Client) SettleStep(ctx context.Context, id string, s saga.Settlement) (saga.Phase, error) {
	return c.orderSaga(ctx, id, "settle", struct {
		Step  string          `json:"step"`
		Fact  saga.Fact       `json:"fact"`
		Why   string          `json:"why,omitempty"`
		Reply json.RawMessage `json:"reply,omitempty"`
	}{s.Step, s.Fact, s.Why, s.Reply})
}

func sagaPath(id string) string { return "/v1/sagas/" + url.PathEscape(id) }

// orderSaga gives an order, which may be given twice.
func (c *Client) orderSaga(ctx context.Context, id, what string, body any) (saga.Phase, error) {
	x := &exchange{method: http.MethodPost, path: sagaPath(id) + "/" + what, nature: repeats, action: what + " saga " + id}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return "", &semel.NotDoneError{Action: x.action, Code: message.CodeInvalidRequest, Detail: err.Error()}
		}
		x.body = b
	}
	doc, err := get[struct {
		Phase saga.Phase `json:"phase"`
	}](ctx, c, x)
	return doc.Phase, err
}

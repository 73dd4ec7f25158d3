package saga

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/message"
)

// Call is the Do of a step of a saga whose state is an S: an effect or an agent's
// action. Its functions are pure, as a step's handler is: they look at S and the
// reply, and at nothing else.
type Call[S any] struct{ call }

// Undo is the compensation of a step.
type Undo[S any] struct{ call }

// ErrNothing is what the function of a request returns if nothing is to be
// called. Of a Do it means that the step is done; it is not compensated.
var ErrNothing = errors.New("saga: there is nothing to call")

// Effect is a step that calls an effect, whose policy says what is done about a
// call whose end is not known. request makes the request from S; keep, unless it
// is nil, keeps the reply in it. A [*semel.Rejection] of either fails the step,
// and after keep, which is told what did happen, the step is compensated with the
// others. Any other error, or a panic, parks the saga.
func Effect[S, Req, Rep any](effect semel.EffectRef[Req, Rep], request func(*S) (Req, error), keep func(*S, Rep) error) Call[S] {
	return Call[S]{ofEffect(effect, unfacted(request), keep)}
}

// Action is a step that asks an agent for an action: id says which agent. The
// rest is as of Effect.
func Action[S, In, Out any](action semel.Ref[In, Out], id func(*S) (string, error), request func(*S) (In, error), keep func(*S, Out) error) Call[S] {
	return Call[S]{ofAction(action, id, unfacted(request), keep)}
}

// UndoEffect compensates a step by an effect. request is told whether the step
// happened. It is not asked about a step that did not happen, unless the step is
// UndoAlways. keep may be nil. An error of either parks the saga.
//
// The effect must bear to be called for what did not happen, if it can be told
// MayHaveHappened: "cancel the booking with this key, if there is one".
func UndoEffect[S, Req, Rep any](effect semel.EffectRef[Req, Rep], request func(*S, Fact) (Req, error), keep func(*S, Rep) error) *Undo[S] {
	return &Undo[S]{ofEffect(effect, request, keep)}
}

// UndoAction compensates a step by an agent's action. The rest is as of
// UndoEffect.
func UndoAction[S, In, Out any](action semel.Ref[In, Out], id func(*S) (string, error), request func(*S, Fact) (In, error), keep func(*S, Out) error) *Undo[S] {
	return &Undo[S]{ofAction(action, id, request, keep)}
}

func unfacted[S, Req any](request func(*S) (Req, error)) func(*S, Fact) (Req, error) {
	if request == nil {
		return nil
	}
	return func(s *S, _ Fact) (Req, error) { return request(s) }
}

func ofEffect[S, Req, Rep any](effect semel.EffectRef[Req, Rep], request func(*S, Fact) (Req, error), keep func(*S, Rep) error) call {
	c := call{target: effect.Name(), name: effect.Name(), keep: keeper(keep)}
	if request != nil {
		c.request = func(state json.RawMessage, f Fact) (asked, error) { return requestOf(state, f, nil, request) }
	}
	return c
}

func ofAction[S, In, Out any](action semel.Ref[In, Out], id func(*S) (string, error), request func(*S, Fact) (In, error), keep func(*S, Out) error) call {
	typ, name := action.Names()
	c := call{action: true, target: typ + "/" + name, typ: typ, name: name, keep: keeper(keep)}
	if request != nil && id != nil {
		c.request = func(state json.RawMessage, f Fact) (asked, error) { return requestOf(state, f, id, request) }
	}
	return c
}

// requestOf has the user's functions make a request. What they write into S is
// lost: a request that is made again must be the same.
func requestOf[S, Req any](state json.RawMessage, f Fact, id func(*S) (string, error), request func(*S, Fact) (Req, error)) (a asked, err error) {
	var s S
	if err = decode(state, &s); err != nil {
		return a, err
	}
	if id != nil {
		if a.id, err = id(&s); err != nil {
			return nothingIf(a, err)
		}
	}
	req, err := request(&s, f)
	if err != nil {
		return nothingIf(a, err)
	}
	a.body, err = encode(req)
	return a, err
}

func nothingIf(a asked, err error) (asked, error) {
	if errors.Is(err, ErrNothing) {
		return asked{nothing: true}, nil
	}
	return a, err
}

func keeper[S, Rep any](keep func(*S, Rep) error) func(state, reply json.RawMessage) (json.RawMessage, error) {
	if keep == nil {
		return nil
	}
	return func(state, reply json.RawMessage) (json.RawMessage, error) {
		var s S
		if err := decode(state, &s); err != nil {
			return nil, err
		}
		var rep Rep
		if err := decode(reply, &rep); err != nil {
			return nil, err
		}
		if err := keep(&s, rep); err != nil {
			return nil, err
		}
		return encode(s)
	}
}

// encode and decode are those of the root: JSON of any shape stays as it is.
func encode(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case struct{}:
		return json.RawMessage("null"), nil
	case json.RawMessage:
		if len(v) == 0 {
			return json.RawMessage("null"), nil
		}
		if !json.Valid(v) {
			return nil, errors.New("the json.RawMessage is not JSON")
		}
		return v, nil
	}
	return json.Marshal(v)
}

func decode[T any](data json.RawMessage, v *T) error {
	if len(data) == 0 {
		return nil
	}
	if raw, ok := any(v).(*json.RawMessage); ok {
		*raw = bytes.Clone(data)
		return nil
	}
	err := json.Unmarshal(data, v)
	var misfit *json.UnmarshalTypeError
	if !errors.As(err, &misfit) {
		return err
	}
	// A provider may spell the number 100 as 1e2.
	canonical, bad := message.Canonical(nil, data)
	if bad != nil || bytes.Equal(canonical, data) {
		return err
	}
	*v = *new(T)
	return json.Unmarshal(canonical, v)
}

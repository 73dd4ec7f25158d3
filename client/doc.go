// Package client calls the agents of a Semel server (docs/reference/http.md),
// so that a call takes effect exactly once however often it has to be sent.
//
//	c, err := client.New("http://127.0.0.1:7075", nil)
//	reply, err := c.Call(ctx, client.Request{Agent: "account/alice", Action: "debit", Key: "pay-1", Body: body})
//
// # Repetitions
//
// A request is sent again when its connection broke, when the server is
// overloaded or starting, and as long as the call is in flight; always with
// the same key and the same bytes. A call that was given no key gets one before
// it is sent for the first time; [Reply.Key] tells which, also beside an error.
// It is good for this call only: who may have to repeat the call after a crash
// chooses a key and stores it, with the body, before.
//
// # Failures
//
// Errors are of the three types of package semel, to be found by errors.As, and
// semel.KindOf tells them apart:
//
//   - [*semel.NotDoneError]: it did not take effect;
//   - [*semel.Rejection]: decided, the recorded answer is no;
//   - [*semel.UnknownError]: it may have taken effect. Only the same key is safe.
//
// A connection that breaks after anything was sent says nothing about the call,
// so it is unknown, never not done. And once one attempt of a call ended so, a
// later one that is refused does not make it not done: the refusal was about
// the later one. Where the server answered with a problem document, errors.As
// finds it as a [*Problem], with the status, the doubt, and whatever else it said.
// The sentinels of package semel match by code: errors.Is(err, semel.ErrConflict).
//
// The package may import the root package and package message. Start reading at
// exchange.go.
package client

// Package server is Semel's HTTP API over an App: any language calls an action
// with an Idempotency-Key and gets the recorded reply, byte for byte, however
// often it repeats the call.
//
// docs/reference/http.md is the contract; routes.go is the table that routes the
// requests, and of which /openapi.json is made (openapi.go).
//
// Failures are problem documents (RFC 9457) whose kind says whether the request
// took effect: not_done, rejected, unknown. codes.go has every code with its
// status. What a recorded outcome is answered with depends on the outcome only,
// so a repetition gets the same bytes; Idempotent-Replayed tells them apart. A
// test pins the bytes, so that another version of the server answers with them too.
//
// A POST without a body is a call with the body null. It is executed, and what
// the action makes of it is recorded under the key: often a rejection.
//
// What net/http refuses before a handler sees it is no problem document, but
// its own text/plain: 400 for a malformed request, 431 for headers that are too
// large, 408 or a closed connection for a slow one. None of it was executed.
//
// Start reading at Handler and routes.go. The package imports the module root and message.
package server

// Package server is Semel's HTTP API over an App: any language calls an action
// with an Idempotency-Key and gets the recorded reply, byte for byte, however
// often it repeats the call.
//
//	POST /v1/agents/{type}/{id}/{action}   call an action
//	GET  /v1/agents/{type}/{id}            read an agent's state
//	GET  /livez, /readyz                   for orchestrators
//
// Failures are problem documents (RFC 9457) whose kind says whether the request
// took effect: not_done, rejected, unknown. codes.go has every code with its
// status. What a recorded outcome is answered with depends on the outcome only,
// so a repetition gets the same bytes; Idempotent-Replayed tells them apart.
//
// Start reading at Handler. The package imports the module root and message.
package server

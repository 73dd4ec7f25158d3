// Package webeffect makes effects out of configuration: HTTP endpoints, each
// with a name, that are called exactly as often as their policy allows.
//
// [Register] adds the agent type [AgentType] to an App. Its agents are the names
// of the effects, their state is empty, and their one action is [Action]: a call
// of it with a key asks for the effect and defers its reply until the endpoint
// answered. So the answer is recorded under the caller's key, a repetition gets
// it byte for byte, and the endpoint hears of no call twice unless its policy
// says that it may. An agent takes other messages while it waits: calls of one
// effect under different keys run at once.
//
// # What is sent
//
// The method and url of the [Spec], the body of the call byte for byte, its
// headers, and Idempotency-Key: the effect's own key, 32 hexadecimal digits, the
// same in every attempt and of no other call, ever. It is sent bare, as
// the providers that take such a header document it (Stripe was the first), and
// not in the quotes of an RFC 8941 string, as the draft of the IETF has it: those
// would be part of the key for all who compare bytes. A call whose body is null
// sends none.
//
// # What an answer means
//
//	2xx                                   done; the reply is the body
//	4xx, but not 408, 409, 425 and 429    rejected, with [CodeRejected] and [Refusal] as data
//	no connection was made                not done: tried again, with backoff
//	everything else                       unknown: the policy decides
//
// That nothing was sent must be certain, so each call makes a connection of its
// own, over HTTP/1.1, and sends one request on it: a pooled connection would be
// tried again behind our back when it turns out to be stale. From the moment
// that a connection stands, no failure is "not done" any more. Redirects are not
// followed, no proxy is used, nothing is decompressed, and all that is read is
// bounded.
//
// # Where it may connect
//
// An address that is not public (loopback, private, link-local, metadata and the
// like) is refused when it is dialled, after its name was resolved, unless the
// Spec says allow_private.
//
// Start reading at register.go, then call.go and send.go.
package webeffect

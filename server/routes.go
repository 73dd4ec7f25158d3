package server

import (
	"net/http"
	"slices"

	"github.com/semel-dev/semel/message"
	"github.com/semel-dev/semel/saga"
	"github.com/semel-dev/semel/twopc"
)

// The path of an action, and of a list that is below it.
const (
	actionPath = "/v1/agents/{type}/{id}/{action}"
	keysAction = "keys"
	keysPath   = "/v1/agents/{type}/{id}/" + keysAction
)

// route is one line of the table that routes requests and of which the
// description of the API is made.
type route struct {
	method, path string
	roles        Roles // one of them is needed; none for everybody
	whole        bool  // it is about all tenants: for principals of the default one
	handle       http.HandlerFunc

	id, about string
	query     []param // and headers
	body      any     // of this type; nil for none
	sends     []param // headers of a success
	status    int     // of success
	reply     any     // of this type; nil for none
	media     string  // of the reply, if not JSON
	codes     []message.Code
}

// param is a parameter in the query or, if its name is capitalised, a header.
type param struct {
	name, about string
	required    bool
	sample      any // of its type
}

// raw is any JSON at all.
type raw struct{}

var (
	readCodes = []message.Code{message.CodeCanceled, message.CodeClosed, message.CodeStoreUnavailable, codeInternal}
	nameCodes = []message.Code{message.CodeInvalidRequest, message.CodeUnknownAgentType}
	bodyCodes = []message.Code{message.CodeInvalidRequest, message.CodeOverloaded, codeIncomplete, message.CodeTooLarge, codeUnsupportedMedia}
	callCodes = []message.Code{
		message.CodeKeyRequired, message.CodeKeyInvalid, message.CodeKeyInFuture, message.CodeKeyExpired,
		message.CodeConflict, message.CodeUnknownAction, message.CodeUnknownEffect,
		message.CodeInFlight, message.CodeInDoubt, message.CodeOutcomeUnknown, message.CodeDead,
		message.CodeOverloaded, message.CodeHandlerFailed, message.CodeCommitUnknown, message.CodeStorageFull, codeRejected,
	}
	pageParams = []param{
		{"limit", "entries of a page; 100", false, 0},
		{"cursor", "the next of the page before", false, ""},
	}
	keyParam  = param{keyHeader, `the idempotency key, as "K" (RFC 8941) or bare; needed unless the action takes effect at least once`, false, ""}
	neededKey = param{keyHeader, `the idempotency key, as "K" (RFC 8941) or bare`, true, ""}
	ofKey     = []param{{"key", "only the one of this idempotency key", false, ""}, {"principal", "whose key it is, if not the caller's own", false, ""}}
	waitParam = param{"Prefer", "wait=SECONDS bounds the wait for the outcome; respond-async answers when the call is accepted", false, ""}
)

func codes(lists ...[]message.Code) (all []message.Code) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// routes is the table.
func (s *api) routes() []route {
	return slices.Concat(s.callRoutes(), s.readRoutes(), s.transactionRoutes(), s.sagaRoutes(), s.operatorRoutes(), s.openRoutes())
}

func (s *api) callRoutes() []route {
	call := codes(nameCodes, bodyCodes, callCodes, readCodes)
	return []route{
		{method: http.MethodPost, path: actionPath, roles: RoleCall, handle: s.call,
			id: "call", about: "Call an action, exactly once per key", query: []param{keyParam, waitParam},
			body: raw{}, status: http.StatusOK, reply: raw{}, codes: call},
		{method: http.MethodPost, path: "/v1/calls", roles: RoleCall, handle: s.calls,
			id: "calls", about: "Call an action, or many, named in the body", query: []param{waitParam},
			body: raw{}, status: http.StatusOK, reply: raw{}, codes: call},
		{method: http.MethodPost, path: "/v1/effects/{name}", roles: RoleCall, handle: s.callEffect,
			id: "effect", about: "Call an effect that is configured, exactly once per key under its policy", query: []param{neededKey, waitParam},
			body: raw{}, status: http.StatusOK, reply: raw{}, codes: call},
		{method: http.MethodGet, path: "/v1/outcomes/{type}/{id}", roles: RoleCall | RoleRead, handle: s.outcome,
			id: "outcome", about: "What is recorded under a key",
			query: []param{{"key", "the idempotency key", true, ""}, {"principal", "whose key it is, if not the caller's own", false, ""}},
			reply: outcomeDoc{}, status: http.StatusOK,
			codes: codes(nameCodes, readCodes, []message.Code{message.CodeKeyRequired, message.CodeKeyInvalid, message.CodeUnknownKey, message.CodeKeyExpired})},
	}
}

func (s *api) readRoutes() []route {
	invalid := []message.Code{message.CodeInvalidRequest}
	return []route{
		{method: http.MethodGet, path: "/v1/agents", roles: RoleRead, handle: s.agents,
			id: "agents", about: "List the agents of a type", query: append([]param{{"type", "the agent type", true, ""}}, pageParams...),
			reply: agentsDoc{}, status: http.StatusOK, codes: codes(nameCodes, readCodes)},
		{method: http.MethodGet, path: "/v1/agents/{type}/{id}", roles: RoleRead, handle: s.state,
			id: "state", about: "Read an agent's state", reply: stateDoc{}, status: http.StatusOK,
			codes: codes(nameCodes, readCodes, []message.Code{message.CodeUnknownAgent})},
		{method: http.MethodGet, path: keysPath, roles: RoleRead, handle: s.keys,
			id: "keys", about: "List what is recorded of an agent's calls", query: pageParams,
			reply: keysDoc{}, status: http.StatusOK, codes: codes(nameCodes, readCodes)},
		{method: http.MethodGet, path: "/v1/doubts", roles: RoleRead, handle: s.doubts,
			id: "doubts", about: "List the effects that may have happened", query: pageParams,
			reply: doubtsDoc{}, status: http.StatusOK, codes: codes(invalid, readCodes)},
		{method: http.MethodGet, path: "/v1/doubts/{id}", roles: RoleRead, handle: s.doubt,
			id: "doubt", about: "Read a doubt", reply: doubtDoc{}, status: http.StatusOK,
			codes: codes(readCodes, []message.Code{message.CodeUnknownDoubt})},
		{method: http.MethodGet, path: "/v1/dead", roles: RoleRead, handle: s.deadLetters,
			id: "dead-letters", about: "List the messages that failed for good", query: pageParams,
			reply: deadsDoc{}, status: http.StatusOK, codes: codes(invalid, readCodes)},
		{method: http.MethodGet, path: "/v1/dead/{id}", roles: RoleRead, handle: s.deadLetter,
			id: "dead-letter", about: "Read a dead letter", reply: deadDoc{}, status: http.StatusOK,
			codes: codes(readCodes, []message.Code{message.CodeUnknownDead})},
	}
}

// followRoute is the change feed.
func (s *api) followRoute() route {
	return route{method: http.MethodGet, path: "/v1/changes", roles: RoleRead, handle: s.changes,
		id: "changes", about: "Follow the agents of a type that change, as server-sent events",
		query: []param{
			{"type", "the agent type", true, ""},
			{"from", "the id of the last event that was dealt with, or start; without it the feed begins now", false, ""},
			{"Last-Event-ID", "as from", false, ""},
		},
		media: eventStream, status: http.StatusOK, codes: codes(nameCodes, readCodes, []message.Code{codeNotFound, message.CodeOverloaded})}
}

func (s *api) operatorRoutes() []route {
	write := codes(readCodes, []message.Code{message.CodeCommitUnknown, message.CodeInFlight, message.CodeOverloaded})
	return []route{
		{method: http.MethodGet, path: "/metrics", roles: RoleOperator, whole: true, handle: s.metrics.handler().ServeHTTP,
			id: "metrics", about: "For Prometheus", media: "text/plain", status: http.StatusOK},
		s.followRoute(),
		{method: http.MethodDelete, path: "/v1/agents/{type}/{id}", roles: RoleOperator, handle: s.remove,
			id: "delete", about: "Delete an agent; what is recorded of its calls stays", status: http.StatusNoContent,
			codes: codes(nameCodes, write, []message.Code{message.CodeUnknownAgent})},
		{method: http.MethodPost, path: "/v1/doubts/{id}", roles: RoleOperator, handle: s.resolve,
			id: "resolve", about: "Settle a doubt", body: resolutionDoc{}, reply: resolvedDoc{}, status: http.StatusOK,
			codes: codes(bodyCodes, write, []message.Code{message.CodeUnknownDoubt, message.CodeAlreadyResolved, message.CodeTooEarly, message.CodeUnknownEffect})},
		{method: http.MethodPost, path: "/v1/dead/{id}/retry", roles: RoleOperator, handle: s.retryDead,
			id: "retry-dead", about: "Try a dead letter again", status: http.StatusNoContent,
			codes: codes(write, []message.Code{message.CodeUnknownDead})},
		{method: http.MethodPost, path: "/v1/dead/{id}/discard", roles: RoleOperator, handle: s.discardDead,
			id: "discard-dead", about: "Give a dead letter up", status: http.StatusNoContent,
			codes: codes(write, []message.Code{message.CodeUnknownDead, codeForbidden})},
		{method: http.MethodGet, path: "/v1/nodes", roles: RoleOperator, whole: true, handle: s.nodes,
			id: "nodes", about: "List the processes that share the store, and which shards each has",
			reply: nodesDoc{}, status: http.StatusOK, codes: readCodes},
		{method: http.MethodGet, path: "/v1/shards", roles: RoleOperator, whole: true, handle: s.shards,
			id: "shards", about: "List the shards, and how each is doing", reply: shardsDoc{}, status: http.StatusOK, codes: readCodes},
		{method: http.MethodPost, path: "/v1/retention/resume", roles: RoleOperator, whole: true, handle: s.resumeRetention,
			id: "resume-retention", about: "Say that the clock is right after it leapt, so that forgetting old outcomes goes on",
			status: http.StatusNoContent, codes: codes(write)},
		{method: http.MethodPost, path: "/v1/backups", roles: RoleOperator, whole: true, handle: s.backup,
			id: "backup", about: "Copy the store while it is in use", body: backupDoc{}, reply: backupMadeDoc{}, status: http.StatusCreated,
			codes: codes(bodyCodes, readCodes, []message.Code{codeNotFound, codeExists})},
	}
}

// transactionRoutes are there if the server has a coordinator.
func (s *api) transactionRoutes() []route {
	if s.Transactions == nil {
		return nil
	}
	const one = "/v1/transactions/{tx}"
	unknown := []message.Code{codeUnknownTransaction}
	return []route{
		{method: http.MethodPost, path: "/v1/transactions", roles: RoleCall, handle: s.transact,
			id: "transact", about: "Have agents and participants outside do something, all of them or none, exactly once per key",
			query: []param{neededKey, waitParam}, body: transactionDoc{}, status: http.StatusOK, reply: twopc.Result{},
			codes: codes(nameCodes, bodyCodes, callCodes, readCodes)},
		{method: http.MethodGet, path: "/v1/transactions", roles: RoleCall | RoleRead, handle: s.transactions,
			id: "transactions", about: "List the transactions that are known, which needs the role read, or find that of a key",
			query: slices.Concat([]param{{"state", "in_doubt are those that are decided, and not acknowledged by all", false, ""}}, ofKey, pageParams),
			reply: transactionsDoc{}, status: http.StatusOK, codes: codes([]message.Code{message.CodeInvalidRequest, message.CodeKeyInvalid}, unknown, readCodes)},
		{method: http.MethodGet, path: one, roles: RoleCall | RoleRead, handle: s.transaction,
			id: "transaction", about: "Read a transaction: its branches, their votes, and who has acknowledged the decision",
			reply: twopc.Info{}, status: http.StatusOK, codes: codes(readCodes, unknown)},
		{method: http.MethodGet, path: one + "/decision", roles: RoleCall, handle: s.decision,
			id: "decision", about: "Ask what is to become of something that a participant has prepared",
			query: []param{{"branch", "the branch's name", false, ""}, {"handle", "of the prepared work, if it has one", false, ""}},
			reply: decisionDoc{}, status: http.StatusOK, codes: codes(readCodes, callCodes, unknown)},
		{method: http.MethodPost, path: "/v1/participants/sweep", roles: RoleOperator, whole: true, handle: s.sweep,
			id: "sweep", about: "Ask the participants what they have prepared, and resolve what is decided",
			query: []param{waitParam}, status: http.StatusOK, reply: sweepDoc{}, codes: readCodes},
		{method: http.MethodPost, path: one + "/resolve", roles: RoleOperator, handle: s.settleBranch,
			id: "resolve-branch", about: "Take note that a branch was dealt with by hand, which will never acknowledge the decision",
			body: settlementDoc{}, status: http.StatusNoContent, codes: codes(bodyCodes, callCodes, readCodes, unknown)},
	}
}

// sagaRoutes are there if the server has sagas.
func (s *api) sagaRoutes() []route {
	if s.Sagas == nil {
		return nil
	}
	const one = "/v1/sagas/{saga}" // the name of a definition, to start one; else the id of a saga
	order := codes(bodyCodes, callCodes, readCodes, []message.Code{codeUnknownSaga})
	return []route{
		{method: http.MethodPost, path: one, roles: RoleCall, handle: s.startSaga,
			id: "start-saga", about: "Start a saga by the name of its definition, exactly once per key, and wait for its end; the header Semel-Saga says its id",
			query: []param{neededKey, waitParam}, sends: []param{{sagaHeader, "the saga's id; beside a refusal, the one that the key has or would have", false, ""}},
			body: raw{}, status: http.StatusOK, reply: raw{}, codes: codes(bodyCodes, callCodes, readCodes, []message.Code{codeUnknownSaga})},
		{method: http.MethodGet, path: "/v1/sagas", roles: RoleCall | RoleRead, handle: s.sagas,
			id: "sagas", about: "List the sagas of a definition, which needs the role read, or find that of a key; without a name, the definitions",
			query: slices.Concat([]param{{"name", "of the definition; without it the definitions are listed", false, ""},
				{"phase", "one that they are in; may come more than once", false, ""}}, ofKey, pageParams),
			reply: sagasDoc{}, status: http.StatusOK, codes: codes([]message.Code{message.CodeInvalidRequest, message.CodeKeyInvalid, codeUnknownSaga}, readCodes)},
		{method: http.MethodGet, path: one, roles: RoleCall | RoleRead, handle: s.saga,
			id: "saga", about: "Read a saga: its phase, its steps with their attempts and times, its state",
			reply: saga.View{}, status: http.StatusOK, codes: codes(readCodes, []message.Code{codeUnknownSaga})},
		{method: http.MethodPost, path: one + "/cancel", roles: RoleCall, handle: s.cancelSaga,
			id: "cancel-saga", about: "Have a saga undone, if it is not past its pivot", body: whyDoc{}, status: http.StatusOK, reply: phaseDoc{}, codes: order},
		{method: http.MethodPost, path: one + "/resume", roles: RoleOperator, handle: s.resumeSaga,
			id: "resume-saga", about: "Have a parked saga try again", status: http.StatusOK, reply: phaseDoc{}, codes: order},
		{method: http.MethodPost, path: one + "/settle", roles: RoleOperator, handle: s.settleStep,
			id: "settle-step", about: "Say what is the case with a step at which a saga is parked", body: stepDoc{}, status: http.StatusOK, reply: phaseDoc{}, codes: order},
	}
}

func (s *api) openRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/livez", handle: s.live, id: "live", about: "The process answers",
			reply: healthDoc{}, status: http.StatusOK},
		{method: http.MethodGet, path: "/readyz", handle: s.ready, id: "ready", about: "Calls are taken",
			reply: healthDoc{}, status: http.StatusOK, codes: []message.Code{message.CodeClosed}},
		{method: http.MethodGet, path: "/healthz", handle: s.ready, id: "health", about: "As /readyz",
			reply: healthDoc{}, status: http.StatusOK, codes: []message.Code{message.CodeClosed}},
		{method: http.MethodGet, path: "/openapi.json", handle: s.openAPI, id: "openapi", about: "This description",
			reply: raw{}, status: http.StatusOK},
	}
}

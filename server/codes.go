package server

import (
	"net/http"

	"github.com/semel-dev/semel/message"
)

// The codes of failures that only HTTP has.
const (
	codeNotFound         message.Code = "not_found"
	codeMethodNotAllowed message.Code = "method_not_allowed"
	codeUnsupportedMedia message.Code = "unsupported_media_type"
	codeUnauthorized     message.Code = "unauthorized"
	codeForbidden        message.Code = "forbidden"
	codeExists           message.Code = "already_exists"
	codeMisdirected      message.Code = "misdirected_request"
	codeIncomplete       message.Code = "incomplete_request"
	codeInternal         message.Code = "internal"

	codeUnknownTransaction message.Code = "unknown_transaction"
	codeUnknownSaga        message.Code = "unknown_saga"
)

// answer is how a code is told over HTTP.
type answer struct {
	status int
	title  string
	// retry: the same request, with the same key, may get another answer later.
	retry bool
	// after: seconds to wait before that, for the header Retry-After.
	after string
}

// answers is the one place where codes become statuses.
var answers = map[message.Code]answer{
	message.CodeKeyRequired:      {http.StatusBadRequest, "An idempotency key is required", false, ""},
	message.CodeKeyInvalid:       {http.StatusBadRequest, "The idempotency key is invalid", false, ""},
	message.CodeKeyInFuture:      {http.StatusBadRequest, "The idempotency key is from the future", true, ""},
	message.CodeInvalidRequest:   {http.StatusBadRequest, "The request is invalid", false, ""},
	codeIncomplete:               {http.StatusBadRequest, "The request is incomplete", true, ""},
	codeUnauthorized:             {http.StatusUnauthorized, "Unauthorized", false, ""},
	codeExists:                   {http.StatusConflict, "It exists already", false, ""},
	codeForbidden:                {http.StatusForbidden, "Forbidden", false, ""},
	codeNotFound:                 {http.StatusNotFound, "Not found", false, ""},
	message.CodeUnknownAgentType: {http.StatusNotFound, "Unknown agent type", false, ""},
	message.CodeUnknownAction:    {http.StatusNotFound, "Unknown action", false, ""},
	message.CodeUnknownAgent:     {http.StatusNotFound, "Unknown agent", true, ""},
	message.CodeUnknownKey:       {http.StatusNotFound, "Unknown key", true, ""},
	message.CodeReplyMisfit:      {http.StatusInternalServerError, "The recorded reply does not fit", false, ""},
	message.CodeUnknownEffect:    {http.StatusNotFound, "Unknown effect", false, ""},
	message.CodeUnknownDoubt:     {http.StatusNotFound, "Unknown doubt", false, ""},
	message.CodeUnknownDead:      {http.StatusNotFound, "Unknown dead letter", false, ""},
	codeUnknownTransaction:       {http.StatusNotFound, "Unknown transaction", true, ""},
	codeUnknownSaga:              {http.StatusNotFound, "Unknown saga", true, ""},
	codeMethodNotAllowed:         {http.StatusMethodNotAllowed, "Method not allowed", false, ""},
	message.CodeInFlight:         {http.StatusConflict, "Still in flight", true, "1"},
	message.CodeInDoubt:          {http.StatusConflict, "In doubt", true, ""},
	message.CodeOutcomeUnknown:   {http.StatusConflict, "The outcome is unknown", false, ""},
	message.CodeDead:             {http.StatusConflict, "Among the dead letters", true, ""},
	message.CodeTooEarly:         {http.StatusConflict, "Too early to say so", false, ""},
	message.CodeAlreadyResolved:  {http.StatusConflict, "Resolved before", false, ""},
	message.CodeKeyExpired:       {http.StatusGone, "The idempotency key has expired", false, ""},
	message.CodeTooLarge:         {http.StatusRequestEntityTooLarge, "The request is too large", false, ""},
	codeUnsupportedMedia:         {http.StatusUnsupportedMediaType, "Unsupported media type", false, ""},
	codeMisdirected:              {http.StatusMisdirectedRequest, "Misdirected request", false, ""},
	message.CodeConflict:         {http.StatusUnprocessableEntity, "The idempotency key was used for another request", false, ""},
	message.CodeHandlerFailed:    {http.StatusInternalServerError, "The handler failed", true, ""},
	codeInternal:                 {http.StatusInternalServerError, "Internal error", true, ""},
	message.CodeOverloaded:       {http.StatusTooManyRequests, "Overloaded", true, "1"},
	message.CodeCanceled:         {http.StatusServiceUnavailable, "Not executed in time", true, "1"},
	message.CodeClosed:           {http.StatusServiceUnavailable, "Shutting down", true, "1"},
	message.CodeStoreUnavailable: {http.StatusServiceUnavailable, "The store is unavailable", true, "1"},
	message.CodeElsewhere:        {http.StatusServiceUnavailable, "Another node has it", true, "1"},
	message.CodeCommitUnknown:    {http.StatusServiceUnavailable, "The store did not say whether it committed", true, "1"},
	message.CodeStorageFull:      {http.StatusInsufficientStorage, "The storage is full", true, ""},
}

// codeRejected stands, in the description of the API, for the codes that
// handlers choose.
const codeRejected message.Code = "(the handler's own)"

// rejected is how a handler's own code is told.
var rejected = answer{http.StatusUnprocessableEntity, "Rejected", false, ""}

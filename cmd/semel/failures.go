package main

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/client"
	"github.com/semel-dev/semel/message"
)

// nextStep is an error with what to do about it.
type nextStep struct {
	error
	next string
}

func (e nextStep) Error() string {
	// main says whose error it is.
	text := printableLines(strings.TrimPrefix(e.error.Error(), "semel: "))
	if e.next == "" {
		return text
	}
	return text + "\n  next: " + printable(e.next)
}

func (e nextStep) Unwrap() error { return e.error }

// toldError is an error whose JSON was printed already, as a part of the result.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// afterwardsError is a failure that came after the exchange: the work was done,
// and telling so, or putting the store away, was not. Taken for not done, it
// would be done a second time; so it is of the kind unknown.
type afterwardsError struct {
	did  string // done, or accepted
	what string // that failed: printing the reply, say
	error
}

func (e afterwardsError) Error() string {
	return "it was " + e.did + "; only " + e.what + " failed: " + e.error.Error()
}

func (e afterwardsError) Unwrap() error { return e.error }

// printed is the error of a verb that changed something and then printed its
// result, with this error.
func printed(err error) error {
	if err == nil {
		return nil
	}
	return afterwardsError{"done", "printing the result", err}
}

// closed is the error of a verb that opened a store, whose work ended with one
// error and whose closing with another.
func closed(work, closing error) error {
	if work == nil && closing != nil {
		return afterwardsError{"done", "closing the store", closing}
	}
	return errors.Join(work, closing)
}

// failureJSON is how a failure is printed with --json. Its members are part of
// the command's contract (docs/reference/cli.md).
type failureJSON struct {
	Kind      string          `json:"kind"`
	Code      string          `json:"code,omitempty"`
	Detail    string          `json:"detail"`
	Agent     string          `json:"agent,omitempty"`
	Action    string          `json:"action,omitempty"`
	Key       string          `json:"key,omitempty"`
	Replayed  bool            `json:"replayed,omitempty"`
	Retryable bool            `json:"retryable"`
	Status    int             `json:"http_status,omitempty"`
	Doubt     string          `json:"doubt,omitempty"`
	Dead      string          `json:"dead_letter,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Next      string          `json:"next,omitempty"`
}

// fail makes the error of a verb's work one that main understands, and prints
// it if it is to be JSON.
func (p *printer) fail(err error) error {
	var usage usageError
	if err == nil || errors.As(err, &usage) {
		return err
	}
	var told toldError
	if p.json && !errors.As(err, &told) {
		var after afterwardsError // of printing, mostly: saying it twice would not help
		if printing := p.object(map[string]failureJSON{"error": describe(err)}); printing != nil && !errors.As(err, &after) {
			err = errors.Join(err, printing)
		}
	}
	var next nextStep
	if !errors.As(err, &next) {
		err = nextStep{err, advice(err, callError{})}
	}
	return failure{err}
}

// describe is the JSON of a failure.
func describe(err error) failureJSON {
	f := failureJSON{Kind: kindOf(err).String(), Detail: err.Error()}
	var next nextStep
	if errors.As(err, &next) {
		f.Next, f.Detail = next.next, next.error.Error()
	} else {
		f.Next = advice(err, callError{})
	}
	var call callError
	if errors.As(err, &call) {
		f.Key, f.Replayed = call.key, call.replayed
	}
	var no *semel.Rejection
	var notDone *semel.NotDoneError
	var unknown *semel.UnknownError
	agent := semel.AgentName{}
	switch kindOf(err) {
	case semel.KindRejected:
		if errors.As(err, &no) {
			agent, f.Action, f.Code, f.Detail = no.Agent, no.Action, no.Code, no.Detail
		}
	case semel.KindUnknown:
		if errors.As(err, &unknown) {
			agent, f.Action, f.Code, f.Detail = unknown.Agent, unknown.Action, string(unknown.Code), unknown.Detail
		}
	default:
		if errors.As(err, &notDone) {
			agent, f.Action, f.Code, f.Detail = notDone.Agent, notDone.Action, string(notDone.Code), notDone.Detail
		}
	}
	if agent.ID != "" {
		f.Agent = agent.String()
	}
	var p *client.Problem
	if errors.As(err, &p) && p.Code == f.Code {
		f.Retryable, f.Status, f.Doubt, f.Dead, f.Data = p.Retryable, p.Status, p.Doubt, p.Dead, p.Data
	} else {
		f.Retryable = f.Code == string(client.CodeUnreachable) || f.Code == string(client.CodeConnectionLost)
	}
	return f
}

// kindOf is semel.KindOf for the errors of a command: one that is of none of
// the three types (a file that cannot be read) came before anything was sent,
// unless it says that it came afterwards.
func kindOf(err error) semel.Kind {
	var no *semel.Rejection
	var notDone *semel.NotDoneError
	var unknown *semel.UnknownError
	var after afterwardsError
	if errors.As(err, &after) {
		return semel.KindUnknown
	}
	if errors.As(err, &no) || errors.As(err, &notDone) || errors.As(err, &unknown) {
		return semel.KindOf(err)
	}
	return semel.KindNotDone
}

// callError is the failure of a call, with its key.
type callError struct {
	error
	agent, key string
	made       bool // the key was made for this call
	replayed   bool
}

func (e callError) Unwrap() error { return e.error }

// advice says what to do about a failure, if that is more than its detail says.
func advice(err error, call callError) string {
	var no *semel.Rejection
	if kindOf(err) == semel.KindRejected && errors.As(err, &no) {
		return ""
	}
	f := struct{ code, ref string }{}
	var notDone *semel.NotDoneError
	var unknown *semel.UnknownError
	var after afterwardsError
	isUnknown := kindOf(err) == semel.KindUnknown
	switch {
	case errors.As(err, &after):
	case isUnknown && errors.As(err, &unknown):
		f.code, f.ref = string(unknown.Code), unknown.Ref.String()
	case errors.As(err, &notDone):
		f.code = string(notDone.Code)
	}
	switch f.code {
	case string(message.CodeInDoubt):
		return "look at it with `semel doubts show " + f.ref + "`, ask the provider, and settle it with `semel doubts resolve`"
	case string(message.CodeDead):
		return "look at it with `semel dead show " + f.ref + "`, then `semel dead retry` or `semel dead discard`"
	case string(message.CodeConflict):
		if how := explainDeal(call.agent, call.key); how != "" {
			return "`" + how + "` shows what was asked for under this key; what is meant anew needs a new key"
		}
		return "`semel explain AGENT KEY ACTION BODY` says how this request differs from the recorded one"
	case "unknown_transaction":
		return "`semel transactions` lists those that are known; what all have acknowledged is forgotten after a while"
	case "unknown_saga":
		return "`semel sagas` lists those that are known; what has ended is forgotten after a while"
	case string(client.CodeUnreachable):
		return "is the server running? `semel serve` starts one, --server names another, and --data opens a directory that no server has open"
	case "unauthorized":
		return "give a token with $" + envToken + " or --token"
	case "forbidden":
		return "use a token whose role may do this"
	case string(message.CodeUnknownKey), string(message.CodeOutcomeUnknown), string(message.CodeKeyExpired):
		return ""
	}
	if isUnknown && call.key != "" {
		how := "repeat the same command: it has the same key"
		if call.made {
			how = "repeat the same command with --key " + quoteArg(call.key)
		}
		if explain := explainDeal(call.agent, call.key); explain != "" {
			return how + ", so it is safe; or see `" + explain + "`"
		}
		return how + ", so it is safe; or see `semel explain " + quoteArg(call.agent) + " " + quoteArg(call.key) + "`"
	}
	return ""
}

// The agents by which calls of sagas and transactions are printed.
const (
	transactionsAgent = "transactions"
	sagasAgent        = "sagas/"
)

// explainDeal is the command that follows what was asked for under a key, if that
// was a transaction or a saga.
func explainDeal(agent, key string) string {
	name, isSaga := strings.CutPrefix(agent, sagasAgent)
	switch {
	case agent == transactionsAgent:
		return "semel explain transaction " + quoteArg(key)
	case isSaga:
		return "semel explain saga " + quoteArg(name) + " " + quoteArg(key)
	}
	return ""
}

// quoteArg quotes an argument for a shell, if it needs that.
func quoteArg(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

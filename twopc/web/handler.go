package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/semel-dev/semel"
	"github.com/semel-dev/semel/twopc"
)

// Handler is a participant, as an http.Handler for the paths that end in /prepare,
// /commit, /abort and /prepared. It checks no authorization: whoever reaches it decides about
// all branches, so put it behind something that does. It is safe for concurrent use.
type Handler[T any] struct {
	ledger Ledger[T]
	work   Work[T]
}

// NewHandler makes a participant of work on a ledger.
func NewHandler[T any](ledger Ledger[T], work Work[T]) *Handler[T] {
	return &Handler[T]{ledger, work}
}

// ServeHTTP implements http.Handler.
func (h *Handler[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	turns := map[string]func(context.Context, request) (any, error){"prepare": h.prepare, "commit": h.commit, "abort": h.abort}
	turn := turns[call]
	switch {
	case call == "prepared" && r.Method == http.MethodGet:
		h.list(w, r)
	case turn == nil || r.Method != http.MethodPost:
		tell(w, http.StatusNotFound, problem{Code: "not_found", Detail: "there are POST prepare, commit and abort, and GET prepared"})
	default:
		req, err := read(w, r)
		if err != nil {
			tell(w, http.StatusBadRequest, problem{Code: codeInvalid, Detail: err.Error()})
			return
		}
		answer, err := turn(r.Context(), req)
		respond(w, answer, err)
	}
}

// read reads a request that keeps the contract.
func read(w http.ResponseWriter, r *http.Request) (req request, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	if err == nil {
		err = check(req.Tx, req.Branch, req.Handle)
	}
	if key := r.Header.Get("Idempotency-Key"); err == nil && key != req.key() {
		err = fmt.Errorf("the Idempotency-Key is %.80q, and must be %q, the branch", key, req.key())
	}
	return req, err
}

// failure is an error of a transaction that was rolled back.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// within runs f. What was rolled back for certain is a Rejection or a failure.
func (h *Handler[T]) within(ctx context.Context, r request, f func(ctx context.Context, t T, e Entry) (Entry, error)) error {
	rolled := true // until f has ended well
	err := h.ledger.Within(ctx, r.Tx, r.Branch, func(ctx context.Context, t T, e Entry) (Entry, error) {
		rolled = true // it may be run again
		e, err := f(ctx, t, e)
		rolled = err != nil
		return e, err
	})
	var no *semel.Rejection
	if err == nil || !rolled || errors.As(err, &no) {
		return err
	}
	return failure{err}
}

func (h *Handler[T]) prepare(ctx context.Context, r request) (any, error) {
	var v vote
	err := h.within(ctx, r, func(ctx context.Context, t T, e Entry) (Entry, error) {
		switch {
		case e.State == Prepared && string(e.Body) != string(r.Body):
			return e, semel.Reject(codeConflict, "the branch is prepared with another body")
		case e.State == Prepared:
			v = vote{Vote: "yes", Reply: e.Reply}
			return e, nil
		case e.State != None:
			return e, semel.Reject(codeResolved, "the branch is %s", e.State)
		}
		given, err := h.work.Prepare(ctx, t, twopc.Branch{Tx: r.Tx, Name: r.Branch, Body: r.Body})
		if err != nil {
			return e, err
		}
		if given.ReadOnly {
			v = vote{Vote: "read_only", Reply: given.Reply}
			return e, nil
		}
		v = vote{Vote: "yes", Reply: given.Reply}
		return Entry{Tx: r.Tx, Branch: r.Branch, State: Prepared, Body: r.Body, Reply: given.Reply, Since: time.Now()}, nil
	})
	return v, err
}

func (h *Handler[T]) commit(ctx context.Context, r request) (any, error) {
	lost := false
	err := h.within(ctx, r, func(ctx context.Context, t T, e Entry) (Entry, error) {
		lost = false
		switch e.State {
		case Committed:
			return e, nil
		case Aborted:
			return e, semel.Reject(twopc.CodeResolvedOtherwise, "the branch is aborted")
		case None: // it said yes, and has lost that: nothing of it may come any more
			lost = true
			return Entry{Tx: r.Tx, Branch: r.Branch, State: Aborted, Since: time.Now()}, nil
		}
		return ended(e, Committed), h.work.Commit(ctx, t, twopc.Branch{Tx: e.Tx, Name: e.Branch, Body: e.Body})
	})
	if err == nil && lost {
		err = semel.Reject(twopc.CodeResolvedOtherwise, "the branch is not prepared here")
	}
	return struct{}{}, err
}

func (h *Handler[T]) abort(ctx context.Context, r request) (any, error) {
	err := h.within(ctx, r, func(ctx context.Context, t T, e Entry) (Entry, error) {
		switch e.State {
		case Aborted:
			return e, nil
		case Committed:
			return e, semel.Reject(twopc.CodeResolvedOtherwise, "the branch is committed")
		case None: // a call to prepare it may be on its way
			return Entry{Tx: r.Tx, Branch: r.Branch, State: Aborted, Since: time.Now()}, nil
		}
		return ended(e, Aborted), h.work.Abort(ctx, t, twopc.Branch{Tx: e.Tx, Name: e.Branch, Body: e.Body})
	})
	return struct{}{}, err
}

// ended is an entry that was prepared, in its last state.
func ended(e Entry, s State) Entry {
	return Entry{Tx: e.Tx, Branch: e.Branch, State: s, Since: time.Now()}
}

func (h *Handler[T]) list(w http.ResponseWriter, r *http.Request) {
	all, err := h.ledger.Prepared(r.Context())
	list := preparedList{Prepared: []listed{}}
	for _, e := range all {
		list.Prepared = append(list.Prepared, listed{Tx: e.Tx, Branch: e.Branch, Since: e.Since.UTC()})
	}
	respond(w, list, err)
}

// Inquire asks the coordinator about every branch that has been prepared for longer
// than age, and does what it decided. Call it every now and then: it is how a branch
// ends whose coordinator was told that it is not there. It returns how many branches
// still wait, and goes on after an error.
func (h *Handler[T]) Inquire(ctx context.Context, coordinator Config, age time.Duration) (waiting int, err error) {
	all, err := h.ledger.Prepared(ctx)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, e := range all {
		if time.Since(e.Since) < age {
			continue
		}
		d, err := Ask(ctx, coordinator, twopc.Prepared{Tx: e.Tx, Name: e.Branch})
		switch {
		case err != nil:
		case d == Commit:
			_, err = h.commit(ctx, request{Tx: e.Tx, Branch: e.Branch})
		case d == Abort:
			_, err = h.abort(ctx, request{Tx: e.Tx, Branch: e.Branch})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("the branch %s of %s: %w", e.Branch, e.Tx, err))
		}
		if err != nil || d == Wait {
			waiting++
		}
	}
	return waiting, errors.Join(failed...)
}

// respond answers as the contract has it.
func respond(w http.ResponseWriter, answer any, err error) {
	var no *semel.Rejection
	var rolled failure
	switch {
	case errors.As(err, &no):
		tell(w, http.StatusConflict, problem{Code: no.Code, Detail: no.Detail, Data: no.Data})
	case errors.As(err, &rolled):
		w.Header().Set("Retry-After", "1")
		tell(w, http.StatusServiceUnavailable, problem{Code: codeNotDone, Detail: "nothing was done; ask again"})
	case err != nil:
		tell(w, http.StatusInternalServerError, problem{Code: "unknown", Detail: "whether it was done is not known; ask again"})
	default:
		body, err := json.Marshal(answer)
		if err != nil { // a reply that is no JSON
			tell(w, http.StatusInternalServerError, problem{Code: "unknown", Detail: "the answer cannot be told as JSON"})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // a lost answer is asked for again
	}
}

func tell(w http.ResponseWriter, status int, p problem) {
	p.Status, p.Title = status, http.StatusText(status)
	body, err := json.Marshal(p)
	if err != nil { // data that is no JSON
		p.Data = nil
		body, _ = json.Marshal(p)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a lost answer is asked for again
}

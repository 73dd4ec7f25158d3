package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The verdicts.
const (
	Clean        = "clean"
	Violated     = "violation"
	Inconclusive = "inconclusive"
)

// The codes of violations.
const (
	// Of the history itself: flaws, which prove nothing.
	CodeTruncated         = "truncated"
	CodeMalformed         = "malformed"
	CodeDuplicateInvoke   = "duplicate_invoke"
	CodeUnmatched         = "unmatched_completion"
	CodeDoubleCompletion  = "double_completion"
	CodeMissingCompletion = "missing_completion"
	CodeClock             = "clock"
	CodeDrainMissing      = "drain_missing"
	CodeAgainMissing      = "again_missing"
	CodeStateMissing      = "state_missing"

	// Of answers.
	CodeReplyMalformed    = "reply_malformed"
	CodeReplyChanged      = "reply_changed"
	CodeOutcomeChanged    = "outcome_changed"
	CodeOutcomeLost       = "outcome_lost"
	CodeExecutedTwice     = "executed_twice"
	CodeRefusalFalse      = "refusal_false"
	CodeRejectionFalse    = "rejection_false"
	CodeConflictFalse     = "conflict_false"
	CodeConflictMissing   = "conflict_missing"
	CodeConflictLeak      = "conflict_leak"
	CodeMalformedAccepted = "malformed_accepted"
	CodeDoubtForbidden    = "doubt_forbidden"
	CodeDoubtMissing      = "doubt_missing"
	CodeDoubtFalse        = "doubt_false"
	CodeUnknownForbidden  = "unknown_forbidden"
	CodeUnknownMissing    = "unknown_missing"
	CodeUnknownFalse      = "unknown_false"

	// Of effects.
	CodeEffectLost       = "effect_lost"
	CodeEffectDoubled    = "effect_doubled"
	CodeEffectAfterFail  = "effect_after_failure"
	CodeEffectUnasked    = "effect_unasked"
	CodeEffectMismatch   = "effect_mismatch"
	CodeEffectTime       = "effect_out_of_time"
	CodeEffectKeyChanged = "effect_key_changed"
	CodeEffectKeyShared  = "effect_key_shared"
	CodeReceiptMismatch  = "receipt_mismatch"
	CodeBlindCall        = "blind_call"
	CodeSettledWrong     = "settled_wrong"

	// Of accounts.
	CodeStateMismatch   = "state_mismatch"
	CodeNotLinearizable = "not_linearizable"
	CodeUnclear         = "linearizability_unclear"

	// Of transactions.
	CodeTotalChanged    = "total_changed"
	CodeUpdateLost      = "update_lost"
	CodeBalanceUnknown  = "balance_unknown"
	CodeNotSerializable = "not_serializable"
	CodeAccountHeld     = "account_held"
	CodeTransactionLeft = "transaction_left"

	// Of the end.
	CodeDrainIncomplete = "drain_incomplete"
	CodeDoubtLeft       = "doubt_left"
	CodeDeadLeft        = "dead_left"
	CodeServerLost      = "server_lost"
)

// restOnAbsence are the rules that are broken by what is not in the history. They
// are not judged if lines are missing.
var restOnAbsence = map[string]bool{
	CodeRefusalFalse: true, CodeRejectionFalse: true, CodeDoubtMissing: true, CodeDoubtFalse: true, CodeUnknownMissing: true, CodeUnknownFalse: true,
	CodeEffectLost: true, CodeEffectAfterFail: true, CodeEffectUnasked: true, CodeEffectMismatch: true, CodeEffectTime: true, CodeBlindCall: true,
	CodeSettledWrong: true, CodeStateMismatch: true, CodeNotLinearizable: true, CodeUnclear: true, CodeDrainIncomplete: true,
	CodeBalanceUnknown: true, CodeNotSerializable: true, CodeAccountHeld: true,
}

// Violation is a rule that was broken, with the least that shows it.
type Violation struct {
	Code     string     `json:"code"`
	Message  string     `json:"message"`
	Evidence []Evidence `json:"evidence,omitempty"`

	places []place
}

// Evidence is a line of the history.
type Evidence struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text,omitempty"`
}

// Report is the verdict. Members may be added under its version.
type Report struct {
	Version    int         `json:"version"`
	Verdict    string      `json:"verdict"`
	Violations []Violation `json:"violations,omitempty"` // at most shown of each code
	// Broken says how often each rule was broken, by code.
	Broken map[string]int `json:"broken,omitempty"`
	// Flaws are of the history itself, at most shown of each code. They are nothing
	// that the server did.
	Flaws []Violation `json:"flaws,omitempty"`
	// Lacking says why a history without violations proves too little.
	Lacking []string `json:"lacking,omitempty"`
	Counts  Counts   `json:"counts"`

	Manifest Manifest `json:"run"`

	timeline timeline
}

// shown is how many violations of one code are told in full.
const shown = 10

// judge gathers what is found.
type judge struct {
	h      *history
	report *Report
	flaws  map[string]int // by code

	refusal *request // the first of another payload
}

// found notes that a rule was broken.
func (j *judge) found(code string, places []place, form string, args ...any) {
	if j.h.holes && restOnAbsence[code] {
		return
	}
	if j.report.Broken[code]++; j.report.Broken[code] <= shown {
		j.report.Violations = append(j.report.Violations, Violation{code, fmt.Sprintf(form, args...), nil, places})
	}
}

// flaw notes that the history is not what it should be.
func (j *judge) flaw(code string, places []place, form string, args ...any) {
	if j.flaws[code]++; j.flaws[code] <= shown {
		j.report.Flaws = append(j.report.Flaws, Violation{code, fmt.Sprintf(form, args...), nil, places})
	}
}

// quote fills in the text of the evidence, reading each file once more.
func (j *judge) quote(open source) error {
	wanted := make(map[place][]*Evidence)
	files := make(map[int32]int32) // the last line that is wanted
	for _, v := range j.report.all() {
		v.places = slices.DeleteFunc(v.places, func(p place) bool { return p.file < 0 })
		v.Evidence = make([]Evidence, len(v.places))
		for k, p := range v.places {
			v.Evidence[k] = Evidence{File: j.h.files[p.file], Line: int(p.line)}
			wanted[p] = append(wanted[p], &v.Evidence[k])
			files[p.file] = max(files[p.file], p.line)
		}
	}
	for file, last := range files {
		if err := j.quoteFile(open, file, last, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (j *judge) quoteFile(open source, file, last int32, wanted map[place][]*Evidence) error {
	f, err := open(j.h.files[file])
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, longestLine)
	for n := int32(1); n <= last; n++ {
		line, err := in.ReadSlice('\n')
		for _, e := range wanted[place{file, n}] {
			e.Text = strings.TrimSpace(string(line[:min(len(line), 1000)]))
		}
		if err != nil {
			return nil // what is not there cannot be shown
		}
	}
	return nil
}

// all are the violations and the flaws.
func (r *Report) all() (all []*Violation) {
	for i := range r.Violations {
		all = append(all, &r.Violations[i])
	}
	for i := range r.Flaws {
		all = append(all, &r.Flaws[i])
	}
	return all
}

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i, v := range r.all() {
		word := "VIOLATION"
		if i >= len(r.Violations) {
			word = "FLAW"
		}
		fmt.Fprintf(b, "%s %s: %s\n", word, v.Code, v.Message)
		for _, e := range v.Evidence {
			fmt.Fprintf(b, "    %s:%d  %s\n", e.File, e.Line, e.Text)
		}
	}
	for _, code := range slices.Sorted(keysOf(r.Broken)) {
		if n := r.Broken[code]; n > shown {
			fmt.Fprintf(b, "and %d more of %s\n", n-shown, code)
		}
	}
	if len(r.Violations)+len(r.Flaws) > 0 {
		fmt.Fprintln(b)
	}
	for _, row := range r.Counts.rows() {
		fmt.Fprintf(b, "%-11s %s\n", row[0], row[1])
	}
	fmt.Fprintln(b)
	switch r.Verdict {
	case Clean:
		fmt.Fprintf(b, "CLEAN  nothing is lost, nothing done twice, and in doubt was what the policies say\n")
	case Violated:
		total := 0
		for _, n := range r.Broken {
			total += n
		}
		fmt.Fprintf(b, "VIOLATED  %d times\n", total)
	default:
		for _, why := range r.Lacking {
			fmt.Fprintf(b, "INCONCLUSIVE  %s\n", why)
		}
	}
	return b.Flush()
}

package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// source opens the files of a history.
type source func(name string) (io.ReadCloser, error)

// longestLine bounds what is read of a line.
const longestLine = 1 << 20

// maxSkew is by how much the clocks of two processes of one machine may differ:
// each counts from the wall clock's time at its start.
const maxSkew = int64(10e6)

// reader reads a history, and reports what is wrong with its form.
type reader struct {
	*judge
	h    *history
	open source
	byID map[string]*request
	text map[string]string // strings that come again and again
	bank []string          // the names of its accounts
}

func (j *judge) read(open source) (*history, error) {
	h := &history{byKey: make(map[string]*operation)}
	r := &reader{judge: j, h: h, open: open, byID: make(map[string]*request), text: make(map[string]string)}
	j.h = h
	f, err := open(ManifestFile)
	if err != nil {
		return nil, fmt.Errorf("this is no history: %w", err)
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, longestLine)).Decode(&h.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	if h.manifest.Version != Version {
		return nil, fmt.Errorf("%s: the history has version %d; this program reads version %d", ManifestFile, h.manifest.Version, Version)
	}
	if b := h.manifest.Bank; b != nil {
		for n := range b.Accounts {
			r.bank = append(r.bank, BankAccount(h.manifest.Run, n))
		}
	}
	for _, name := range h.manifest.Files {
		if name != path.Base(name) {
			return nil, fmt.Errorf("%s: %q is no name of a file beside it", ManifestFile, name)
		}
		h.files = append(h.files, name)
		if err := r.file(int32(len(h.files)-1), name); err != nil {
			return nil, err
		}
	}
	h.double()
	for _, q := range h.requests {
		if q.answered == "" {
			j.flaw(CodeMissingCompletion, []place{q.callAt}, "the history does not say what became of the request %s", q.id)
		}
	}
	return h, nil
}

// file reads one file. What is wrong with its form is a flaw; that it cannot be
// read is an error.
func (r *reader) file(number int32, name string) error {
	f, err := r.open(name)
	if errors.Is(err, fs.ErrNotExist) && !r.h.manifest.Finished {
		r.hole(CodeTruncated, nil, "%s is not there", name)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, longestLine)
	at, ended := place{number, 0}, false
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%s: %w", name, err)
		}
		at.line++
		if err != nil {
			r.hole(CodeTruncated, []place{at}, "%s ends, or has a line that is too long, without a line end", name)
			return nil
		}
		if ended {
			r.hole(CodeMalformed, []place{at}, "%s goes on after its end", name)
			return nil
		}
		var rec Record
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&rec); err != nil {
			r.hole(CodeMalformed, []place{at}, "%s: %v", name, err)
			continue
		}
		if rec.Type == End {
			if ended = true; rec.Lines != int(at.line)-1 {
				r.hole(CodeTruncated, []place{at}, "%s has %d lines before its end, and says that there were %d", name, at.line-1, rec.Lines)
			}
			continue
		}
		r.record(&rec, at)
	}
	if !ended {
		r.hole(CodeTruncated, []place{at}, "%s has no end: lines are missing, or its process did not finish", name)
	}
	return nil
}

// hole notes a flaw by which lines are missing.
func (r *reader) hole(code string, places []place, form string, args ...any) {
	r.h.holes = true
	r.flaw(code, places, form, args...)
}

func (r *reader) record(rec *Record, at place) {
	late := r.h.manifest.Finished && rec.At > r.h.manifest.Took+maxSkew
	if rec.At < 0 || late || rec.Until != 0 && rec.Until < rec.At {
		r.flaw(CodeClock, []place{at}, "the time %d is not within the run, which took %d ns", rec.At, r.h.manifest.Took)
	}
	r.h.end = max(r.h.end, rec.At)
	list := func(to *[]*event) { *to = append(*to, &event{*rec, at}) }
	switch rec.Type {
	case Invoke:
		r.invoke(rec, at)
	case OK, Fail, Info:
		r.completion(rec, at)
	case Effect, Call:
		list(&r.h.arrivals)
	case Probed:
		list(&r.h.probes)
	case Settle:
		list(&r.h.settles)
	case State:
		list(&r.h.states)
	case Doubt, Dead, Open:
		list(&r.h.left)
	case Listed:
		list(&r.h.listings)
	case Drain:
		list(&r.h.drains)
	case Fault:
		list(&r.h.faults)
		switch rec.Fault {
		case FaultKill, FaultPause, FaultRestart, FaultMidway:
			list(&r.h.outages)
		}
	case Looked:
		r.h.looked = &event{*rec, at}
	default:
		r.hole(CodeMalformed, []place{at}, "there is no record of type %q", rec.Type)
	}
}

func (r *reader) invoke(rec *Record, at place) {
	q := &request{id: rec.ID, phase: r.intern(rec.Phase), batch: rec.Batch, altered: rec.Phase == PhaseAltered, call: rec.At, callAt: at, retAt: nowhere}
	if was := r.byID[rec.ID]; was != nil || rec.ID == "" {
		places := []place{at}
		if was != nil {
			places = append(places, was.callAt)
		}
		r.hole(CodeDuplicateInvoke, places, "the request %q was sent twice, or has no id", rec.ID)
		return
	}
	r.byID[rec.ID] = q
	var o *operation
	if rec.Op != OpRead {
		o = r.h.byKey[rec.Key]
	}
	if o == nil {
		o = &operation{key: rec.Key, kind: r.intern(rec.Op), agent: r.intern(rec.Agent), to: r.intern(rec.To), policy: r.intern(rec.Policy), print: rec.Print, cents: rec.Cents}
		for _, p := range rec.Parts {
			if p.Account < 0 || p.Account >= len(r.bank) {
				r.hole(CodeMalformed, []place{at}, "the bank has no account %d", p.Account)
				continue
			}
			o.parts = append(o.parts, change{r.bank[p.Account], p.Cents})
		}
		r.h.order = append(r.h.order, o)
		if rec.Op != OpRead {
			r.h.byKey[rec.Key] = o
		}
	} else if q.altered == (o.print == rec.Print) || o.agent != rec.Agent {
		r.hole(CodeMalformed, []place{o.requests[0].callAt, at}, "the request %s is not what it says, a repetition or an altered one of the key %s", rec.ID, rec.Key)
	}
	q.op = o
	o.requests = append(o.requests, q)
	r.h.requests = append(r.h.requests, q)
}

func (r *reader) completion(rec *Record, at place) {
	q := r.byID[rec.ID]
	switch {
	case q == nil:
		r.hole(CodeUnmatched, []place{at}, "an answer came to the request %q, which nobody sent", rec.ID)
		return
	case q.answered != "":
		r.flaw(CodeDoubleCompletion, []place{q.callAt, q.retAt, at}, "the request %s was answered twice", q.id)
		return
	case rec.At < q.call:
		r.flaw(CodeClock, []place{q.callAt, at}, "the request %s was answered before it was sent", q.id)
	}
	q.answered, q.ret, q.retAt = rec.Type, rec.At, at
	q.status, q.code, q.kind, q.reply, q.receipt, q.text, q.replayed, q.again = rec.Status, r.intern(rec.Code), r.intern(rec.Kind), rec.Reply, rec.Receipt, rec.Text, rec.Replayed, rec.Again
	if rec.Balance != nil {
		q.told, q.balance = true, *rec.Balance
	}
	q.balances, q.by = rec.Balances, r.intern(rec.Refused)
	if o := q.op; q.decided() && !q.altered {
		if o.first != nil && o.first.reply == q.reply {
			q.reply, q.balances = o.first.reply, o.first.balances // one of each
		}
		if o.first == nil || q.ret < o.first.ret {
			o.first = q
		}
	}
}

func (r *reader) intern(s string) string {
	if one, ok := r.text[s]; ok {
		return one
	}
	r.text[s] = s
	return s
}

package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Rejection is one doctored history, and what the checker said of it.
type Rejection struct {
	Name string   `json:"name"`
	Want string   `json:"want"` // the code of the violation; or the verdict, and what is lacking
	Got  []string `json:"got"`
	OK   bool     `json:"ok"`
}

// SelfTest judges the judge: a history in which nothing is wrong must be clean,
// and each of its doctored copies must be refused for the very reason for which
// it was doctored, and for no other one.
func SelfTest() ([]Rejection, error) {
	all := []Rejection{}
	clean := Rejection{Name: "nothing is wrong", Want: Clean}
	if err := clean.judge(cleanHistory(), nil); err != nil {
		return nil, err
	}
	all = append(all, clean)
	for _, c := range cases {
		h := cleanHistory()
		c.doctor(h)
		r := Rejection{Name: c.name, Want: c.want}
		if err := r.judge(h, c.also); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func (r *Rejection) judge(h *fabricated, also []string) error {
	report, err := judgeSource(h.open, Options{})
	if err != nil {
		return err
	}
	r.Got = slices.Sorted(keysOf(report.Broken))
	for _, f := range report.Flaws {
		r.Got = append(r.Got, unproved(f.Code))
	}
	for _, l := range report.Lacking {
		if what, _, _ := strings.Cut(l, ":"); len(report.Flaws) == 0 || what != "a whole history" {
			r.Got = append(r.Got, unproved(what))
		}
	}
	if slices.Sort(r.Got); len(r.Got) == 0 {
		r.Got = []string{report.Verdict}
	}
	r.Got = slices.Compact(r.Got)
	want := append([]string{r.Want}, also...)
	slices.Sort(want)
	r.OK = slices.Equal(r.Got, want) && report.Verdict == verdict(r.Want)
	for _, v := range report.all() {
		// Nothing can be shown of what is missing altogether.
		r.OK = r.OK && (len(v.Evidence) > 0 || v.Code == CodeDrainMissing || v.Code == CodeTruncated)
	}
	return nil
}

// unproved is what a history is in which something is lacking.
func unproved(what string) string { return Inconclusive + ": " + what }

// verdict is what a report with this finding says.
func verdict(finding string) string {
	switch word, _, _ := strings.Cut(finding, ":"); word {
	case Clean, Inconclusive:
		return word
	}
	return Violated
}

// fabricated is a history in memory.
type fabricated struct {
	manifest Manifest
	files    map[string][]Record
	raw      map[string]func([]byte) []byte // what is done to a file's bytes
	now      int64
	ids      int
}

func (h *fabricated) open(name string) (io.ReadCloser, error) {
	var b bytes.Buffer
	if name == ManifestFile {
		err := json.NewEncoder(&b).Encode(h.manifest)
		return io.NopCloser(&b), err
	}
	records, ok := h.files[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	e := json.NewEncoder(&b)
	for _, r := range append(slices.Clone(records), Record{Type: End, At: h.now, Lines: len(records)}) {
		if err := e.Encode(r); err != nil {
			return nil, err
		}
	}
	text := b.Bytes()
	if do := h.raw[name]; do != nil {
		text = do(text)
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

func (h *fabricated) tick() int64 {
	h.now += 20e6 // more than any skew
	return h.now
}

func (h *fabricated) add(file string, r Record) {
	if r.At == 0 {
		r.At = h.tick()
	}
	h.files[file] = append(h.files[file], r)
}

// record finds the n-th record that fits, from 0; it must be there.
func (h *fabricated) record(fits func(*Record) bool, n int) *Record {
	file, i := h.find(fits, n)
	return &h.files[file][i]
}

func (h *fabricated) find(fits func(*Record) bool, n int) (file string, at int) {
	for _, file := range h.manifest.Files {
		for i := range h.files[file] {
			if fits(&h.files[file][i]) {
				if n == 0 {
					return file, i
				}
				n--
			}
		}
	}
	panic("the fabricated history has no such record")
}

func (h *fabricated) remove(fits func(*Record) bool, n int) {
	file, i := h.find(fits, n)
	h.files[file] = slices.Delete(h.files[file], i, i+1)
}

// exchange gives two records of a file each other's place and time.
func (h *fabricated) exchange(a, b func(*Record) bool) {
	x, y := h.record(a, 0), h.record(b, 0)
	x.At, y.At = y.At, x.At
	*x, *y = *y, *x
}

// sent finds requests for a key.
func sent(key string) func(*Record) bool {
	return func(r *Record) bool { return r.Type == Invoke && r.Key == key }
}

// typed finds records of a type, with a key if one is given.
func typed(kind, key string) func(*Record) bool {
	return func(r *Record) bool { return r.Type == kind && (key == "" || r.Key == key) }
}

// answer is the answer to the n-th request for a key.
func (h *fabricated) answer(key string, n int) *Record {
	return h.record(h.answers(h.record(sent(key), n).ID), 0)
}

func (h *fabricated) answers(id string) func(*Record) bool {
	return func(r *Record) bool { return r.ID == id && r.Type != Invoke }
}

// each changes all answers to requests for a key that have been decided.
func (h *fabricated) each(key string, change func(*Record)) {
	ids := make(map[string]bool)
	for _, file := range h.manifest.Files {
		for i := range h.files[file] {
			r := &h.files[file][i]
			if r.Type == Invoke && r.Key == key && r.Phase != PhaseAltered {
				ids[r.ID] = true
			}
			if ids[r.ID] && (r.Type == OK || r.Type == Fail || r.Type == Info && r.Code == codeUnknown) {
				change(r)
			}
		}
	}
}

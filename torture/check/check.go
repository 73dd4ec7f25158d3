package check

import (
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
)

// Options tune a check. The zero value means what the run asked for.
type Options struct {
	// Operations and Kills are how many make a history conclusive; negative
	// means none, zero what the manifest says.
	Operations, Kills int
}

// Dir judges the history in a directory. An error means that it could not be
// read.
func Dir(dir string, o Options) (*Report, error) {
	return judgeSource(func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, name)) }, o)
}

func judgeSource(open source, o Options) (*Report, error) {
	j := &judge{report: &Report{Version: Version, Broken: make(map[string]int)}, flaws: make(map[string]int)}
	h, err := j.read(open)
	if err != nil {
		return nil, err
	}
	j.report.Manifest = h.manifest
	j.restarted()
	j.answers()
	j.effects()
	j.states()
	j.linearizable()
	j.bank()
	j.atTheEnd()
	j.count()
	j.lacking(o)
	j.report.timeline = h.timeline()
	switch {
	case len(j.report.Violations) > 0:
		j.report.Verdict = Violated
	case len(j.report.Lacking) > 0:
		j.report.Verdict = Inconclusive
	default:
		j.report.Verdict = Clean
	}
	return j.report, j.quote(open)
}

func keysOf[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

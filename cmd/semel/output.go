package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printer writes a verb's results: as JSON, one object a line, or for people.
type printer struct {
	out, err io.Writer
	json     bool
	color    bool
}

func newPrinter(out, err io.Writer, asJSON bool) *printer {
	return &printer{out: out, err: err, json: asJSON,
		color: terminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// terminal says whether somebody looks at what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// object prints JSON.
func (p *printer) object(v any) error {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// line prints a line for people.
func (p *printer) line(form string, args ...any) error {
	_, err := fmt.Fprintf(p.out, form+"\n", args...)
	return err
}

// note tells people, on standard error, what is not the result.
func (p *printer) note(form string, args ...any) {
	if !p.json {
		fmt.Fprintf(p.err, form+"\n", args...)
	}
}

// colors of the statuses, for terminals.
var colors = map[string]string{
	"done": "\x1b[32m", "replay": "\x1b[32m", "rejected": "\x1b[33m", "in_flight": "\x1b[36m",
	"in_doubt": "\x1b[31m", "dead": "\x1b[31m", "unknown": "\x1b[31m", "not_done": "\x1b[31m", "conflict": "\x1b[31m",
}

// paint colors a text by the status that it begins with. Widths are computed
// before.
func (p *printer) paint(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if c := colors[word]; p.color && c != "" {
		return c + text + "\x1b[0m"
	}
	return text
}

// printable keeps what others wrote from steering the terminal.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// indented is JSON for people.
func indented(raw json.RawMessage, prefix string) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, prefix, "  ") != nil {
		return printable(string(raw))
	}
	return printableLines(b.String())
}

func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// oneLine is JSON in one line, cut if it is long.
func oneLine(raw json.RawMessage, limit int) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		b.Reset()
		b.Write(raw)
	}
	return shorten(printable(b.String()), limit)
}

func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// moment is a time for people.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// tableRows is how many rows are gathered to find the widths of their columns.
const tableRows = 100

// table prints rows in columns while they come: the first rows decide the
// widths, later ones may only widen them.
type table struct {
	p      *printer
	head   []string
	rows   [][]string
	widths []int
	begun  bool
}

func (p *printer) table(head ...string) *table {
	return &table{p: p, head: head, widths: make([]int, len(head))}
}

func (t *table) row(cells ...string) error {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	if t.rows = append(t.rows, cells); len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

// flush prints what was gathered. Without any row there is nothing to print.
func (t *table) flush() error {
	if len(t.rows) == 0 {
		return nil
	}
	rows := t.rows
	t.rows = nil
	if !t.begun {
		t.begun = true
		rows = append([][]string{t.head}, rows...)
	}
	for _, r := range rows {
		for i, c := range r {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, c := range r {
			b.WriteString(t.p.paint(c))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		if err := t.p.line("%s", strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// fields prints a title and named values below it. A value without a name is a
// paragraph of its own.
func (p *printer) fields(title string, pairs ...string) error {
	if err := p.line("%s", printable(title)); err != nil {
		return err
	}
	for i := 0; i < len(pairs); i += 2 {
		text := printable(pairs[i+1])
		if pairs[i] == "" {
			if err := p.line("%s", text); err != nil {
				return err
			}
			continue
		}
		if text == "" {
			text = "-"
		}
		if err := p.line("  %-12s  %s", pairs[i], p.paint(text)); err != nil {
			return err
		}
	}
	return nil
}

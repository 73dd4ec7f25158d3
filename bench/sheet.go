package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

// Sheet is what a benchmark on a database server found: tables, and where they
// come from. It can be written for people, as JSON and as a page.
type Sheet struct {
	Title   string        `json:"title"`
	Command string        `json:"command"` // that repeats it
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	Machine Machine       `json:"machine"`
	Server  []Setting     `json:"server"` // what it says of itself
	Notes   []string      `json:"notes"`
	Rows    []Row         `json:"rows,omitempty"`
	Grids   []Grid        `json:"tables,omitempty"`
}

// Setting is one of the server's.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Grid is a table of texts. The first column is to the left.
type Grid struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Cells [][]string `json:"cells"`
}

func (s *Sheet) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// Tables are the sheet's, its rows first.
func (s *Sheet) Tables() []Grid {
	if len(s.Rows) == 0 {
		return s.Grids
	}
	g := Grid{Head: []string{"workload", "operations/s", "p50", "p99", "beside", "operations/s", "p50", "p99", "ratio", "goal", "met"}}
	for i := range s.Rows {
		r := &s.Rows[i]
		cells := append([]string{r.Name}, figures(&r.Result)...)
		if r.Baseline == nil {
			cells = append(cells, "", "", "", "", "", "", "")
		} else {
			cells = append(append(append(cells, r.Beside), figures(r.Baseline)...), factor(r.Ratio), r.Goal, met(r.Met))
		}
		g.Cells = append(g.Cells, cells)
	}
	return append([]Grid{g}, s.Grids...)
}

// figures are throughput and latency; a dash stands for a quantile that means
// nothing, for too few calls are beyond it.
func figures(r *Result) []string {
	out := []string{thousands(r.PerSec)}
	for _, p := range []float64{0.5, 0.99} {
		if !r.latency.Enough(p) {
			out = append(out, "–")
			continue
		}
		out = append(out, short(r.latency.Quantile(p)))
	}
	return out
}

func met(yes *bool) string {
	switch {
	case yes == nil:
		return ""
	case *yes:
		return "yes"
	}
	return "NO"
}

// settings are the server's in a line.
func (s *Sheet) settings() string {
	var all []string
	for _, x := range s.Server {
		all = append(all, x.Name+" "+x.Value)
	}
	return strings.Join(all, ", ")
}

// WriteText writes the sheet for people, its tables in Markdown.
func (s *Sheet) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", s.Title, s.Machine)
	if len(s.Server) > 0 {
		fmt.Fprintf(&b, "PostgreSQL: %s\n", s.settings())
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	for _, g := range s.Tables() {
		b.WriteString("\n")
		if g.Title != "" {
			fmt.Fprintf(&b, "%s\n\n", g.Title)
		}
		fmt.Fprintf(&b, "| %s |\n|---%s|\n", strings.Join(g.Head, " | "), strings.Repeat("|---:", len(g.Head)-1))
		for _, row := range g.Cells {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the sheet as indented JSON.
func (s *Sheet) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

//go:embed sheet.html
var sheetText string

var sheetPage = template.Must(template.New("sheet").Funcs(template.FuncMap{"span": span}).Parse(sheetText))

// WriteHTML writes the sheet as a page that needs nothing else.
func (s *Sheet) WriteHTML(w io.Writer) error { return sheetPage.Execute(w, s) }

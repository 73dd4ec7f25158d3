package bench

import (
	_ "embed"
	"html/template"
	"io"
	"slices"

	"github.com/semel-dev/semel/message"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"thousands": thousands, "short": short, "percent": percent, "factor": factor, "span": span, "gib": gib,
	"float": func(n int) float64 { return float64(n) },
	"key": func(i int) template.HTML {
		return template.HTML(`<svg class="key" viewBox="0 0 34 14" aria-hidden="true"><g class="` + class(i) + `"><polyline points="1,7 33,7"/><path d="` +
			shape(class(i), 17, 7) + `"/></g></svg>`)
	},
}).Parse(pageText))

// WriteHTML writes the report as a page that needs nothing else: no network and
// no script.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r.view()) }

// view is a report as the page shows it.
type view struct {
	*Report
	Subjects []string
	Paths    []pathView
}

type pathView struct {
	Name     string
	Tradeoff template.HTML
	Points   []pointView
	Findings []finding
}

type pointView struct {
	Load         string
	Distribution template.HTML
	Rows         []rowView
}

type rowView struct {
	Subject   int
	Name      string
	Rate      float64
	Bar       float64 // percent of the widest of the path
	Times     string
	P50       string
	P99, P999 string
	CPU       string
	Busy      string
	Limit     string
}

// finding is what exactly-once costs at a point.
type finding struct {
	Load        string
	Least, Most *Ratio
}

func (r *Report) view() view {
	v := view{Report: r, Subjects: subjectNames}
	for _, p := range r.points() {
		at := slices.IndexFunc(v.Paths, func(x pathView) bool { return x.Name == p.Path })
		if at < 0 {
			at = len(v.Paths)
			v.Paths = append(v.Paths, pathView{Name: p.Path, Tradeoff: r.tradeoff(p.Path)})
		}
		path := &v.Paths[at]
		path.Points = append(path.Points, r.pointView(p))
		least, most := r.ratio(p, message.AtLeastOnce.String()), r.ratio(p, message.AtMostOnce.String())
		if least != nil && most != nil {
			path.Findings = append(path.Findings, finding{p.Load(), least, most})
		}
	}
	return v
}

func (r *Report) pointView(p Point) pointView {
	v := pointView{Load: p.Load(), Distribution: r.distribution(p)}
	widest := 0.0
	for _, m := range r.Measurements {
		if m.Path == p.Path || m.Path == RawStore && p.Path == InProcess {
			widest = max(widest, m.PerSecond)
		}
	}
	for i, name := range subjectNames {
		m := r.find(p, name)
		if m == nil {
			continue
		}
		v.Rows = append(v.Rows, rowView{
			Subject: i, Name: name, Rate: m.PerSecond, Bar: 100 * quotient(m.PerSecond, widest), Times: r.times(p, name),
			P50: short(m.Latency.P50), P99: m.quantile(0.99), P999: m.quantile(0.999),
			CPU: short(m.CPU), Busy: percent(m.Busy), Limit: r.limit(m),
		})
	}
	return v
}

// limit says what a measurement had to wait for most, as far as its figures
// tell.
func (r *Report) limit(m *Measurement) string {
	switch waits := m.Guarantee != message.AtMostOnce.String(); {
	case m.Busy >= 0.8:
		return "processors"
	case waits && m.Callers == 1 && m.Batch == 1:
		return "disk: sync " + percent(min(over(r.Disk.Latency.P50, m.Latency.P50), 1)) + " of p50"
	case waits:
		return "disk and processors"
	case m.Callers == 1 && m.Batch == 1:
		return "round trip"
	}
	return "disk, behind answers"
}

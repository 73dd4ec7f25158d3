package check

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"span": func(ns int64) string { return time.Duration(ns).Round(time.Millisecond).String() },
	"verdict": func(v string) string {
		return map[string]string{Clean: "Clean", Violated: "The promise was broken", Inconclusive: "Inconclusive"}[v]
	},
}).Parse(pageText))

// WriteHTML writes the report as a page that needs nothing else: no network and
// no script.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r.view()) }

// view is a report as the page shows it.
type view struct {
	*Report
	Timeline template.HTML
	Rows     [][2]string
	Down     string // of the server, each time that it was killed
	More     map[string]int
}

func (r *Report) view() view {
	v := view{Report: r, Timeline: r.timeline.svg(), Rows: r.Counts.rows(), Down: r.timeline.down(), More: make(map[string]int)}
	for code, n := range r.Broken {
		if n > shown {
			v.More[code] = n - shown
		}
	}
	return v
}

// All are the violations and the flaws.
func (v view) All() []*Violation { return v.all() }

// down says how long the server was away after a kill.
func (t *timeline) down() string {
	var took []int64
	for _, s := range t.Spans {
		if s.Fault == FaultKill {
			took = append(took, s.Until-s.From)
		}
	}
	if len(took) == 0 {
		return "never killed"
	}
	slices.Sort(took)
	return fmt.Sprintf("ready again in %v (median), %v at most", brief(took[len(took)/2]), brief(took[len(took)-1]))
}

// The drawing's room in units of its viewBox.
const (
	svgWidth, svgLeft, svgRight = 1080, 96, 1070
	laneHeight                  = 92
	serverTop, serverHeight     = 8, 26
	firstLane                   = 58
)

// lane is one row of columns.
type lane struct {
	title string
	parts []part
}

// part is what a column is stacked of.
type part struct {
	class, name string
	of          func(*bucket) int
}

var lanes = []lane{
	{"answers", []part{
		{"ok", "done", func(b *bucket) int { return b.OK }},
		{"no", "rejected or refused", func(b *bucket) int { return b.Fail }},
		{"un", "not known", func(b *bucket) int { return b.Info }},
	}},
	{"network", []part{
		{"lost", "reply lost", func(b *bucket) int { return b.Lost }},
		{"cut", "cut off", func(b *bucket) int { return b.Cut }},
		{"delay", "delayed", func(b *bucket) int { return b.Delay }},
		{"twice", "sent or passed on twice", func(b *bucket) int { return b.Duplicate }},
	}},
	{"outside", []part{
		{"ok", "effects", func(b *bucket) int { return b.Effects }},
		{"un", "doubts settled", func(b *bucket) int { return b.Doubts }},
	}},
}

func (t *timeline) x(at int64) float64 {
	return svgLeft + float64(at)/float64(t.Length)*(svgRight-svgLeft)
}

// svg draws the timeline. There is no text of others in it.
func (t *timeline) svg() template.HTML {
	var b strings.Builder
	height := firstLane + len(lanes)*(laneHeight+14) + 26
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="What happened when: the server, answers, the network, the outside world">`, svgWidth, height)
	bottom := height - 26
	for at := int64(0); at <= t.Length; at += t.tick() {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/><text x="%.1f" y="%d" text-anchor="middle">%v</text>`,
			t.x(at), serverTop, t.x(at), bottom, t.x(at), bottom+18, time.Duration(at))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">server</text><rect class="up" x="%d" y="%d" width="%d" height="%d"/>`,
		svgLeft-10, serverTop+18, svgLeft, serverTop, svgRight-svgLeft, serverHeight)
	for i, s := range t.Spans {
		fmt.Fprintf(&b, `<rect class="%s" x="%.2f" y="%d" width="%.2f" height="%d"><title>%s %d at %v, for %v</title></rect>`, s.Fault,
			t.x(s.From), serverTop, max(t.x(s.Until)-t.x(s.From), 0.8), serverHeight, s.Fault, i+1,
			time.Duration(s.From).Round(time.Millisecond), time.Duration(s.Until-s.From).Round(time.Millisecond))
	}
	for i, l := range lanes {
		t.lane(&b, l, firstLane+i*(laneHeight+14))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// tick is a round time of which there are about ten in the run.
func (t *timeline) tick() int64 {
	for tick := int64(time.Millisecond); ; tick *= 10 {
		for _, k := range []int64{1, 2, 5} {
			if t.Length/(tick*k) <= 12 {
				return tick * k
			}
		}
	}
}

func (t *timeline) lane(b *strings.Builder, l lane, top int) {
	highest := 1
	for i := range t.Buckets {
		highest = max(highest, l.sum(&t.Buckets[i]))
	}
	perSecond := float64(highest) / (float64(t.Length) / buckets / 1e9)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text><text class="top" x="%d" y="%d" text-anchor="end">%.0f/s</text><line class="base" x1="%d" y1="%d" x2="%d" y2="%d"/>`,
		svgLeft-10, top+laneHeight, l.title, svgLeft-10, top+12, perSecond, svgLeft, top+laneHeight, svgRight, top+laneHeight)
	width := float64(svgRight-svgLeft) / buckets
	for i := range t.Buckets {
		y := float64(top + laneHeight)
		for _, p := range l.parts {
			n := p.of(&t.Buckets[i])
			if n == 0 {
				continue
			}
			h := float64(n) / float64(highest) * laneHeight
			y -= h
			fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, p.class, svgLeft+float64(i)*width, y, max(width-0.4, 0.5), h)
		}
	}
}

func (l *lane) sum(b *bucket) (n int) {
	for _, p := range l.parts {
		n += p.of(b)
	}
	return n
}

// Legend is what the colors of the lanes mean.
func (v view) Legend() (all []struct{ Lane, Class, Name string }) {
	for _, l := range lanes {
		for _, p := range l.parts {
			all = append(all, struct{ Lane, Class, Name string }{l.title, p.class, p.name})
		}
	}
	return all
}

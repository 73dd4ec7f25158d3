package bench

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"
)

// plot is a drawing of lines in a plane. Where values go is decided by its
// axes; what they look like, by the classes of the page's style sheet.
type plot struct {
	label  string // what a person who cannot see it is told
	x, y   axis
	series []series
}

// axis maps values to a length. Its ends are in the mapped unit.
type axis struct {
	title    string // drawn for x only
	from, to float64
	ticks    []tick
}

type tick struct {
	at    float64
	label string // none for a line without one
}

type series struct {
	class  string // of its subject: s0, s1 …
	dashed bool
	points []mark
}

// mark is a point of a series. One with a tip is drawn, and says it.
type mark struct {
	x, y  float64
	tip   string
	label string // written beside it
}

// The drawing's room in units of its viewBox.
const (
	plotWidth, plotHeight                    = 400, 290
	plotLeft, plotRight, plotTop, plotBottom = 60, 390, 12, 244
	markSize                                 = 4.2
)

func (p plot) px(x float64) float64 {
	return plotLeft + (x-p.x.from)/(p.x.to-p.x.from)*(plotRight-plotLeft)
}

func (p plot) py(y float64) float64 {
	return plotBottom - (y-p.y.from)/(p.y.to-p.y.from)*(plotBottom-plotTop)
}

// svg draws the plot. All text in it is escaped.
func (p plot) svg() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(p.label))
	for _, t := range p.x.ticks {
		x := p.px(t.at)
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, x, plotTop, x, plotBottom)
		text(&b, x, plotBottom+18, "middle", t.label)
	}
	for _, t := range p.y.ticks {
		y := p.py(t.at)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, plotLeft, y, plotRight, y)
		text(&b, plotLeft-7, y+4, "end", t.label)
	}
	text(&b, (plotLeft+plotRight)/2, plotHeight-8, "middle", p.x.title)
	for _, s := range p.series {
		p.draw(&b, s)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func (p plot) draw(b *strings.Builder, s series) {
	dash := ""
	if s.dashed {
		dash = " dashed"
	}
	fmt.Fprintf(b, `<g class="%s%s"><polyline points="`, s.class, dash)
	for _, m := range s.points {
		fmt.Fprintf(b, "%.1f,%.1f ", p.px(m.x), p.py(m.y))
	}
	b.WriteString(`"/>`)
	for _, m := range s.points {
		if m.tip == "" {
			continue
		}
		x, y := p.px(m.x), p.py(m.y)
		fmt.Fprintf(b, `<path d="%s"><title>%s</title></path>`, shape(s.class, x, y), html.EscapeString(m.tip))
		if m.label != "" {
			text(b, x, y-9, "middle", m.label)
		}
	}
	b.WriteString("</g>")
}

func text(b *strings.Builder, x, y float64, anchor, s string) {
	if s != "" {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(s))
	}
}

// shape is the outline of a subject's marks, so that subjects differ in more
// than their colours: a disc, a square, a triangle, a diamond.
func shape(class string, x, y float64) string {
	const r = markSize
	switch class {
	case "s1":
		return fmt.Sprintf("M%.1f %.1fh%.1fv%.1fh%.1fz", x-r, y-r, 2*r, 2*r, -2*r)
	case "s2":
		return fmt.Sprintf("M%.1f %.1fL%.1f %.1fL%.1f %.1fz", x, y-r*1.2, x+r*1.2, y+r, x-r*1.2, y+r)
	case "s3":
		return fmt.Sprintf("M%.1f %.1fL%.1f %.1fL%.1f %.1fL%.1f %.1fz", x, y-r*1.3, x+r*1.3, y, x, y+r*1.3, x-r*1.3, y)
	}
	return fmt.Sprintf("M%.1f %.1fa%.1f %.1f 0 1 0 %.1f 0a%.1f %.1f 0 1 0 %.1f 0z", x-r, y, r, r, 2*r, r, r, -2*r)
}

// logAxis spans values by powers of ten. Its ticks are 1, 2 and 5 of each
// decade, or fewer where there would be too many.
func logAxis(title string, values []float64, name func(float64) string) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v > 0 {
			low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
		}
	}
	if low > high {
		low, high = 0, 1
	}
	pad := max(0.06*(high-low), 0.08)
	a := axis{title: title, from: low - pad, to: high + pad}
	steps := []float64{1, 2, 5}
	if high-low > 3 {
		steps = steps[:1]
	}
	for decade := math.Floor(a.from); decade <= a.to; decade++ {
		for _, step := range steps {
			v := step * math.Pow(10, decade)
			if at := math.Log10(v); at >= a.from && at <= a.to {
				a.ticks = append(a.ticks, tick{at, name(v)})
			}
		}
	}
	return a
}

// briefly names a round number of nanoseconds: 200 µs, 5 ms.
func briefly(ns float64) string {
	d := time.Duration(math.Round(ns))
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%g µs", float64(d)/1e3)
}

// kilos names a round number: 500, 20k.
func kilos(n float64) string {
	switch n = math.Round(n); {
	case n >= 1e6:
		return fmt.Sprintf("%gM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%gk", n/1e3)
	}
	return fmt.Sprintf("%g", n)
}

package plot

import (
	"fmt"
	"math"
)

// Track is a value over time in even steps: Y[i] is that of the step that begins at From + i × Step seconds.
type Track struct {
	Label      string
	Color      int
	From, Step float64
	Y          []float64
	// Marks are the times at which something was done.
	Marks []float64
}

// Timeline draws values over seconds, both axes even, with a broken line at each mark in the colour of its track.
func Timeline(title, subtitle, unit string, all []Track) string {
	c := newCanvas(linesWidth, linesHeight, title, subtitle)
	from, to, top := 0.0, 1.0, 1.0
	for _, t := range all {
		from, to = min(from, t.From), max(to, t.From+t.Step*float64(len(t.Y)))
		for _, v := range t.Y {
			top = max(top, v)
		}
	}
	x := func(at float64) float64 { return plotLeft + (at-from)/(to-from)*(plotRight-plotLeft) }
	y := func(v float64) float64 { return plotBottom - v/top*(plotBottom-plotTop) }
	for step, at := ticks(to-from), math.Ceil(from/ticks(to-from))*ticks(to-from); at <= to; at += step {
		c.line(x(at), plotTop, x(at), plotBottom)
		c.text(x(at), plotBottom+20, "middle", "#444", fmt.Sprintf("%g s", at))
	}
	for v := 0.0; v <= top; v += ticks(top) {
		c.line(plotLeft, y(v), plotRight, y(v))
		c.text(plotLeft-8, y(v)+4, "end", "#444", number(v))
	}
	c.text((plotLeft+plotRight)/2, plotBottom+44, "middle", "#444", "when the record was handed in; 0: the first signal")
	c.text(plotLeft-8, plotTop-16, "end", "#444", unit)
	for i, t := range all {
		for _, at := range t.Marks {
			fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="4 3"/>`+"\n",
				x(at), plotTop, x(at), plotBottom, Color(t.Color))
		}
		at := make([]float64, len(t.Y))
		for n := range at {
			at[n] = t.From + t.Step*float64(n)
		}
		c.curve(Series{Color: t.Color, At: at, Y: t.Y}, x, y)
		legend := plotTop + 10 + legendLineStep*float64(i)
		c.rect(legendLeft, legend-6, 18, 4, Color(t.Color))
		c.text(legendLeft+26, legend, "start", "#222", t.Label)
	}
	return c.close()
}

// ticks is a round step that divides a span into four to ten parts.
func ticks(span float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(span)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1} {
		if span/(step*part) <= 10 {
			return step * part
		}
	}
	return step
}

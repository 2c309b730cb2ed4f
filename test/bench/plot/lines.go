package plot

import (
	"fmt"
	"math"
)

// Series is one system's quantiles: At[i] is a quantile below 1, Y[i] its value.
type Series struct {
	Label string
	Color int
	At, Y []float64
}

const (
	linesWidth, linesHeight    = 860, 460
	plotLeft, plotRight        = 70.0, 620.0
	plotTop, plotBottom        = 88.0, 400.0
	legendLeft, legendLineStep = 645.0, 22.0
	// lastNines is how far the axis of quantiles goes: 99.9 %.
	lastNines = 3.0
)

// quantileTicks are the marks of the axis of quantiles.
var quantileTicks = []struct {
	at    float64
	label string
}{{0, "0 %"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}}

// Quantiles draws values over quantiles. Both axes are logarithmic, that of the quantiles in the share above: each
// step to the right is ten times rarer, so that the tail has as much room as the middle.
func Quantiles(title, subtitle, unit string, all []Series) string {
	c := newCanvas(linesWidth, linesHeight, title, subtitle)
	low, high := bounds(all)
	x := func(q float64) float64 {
		return plotLeft + min(-math.Log10(1-q), lastNines)/lastNines*(plotRight-plotLeft)
	}
	y := func(v float64) float64 {
		return plotBottom - (math.Log10(v)-low)/(high-low)*(plotBottom-plotTop)
	}
	for _, t := range quantileTicks {
		c.line(x(t.at), plotTop, x(t.at), plotBottom)
		c.text(x(t.at), plotBottom+20, "middle", "#444", t.label)
	}
	for exponent := low; exponent < high+0.01; exponent++ {
		for _, step := range []float64{1, 2, 5} {
			v := math.Pow(10, exponent) * step
			if math.Log10(v) > high+1e-9 {
				break
			}
			c.line(plotLeft, y(v), plotRight, y(v))
			c.text(plotLeft-8, y(v)+4, "end", "#444", number(v))
		}
	}
	c.text((plotLeft+plotRight)/2, plotBottom+44, "middle", "#444", "share of records that were at least as fast")
	c.text(plotLeft-8, plotTop-16, "end", "#444", unit)
	for i, s := range all {
		c.curve(s, x, y)
		top := plotTop + 10 + legendLineStep*float64(i)
		c.rect(legendLeft, top-6, 18, 4, Color(s.Color))
		c.text(legendLeft+26, top, "start", "#222", s.Label)
	}
	return c.close()
}

func (c *canvas) curve(s Series, x, y func(float64) float64) {
	fmt.Fprintf(c, `<polyline fill="none" stroke="%s" stroke-width="2.2" points="`, Color(s.Color))
	for i, q := range s.At {
		fmt.Fprintf(c, "%.1f,%.1f ", x(q), y(s.Y[i]))
	}
	c.WriteString(`"/>` + "\n")
}

// bounds are the whole powers of ten around all values.
func bounds(all []Series) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range all {
		for _, v := range s.Y {
			low, high = min(low, math.Log10(v)), max(high, math.Log10(v))
		}
	}
	if math.IsInf(low, 1) {
		return 0, 1
	}
	low, high = math.Floor(low), math.Ceil(high)
	return low, max(high, low+1)
}

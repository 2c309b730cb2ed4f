// Package plot draws the benchmark's figures as SVG files.
//
// There are three forms: bars that lie, grouped, for one figure of several systems, lines over quantiles for latencies, and
// lines over time for what something did to them.
package plot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// palette is the Okabe–Ito set, told apart with every kind of colour vision; black ends it.
var palette = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#000000"}

// Color is the colour of the system with this number.
func Color(n int) string { return palette[n%len(palette)] }

// canvas collects the elements of one picture.
type canvas struct {
	strings.Builder
	width, height int
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// newCanvas starts a picture on white, so that it can be read on a dark page too.
func newCanvas(width, height int, title, subtitle string) *canvas {
	c := &canvas{width: width, height: height}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui,sans-serif" font-size="13" fill="#222">`+"\n",
		width, height, width, height)
	fmt.Fprintf(c, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", escape.Replace(title))
	fmt.Fprintf(c, `<text x="20" y="28" font-size="17" font-weight="600">%s</text>`+"\n", escape.Replace(title))
	fmt.Fprintf(c, `<text x="20" y="48" font-size="12" fill="#666">%s</text>`+"\n", escape.Replace(subtitle))
	return c
}

// text writes s with its anchor (start, middle, end) at x, y.
func (c *canvas) text(x, y float64, anchor, color, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, color, escape.Replace(s))
}

func (c *canvas) rect(x, y, w, h float64, color string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, w, h, color)
}

// line draws a hair line of the grid.
func (c *canvas) line(x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x1, y1, x2, y2)
}

func (c *canvas) close() string {
	c.WriteString("</svg>\n")
	return c.Builder.String()
}

// number writes v with as many digits as one reads off a plot.
func number(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2g", v)
	}
	return Thousands(int(math.Round(v)))
}

// Thousands writes a count of 0 or more with its thousands apart.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

package plot

// Bar is one system's figure; Color counts into the palette, the same number for the same system in every plot.
type Bar struct {
	Label string
	Color int
	Value float64
	// Note stands behind the figure, for example its ratio to another.
	Note string
}

// Group is bars that are compared with each other.
type Group struct {
	Name string
	Bars []Bar
}

const (
	barsWidth  = 860
	labelWidth = 230
	barHeight  = 22
	// noteWidth is kept free behind the longest bar for its figure and note.
	noteWidth = 150
)

// Bars draws groups of lying bars, each group on a scale of its own because their figures differ by magnitudes.
func Bars(title, subtitle string, groups []Group) string {
	height := 70
	for _, g := range groups {
		height += 34 + barHeight*len(g.Bars)
	}
	c := newCanvas(barsWidth, height, title, subtitle)
	y := 76.0
	for _, g := range groups {
		c.text(20, y, "start", "#444", g.Name)
		y += 10
		var top float64
		for _, b := range g.Bars {
			top = max(top, b.Value)
		}
		for _, b := range g.Bars {
			c.text(labelWidth-10, y+15, "end", "#222", b.Label)
			length := 0.0
			if top > 0 {
				length = b.Value / top * (barsWidth - labelWidth - noteWidth)
			}
			c.rect(labelWidth, y+3, max(1, length), barHeight-6, Color(b.Color))
			note := number(b.Value)
			if b.Note != "" {
				note += "  (" + b.Note + ")"
			}
			c.text(labelWidth+length+8, y+15, "start", "#444", note)
			y += barHeight
		}
		y += 24
	}
	return c.close()
}

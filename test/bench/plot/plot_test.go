package plot

import (
	"strings"
	"testing"
)

func TestThousandsAreSetApart(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestLongestBarKeepsRoomForItsNote(t *testing.T) {
	svg := Bars("t", "s", []Group{{Name: "g", Bars: []Bar{{Label: "a", Value: 50, Note: "2 × b"}, {Label: "b", Color: 1, Value: 25}}}})
	for _, want := range []string{`width="480.0"`, `width="240.0"`, "50  (2 × b)", Color(1)} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is not in\n%s", want, svg)
		}
	}
}

func TestRarerQuantilesGetAsMuchRoom(t *testing.T) {
	svg := Quantiles("t", "s", "ms", []Series{{Label: "a", At: []float64{0, 0.9, 0.99}, Y: []float64{1, 10, 100}}})
	if want := `points="70.0,400.0 253.3,244.0 436.7,88.0 "`; !strings.Contains(svg, want) {
		t.Errorf("%s is not in\n%s", want, svg)
	}
}

func TestNothingMeasuredStillDraws(t *testing.T) {
	if svg := Quantiles("t", "s", "ms", nil); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

func TestTimelineMarksWhatWasDone(t *testing.T) {
	svg := Timeline("t", "s", "ms", []Track{{Label: "a", From: -1, Step: 1, Y: []float64{10, 100, 20, 0}, Marks: []float64{0}}})
	for _, want := range []string{`points="70.0,368.8 207.5,88.0 345.0,337.6 482.5,400.0 "`, `<line x1="207.5" y1="88.0" x2="207.5"`, "stroke-dasharray"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is not in\n%s", want, svg)
		}
	}
	if svg := Timeline("t", "s", "ms", nil); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

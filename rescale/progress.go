package rescale

import "time"

// Progress is how far a phase of a run is.
type Progress struct {
	Phase       string
	Done, Total int64 // rows; the total of a phase that reads is an upper bound
	Took        time.Duration
}

// PerSecond is the rate of the phase so far.
func (p Progress) PerSecond() float64 {
	if p.Took <= 0 {
		return 0
	}
	return float64(p.Done) / p.Took.Seconds()
}

// Remaining guesses how long the phase still takes; false while there is nothing to go by.
func (p Progress) Remaining() (time.Duration, bool) {
	if p.Done <= 0 || p.Took <= 0 {
		return 0, false
	}
	left := max(p.Total-p.Done, 0)
	return time.Duration(float64(p.Took) / float64(p.Done) * float64(left)), true
}

// showEvery is how often progress is shown.
const showEvery = time.Second

// meter counts the rows of the phase that runs. Only the goroutine of the run touches it.
type meter struct {
	show  func(Progress)
	now   Progress
	began time.Time
	said  time.Time
}

// phase begins the next phase.
func (m *meter) phase(name string, total int64) {
	m.now, m.began, m.said = Progress{Phase: name, Total: total}, time.Now(), time.Now()
}

// add counts rows, none at all too, and shows the progress when it is time.
func (m *meter) add(rows int64) {
	m.now.Done += rows
	if time.Since(m.said) >= showEvery {
		m.say()
	}
}

// say shows the progress now.
func (m *meter) say() {
	if m.show == nil || m.now.Phase == "" {
		return
	}
	m.said = time.Now()
	m.now.Took = time.Since(m.began)
	m.show(m.now)
}

package worker

import (
	"errors"
	"testing"
	"time"
)

func TestANameIsClearedOnlyByWhatTheGroupTells(t *testing.T) {
	const session = 3 * time.Second
	copied := errors.New("a live worker has the name")
	type look struct {
		after time.Duration
		said  error
	}
	for name, test := range map[string]struct {
		looks []look
		over  bool
		want  error
	}{
		"nobody has it": {[]look{{0, nil}}, true, nil},
		"a process that is dead, until its session is over": {[]look{{0, copied}, {2 * time.Second, copied}}, false, nil},
		"a process that was dead":                           {[]look{{0, copied}, {2 * time.Second, nil}}, true, nil},
		"a process that lives":                              {[]look{{0, copied}, {4 * time.Second, copied}}, true, copied},
		"a group that rebalances all the time":              {[]look{{0, errUntold}, {4 * time.Second, errUntold}}, true, nil},
		"a group that rebalances when the wait is over":     {[]look{{0, copied}, {4 * time.Second, errUntold}}, false, nil},
		"a process that lives, told late":                   {[]look{{0, copied}, {4 * time.Second, errUntold}, {5 * time.Second, copied}}, true, copied},
		"a group that rebalances for longer than that":      {[]look{{0, copied}, {4 * time.Second, errUntold}, {8 * time.Second, errUntold}}, true, nil},
	} {
		began := time.Now()
		s := suspicion{until: began.Add(session), longer: session}
		var over bool
		var err error
		for _, l := range test.looks {
			over, err = s.judge(began.Add(l.after), l.said)
		}
		if over != test.over || !errors.Is(err, test.want) || err == nil != (test.want == nil) {
			t.Errorf("%s: over %v with %v, want %v with %v", name, over, err, test.over, test.want)
		}
	}
}

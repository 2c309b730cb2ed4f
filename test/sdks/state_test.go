package sdks

import (
	"strings"
	"testing"
)

// stored are values of each state of the third deployment, as text: ordinary ones, the ends of their ranges, and those that
// are encoded as nothing.
var stored = map[string][][2]string{
	"ordinary": {{"text", "grüße"}, {"number", "-42"}, {"flag", "true"}, {"ratio", "0.1"}, {"large", "9007199254740993"}, {"double", "0.1"},
		{"custom", "paper"}, {"card", `{"name":"Ada","numbers":[1,-2]}`}, {"stamp", "2026-02-03T04:05:06.000000007Z"}},
	"largest": {{"text", large}, {"number", "2147483647"}, {"ratio", "3.4028235e+38"}, {"large", "9223372036854775807"},
		{"double", "1.7976931348623157e+308"}, {"stamp", "9999-12-31T23:59:59.999999999Z"}},
	"smallest": {{"number", "-2147483648"}, {"ratio", "-1e-45"}, {"large", "-9223372036854775808"}, {"double", "-5e-324"},
		{"stamp", "0001-01-01T00:00:00Z"}},
	"zero": {{"text", ""}, {"number", "0"}, {"flag", "false"}, {"ratio", "0"}, {"large", "0"}, {"double", "0"}, {"custom", ""},
		{"card", `{"name":"","numbers":null}`}, {"stamp", "1970-01-01T00:00:00Z"}},
}

// TestStateOfOneGoSDKIsReadByTheOther has one address written by functions on the official Go SDK, read and changed by the
// same functions on ours, and read by the official ones again; and the same the other way round. The worker stays.
func TestStateOfOneGoSDKIsReadByTheOther(t *testing.T) {
	onEachBroker(t, func(t *testing.T, kind string) {
		const id = "shared-state"
		worker, programs := prepare(t)
		sdk := SDK{Name: "shared", Package: "both Go SDKs, one at a time"}
		c := startCluster(t, kind, worker)
		f := fleet(t, []SDK{sdk}, programs)[sdk.Name]
		c.createTopics(t, 4, inTopic(sdk), headersTopic(sdk))
		c.createTopics(t, 2, outTopic(sdk))
		a := newApp(t, c, worker, id, module(c, id, []*function{f}))
		a.start()
		s := &stage{sdk: sdk, cluster: c, reader: c.read(t, outTopic(sdk)), want: map[string][]string{}, dead: map[string]int{}}
		on := func(name string, scripts ...script) {
			t.Helper()
			f.program = programs[name]
			if err := f.deploy("3"); err != nil {
				t.Fatal(err)
			}
			for _, sc := range scripts {
				if err := s.play(t.Context(), sc); err != nil {
					t.Fatalf("on the SDK %s: %s: %v", name, sc.name, err)
				}
			}
		}
		for _, pair := range [][2]string{{"go", Own}, {Own, "go"}} {
			var writes, reads, readsAgain []script
			for name, values := range stored {
				write, read, again := exchange(values)
				name = pair[0] + "." + name
				writes, reads = append(writes, script{name: name, steps: write}), append(reads, script{name: name, steps: read})
				readsAgain = append(readsAgain, script{name: name, steps: again})
			}
			on(pair[0], writes...)
			on(pair[1], reads...)
			on(pair[0], readsAgain...)
		}
		a.stop()
		if err := s.compareAll(); err != nil {
			t.Error(err)
		}
	})
}

// exchange is what is done with one address: one SDK writes the values, the other reads them and writes others, and the first
// one reads again.
func exchange(values [][2]string) (write, read, again []step) {
	var sets, gets, want []string
	for _, v := range values {
		sets = append(sets, "set "+v[0]+" "+v[1])
		gets = append(gets, "get "+v[0])
		want = append(want, v[0]+"="+v[1])
	}
	written := step{send: []string{strings.Join(append(sets, "egress set"), ";")}, want: []string{"set"}}
	same := step{send: []string{strings.Join(gets, ";")}, want: want}
	changed := step{send: []string{"set number 7;del text;set stamp 2001-01-01T00:00:00Z;egress changed"}, want: []string{"changed"}}
	after := step{send: []string{"get number;get text;get stamp"}, want: []string{"number=7", "text=-", "stamp=2001-01-01T00:00:00Z"}}
	return []step{written, same}, []step{same, changed}, []step{after}
}

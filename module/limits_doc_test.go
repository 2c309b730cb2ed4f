package module

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// documentedLimits reads key and default of the first table of docs/limits.md.
func documentedLimits(t *testing.T) [][2]string {
	t.Helper()
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	_, table, _ := strings.Cut(string(text), "## Set in the module")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) == 7 && strings.HasPrefix(cells[1], " `") {
			all = append(all, [2]string{strings.Trim(cells[1], " `"), strings.Trim(cells[3], " `")})
		}
	}
	return all
}

func limitsOf(t *testing.T, lines string) Limits {
	t.Helper()
	return mustLoad(t, "kind: statefun-kafka.v1/application\nspec:\n  id: a\n  limits:\n"+lines+"---\n"+egressText("")+tail).Application.Limits
}

func TestTheDocumentedLimitsAreThoseOfTheModule(t *testing.T) {
	all := documentedLimits(t)
	if fields := reflect.TypeFor[Limits]().NumField(); len(all) != fields {
		t.Errorf("docs/limits.md lists %d keys, the module has %d", len(all), fields)
	}
	for _, limit := range all {
		if got := limitsOf(t, "    "+limit[0]+": "+limit[1]+"\n"); got != defaultLimits {
			t.Errorf("docs/limits.md says that the default of %s is %s, which gives %+v", limit[0], limit[1], got)
		}
		other := "7"
		if limit[0] == "pendingFull" {
			other = PendingDeadLetter
		}
		if limitsOf(t, "    "+limit[0]+": "+other+"\n") == defaultLimits {
			t.Errorf("%s: %s changes nothing", limit[0], other)
		}
	}
}

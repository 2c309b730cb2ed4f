package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// A draft is settings in the making: what the properties read so far come to.
type draft struct {
	values   map[string]module.Property // by name, the later of two
	opts     []kgo.Opt
	brokers  []string
	session  time.Duration
	login    time.Duration // longest time of one request for a token; 0: not given
	problems []module.Problem
	warnings []module.Problem
}

func newDraft(props []module.Property) *draft {
	d := &draft{values: map[string]module.Property{}}
	for _, p := range props {
		d.values[p.Key] = p
	}
	return d
}

func (d *draft) problem(p module.Property, message, hint string) {
	d.problems = append(d.problems, module.Problem{Position: p.Position, Message: message, Hint: hint})
}

func (d *draft) warn(p module.Property, message string) {
	d.warnings = append(d.warnings, module.Problem{Position: p.Position, Message: message})
}

// value returns the value of a property, "" when it is not given.
func (d *draft) value(key string) string { return strings.TrimSpace(d.values[key].Value) }

func (d *draft) given(key string) bool {
	_, ok := d.values[key]
	return ok
}

// properties takes in each property by the rule of its name.
func (d *draft) properties(props []module.Property) {
	for i, p := range props {
		if slices.ContainsFunc(props[i+1:], func(later module.Property) bool { return later.Key == p.Key }) {
			continue
		}
		r, known := ruleOf(p.Key)
		if !known {
			hint := ""
			if near := module.Nearest(p.Key, slices.Sorted(maps.Keys(rules))); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			d.problem(p, fmt.Sprintf("%q is not a property of Kafka's clients", p.Key), hint)
			continue
		}
		if r.ignored != "" {
			d.warn(p, fmt.Sprintf("property %s has no effect: %s", p.Key, r.ignored))
		}
		if r.use == nil {
			continue
		}
		if err := r.use(d, p); err != nil {
			d.problem(p, fmt.Sprintf("property %s: %v", p.Key, err), "")
		}
	}
}

// ruleOf returns the rule of a name.
func ruleOf(key string) (rule, bool) {
	r, ok := rules[key]
	if !ok && strings.HasPrefix(key, "config.providers.") {
		return ignored(both, ownSecrets), true
	}
	if !ok && strings.HasPrefix(key, "flink.") {
		return ignored(side(0), "it is a property of Flink"), true
	}
	return r, ok
}

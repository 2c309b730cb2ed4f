package topics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/naming"
)

// Problem is one setting that the application cannot run with.
type Problem struct {
	// Topic is empty when the problem is not one topic's.
	Topic string
	// Setting is a Kafka setting, or partitions.
	Setting       string
	Found, Wanted string
	// Mend says what to do, mostly as a command.
	Mend string
}

// Error is the problem on one line.
func (p Problem) Error() string {
	subject := p.Setting
	if p.Topic != "" {
		subject = "topic " + p.Topic + ": " + p.Setting
	}
	return fmt.Sprintf("%s is %s, want %s; mend it with: %s", subject, p.Found, p.Wanted, p.Mend)
}

// Errors are all problems found at once.
type Errors []Problem

// Error has a line a problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// check compares an existing topic of the application's own with the wanted one. Settings that only make it slower, like
// the segment sizes, are the operator's.
func (p *Plan) check(want Topic, f found) Errors {
	var problems Errors
	configs := func(setting, wanted, mend string) {
		problems = append(problems, Problem{Topic: want.Name, Setting: setting, Found: orUnset(f.configs[setting]), Wanted: wanted, Mend: p.alter(want.Name, setting, mend)})
	}
	if want.Role == RoleMailbox || want.Role == RoleChangelog {
		if f.partitions != want.Partitions {
			problems = append(problems, p.partitionProblem(want, f.partitions))
		}
	}
	if want.Role != RoleDeadLetter {
		// What retention deletes here is lost state or a lost message.
		for _, setting := range []string{retentionMs, retentionBytes} {
			if f.configs[setting] != "-1" {
				configs(setting, "-1", "-1")
			}
		}
	}
	policies := strings.Split(strings.ReplaceAll(f.configs[cleanupPolicy], " ", ""), ",")
	if !slices.Equal(policies, []string{want.Configs[cleanupPolicy]}) {
		configs(cleanupPolicy, want.Configs[cleanupPolicy], want.Configs[cleanupPolicy])
	}
	// A topic of the program's own may take less: whoever appends is told.
	if least := number(want.Configs[maxMessageBytes]); want.Role != RoleOwn && number(f.configs[maxMessageBytes]) < least {
		configs(maxMessageBytes, fmt.Sprintf("at least %d (the largest of the ingress topics, and %d for the envelope)", least, EnvelopeBytes), strconv.FormatInt(least, 10))
	}
	return problems
}

// partitionProblem has three ways out: the count that the topic has, a rescale, or a new beginning.
func (p *Plan) partitionProblem(want Topic, count int32) Problem {
	return Problem{
		Topic: want.Name, Setting: "partitions", Found: strconv.Itoa(int(count)), Wanted: strconv.Itoa(int(want.Partitions)),
		Mend: fmt.Sprintf("%d as %s, or, with the application stopped, statefun-kafka rescale --partitions %d, which moves the state. To begin anew without the state, delete both: %s --delete --topic '%s|%s'",
			count, naming.Partitions, want.Partitions, p.tool("kafka-topics.sh"), p.MailboxName(), p.ChangelogName()),
	}
}

func (p *Plan) missingIngress(ingress, topic string) Problem {
	return Problem{
		Topic: topic, Setting: "ingress topic of " + ingress, Found: "missing", Wanted: "an existing topic",
		Mend: fmt.Sprintf("%s --create --topic %s --partitions %d, or %s", p.tool("kafka-topics.sh"), topic, p.ingressPartitions(), naming.CreateTopics),
	}
}

func (p *Plan) alter(topic, setting, value string) string {
	return fmt.Sprintf("%s --alter --entity-type topics --entity-name %s --add-config %s=%s", p.tool("kafka-configs.sh"), topic, setting, value)
}

func (p *Plan) tool(name string) string {
	return name + " --bootstrap-server " + strings.Join(p.brokers, ",")
}

func orUnset(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}

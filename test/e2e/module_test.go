package e2e

import (
	"fmt"
	"strings"
)

// The documents of the modules under test; %[1]s is the application's name, %[2]s the broker's address.

// endpoint serves all functions of a namespace, or one; settings are further lines of its transport.
func endpoint(functions, url string, settings ...string) string {
	lines := ""
	for _, s := range settings {
		lines += "    " + s + "\n"
	}
	return fmt.Sprintf(`kind: io.statefun.endpoints.v2/http
spec:
  functions: %s
  urlPathTemplate: %s
  transport:
    type: io.statefun.transports.v1/async
%s---
`, functions, url, lines)
}

// ingressTopic is one topic of an ingress, with the name of its targets.
type ingressTopic struct {
	topic, valueType string
	targets          []string
}

// ingress reads topics of the application from their start.
func ingress(id string, topics ...ingressTopic) string {
	text := fmt.Sprintf(`kind: io.statefun.kafka.v1/ingress
spec:
  id: %s
  address: "%%[2]s"
  consumerGroupId: "%%[1]s"
  startupPosition:
    type: earliest
  topics:
`, id)
	for _, t := range topics {
		text += fmt.Sprintf("    - topic: \"%%[1]s-%s\"\n      valueType: %s\n      targets: [%s]\n",
			t.topic, t.valueType, strings.Join(t.targets, ", "))
	}
	return text + "---\n"
}

// egress writes exactly once.
func egress(id string) string {
	return fmt.Sprintf(`kind: io.statefun.kafka.v1/egress
spec:
  id: %s
  address: "%%[2]s"
  deliverySemantic:
    type: exactly-once
    transactionTimeout: 1min
---
`, id)
}

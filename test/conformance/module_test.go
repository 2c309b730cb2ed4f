package conformance

import (
	"fmt"
	"strings"
)

// The documents of the modules under test. BROKER and APP in them stand for the broker's address and the application.

// document is one component; lines are those of its spec, indented as they stand in it.
func document(kind string, lines ...string) string {
	text := "kind: " + kind + "\nspec:\n"
	for _, l := range lines {
		text += "  " + strings.ReplaceAll(l, "\n", "\n  ") + "\n"
	}
	return text + "---\n"
}

// endpoint serves functions, "ns/*" or "ns/name".
func endpoint(functions, url string, lines ...string) string {
	return document("io.statefun.endpoints.v2/http",
		append([]string{"functions: " + functions, "urlPathTemplate: " + url}, lines...)...)
}

// shortCall are the lines of a transport whose calls give up soon, so that the failure policy is reached.
var shortCall = []string{"transport:", "  type: io.statefun.transports.v1/async", "  call: 3s", "  connect: 1s"}

// route is what an ingress does with one topic.
type route struct {
	topic   string
	targets []string // "ns/name"
}

// ingress reads topics from their start.
func ingress(id string, routes ...route) string {
	return ingressWith(id, []string{"startupPosition:", "  type: earliest"}, routes...)
}

// ingressWith reads topics; lines are further lines of its spec.
func ingressWith(id string, lines []string, routes ...route) string {
	lines = append([]string{"id: " + id, "address: BROKER", "consumerGroupId: APP"}, lines...)
	lines = append(lines, "topics:")
	for _, r := range routes {
		lines = append(lines, "  - topic: "+r.topic, "    valueType: "+valueType, "    targets: ["+strings.Join(r.targets, ", ")+"]")
	}
	return document("io.statefun.kafka.v1/ingress", lines...)
}

// egress writes exactly once.
func egress(id string) string {
	return document("io.statefun.kafka.v1/egress", "id: "+id, "address: BROKER",
		"deliverySemantic:", "  type: exactly-once", "  transactionTimeout: 1min")
}

// partitions is how many each topic of the cases has, and so the application.
const partitions = 2

// application are the settings of our own; lines are further lines of its spec.
func application(lines ...string) string {
	return document("statefun-kafka.v1/application", append([]string{"id: APP", fmt.Sprintf("partitions: %d", partitions)}, lines...)...)
}

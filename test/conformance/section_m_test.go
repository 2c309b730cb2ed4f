package conformance

import (
	"os"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sectionM is what an operator sees.
func sectionM() []Case {
	return []Case{
		{ID: "M1", Shows: "every metric of docs/metrics.md is on /metrics, once there is something to tell", Alone: true, Run: everyMetricIsShown},
	}
}

// seldom are the metrics that only a fault or a second worker brings; the tests of worker and outbox show those.
var seldom = map[string]bool{
	"statefun_worker_transactions_aborted_total": true, "statefun_standby_lag_rows": true,
	"statefun_outbox_failures_total": true, "statefun_outbox_refused_rows_total": true,
}

// everyMetricIsShown runs a worker through what metrics with labels tell of: a function that answers, one that fails, a dead
// letter, an invalid record, and another cluster, which is the same broker under another name.
func everyMetricIsShown(l *lab) {
	_, port, _ := strings.Cut(l.bench.address, ":")
	far := strings.NewReplacer("BROKER", "localhost:"+port)
	second := l.in() + "-far"
	if err := l.bench.createTopics(second); err != nil {
		l.Fatal(err)
	}
	l.answer("f", func(c call) reply {
		return result(message(l.fn("g"), c.Target.ID, "hello"), l.output("x", "done"), egressMessage("far", "out", recordType, record(l.out(), "far", "done")))
	})
	l.answer("g", func(call) reply { return broken() })
	l.start(application("brokers: 127.0.0.1:"+port), endpoint(l.fn("f"), l.url()), endpoint(l.fn("g"), l.url(), append([]string{"maxAttempts: 2"}, append(deadLetterPolicy, shortCall...)...)...),
		ingress(l.ns+"/in", route{l.in(), []string{l.f()}}), egress("conformance/out"),
		far.Replace(egress("far/out")), far.Replace(ingress("far/in", route{second, []string{l.f()}})))
	l.produce(&kgo.Record{Topic: l.in(), Value: []byte("no key")}, &kgo.Record{Topic: second, Key: []byte("x"), Value: []byte("from afar")})
	l.send("x", "one")
	l.written(4)
	l.deadLetters(2)
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		l.Fatal(err)
	}
	names := regexp.MustCompile("(?m)^\\| `(statefun_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1)
	var missing []string
	l.Cleanup(func() {
		if len(missing) > 0 {
			l.Logf("not there: %v", missing)
		}
	})
	await(l.T, "the metrics", func() (bool, <-chan struct{}) { // some are set once a second
		_, body := l.worker.get("/metrics")
		missing = nil
		for _, found := range names {
			if !seldom[found[1]] && !strings.Contains(body, "\n"+found[1]) {
				missing = append(missing, found[1])
			}
		}
		return len(missing) == 0, nil
	})
	if len(names) < 50 {
		l.Errorf("docs/metrics.md has %d metrics", len(names))
	}
}

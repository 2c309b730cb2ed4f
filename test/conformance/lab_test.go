package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lab is what a case works with. Its functions are namespace/anything; records of its ingress topic go to namespace/f.
type lab struct {
	*testing.T
	bench *bench
	c     *Case
	ns    string
	*functions
	worker *worker
}

// f is the function that the records of the ingress topic go to.
func (l *lab) f() string { return l.ns + "/f" }

// fn is the full name of one of the case's functions.
func (l *lab) fn(name string) string { return l.ns + "/" + name }

// in and out are the names of the case's topics.
func (l *lab) in() string  { return l.c.in() }
func (l *lab) out() string { return l.c.out() }

// url is where the case's functions are.
func (l *lab) url() string { return l.bench.host.url(l.ns) }

// start starts a worker of the case's own, with these documents or with those that a case in company has.
func (l *lab) start(documents ...string) {
	l.Helper()
	if len(documents) == 0 {
		documents = l.documents()
	}
	w, err := l.bench.newWorker("conformance-"+l.ns, documents...)
	if err != nil {
		l.Fatal(err)
	}
	l.worker = w
	if err := w.start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { w.kill() })
}

// documents are the module of a case on its own.
func (l *lab) documents(lines ...string) []string {
	settings := l.c.Endpoint
	if len(settings) == 0 || !strings.Contains(strings.Join(settings, "\n"), "transport:") {
		settings = append(settings[:len(settings):len(settings)], shortCall...)
	}
	return []string{application(lines...), endpoint(l.ns+"/*", l.url(), settings...),
		ingress(l.ns+"/in", route{l.in(), []string{l.f()}}), egress("conformance/out")}
}

// restart kills the worker with -9 and starts another on the same folder.
func (l *lab) restart() {
	l.Helper()
	l.worker.kill()
	if err := l.worker.start(); err != nil {
		l.Fatal(err)
	}
}

// send writes records with one key to the case's ingress topic and waits until the broker has them.
func (l *lab) send(key string, values ...string) {
	l.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: l.in(), Key: []byte(key), Value: []byte(v)})
	}
	l.produce(records...)
}

func (l *lab) produce(records ...*kgo.Record) {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.bench.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		l.Fatalf("produce: %v", err)
	}
}

// arrived waits until the worker has read n records of the case's ingress topic.
func (l *lab) arrived(n int) {
	l.Helper()
	l.awaitMetric(float64(n), "statefun_worker_records_total", `topic="`+l.in()+`"`)
}

// committed waits until n records of the case's ingress topic are done and their effects committed.
func (l *lab) committed(n int64) {
	l.Helper()
	await(l.T, fmt.Sprintf("%d records to be committed", n), func() (bool, <-chan struct{}) {
		offsets, err := l.bench.admin.FetchOffsets(l.Context(), l.worker.app)
		if err != nil {
			return false, nil
		}
		sum := int64(0)
		for _, p := range offsets[l.in()] {
			sum += max(p.At, 0)
		}
		return sum == n, nil
	})
}

// awaitMetric waits until a metric has a value.
func (l *lab) awaitMetric(want float64, parts ...string) {
	l.Helper()
	var last float64
	await(l.T, fmt.Sprintf("%v to be %v", parts, want), func() (bool, <-chan struct{}) {
		var ok bool
		last, ok = l.worker.metric(parts...)
		return ok && last == want, nil
	})
}

// called waits for n calls of the case's functions and returns all there are.
func (l *lab) called(n int) []call {
	l.Helper()
	return l.calledFor("", n)
}

// calledFor waits for n calls of one function; an empty name is any.
func (l *lab) calledFor(name string, n int) []call {
	l.Helper()
	var of []call
	await(l.T, fmt.Sprintf("call %d of %s/%s", n, l.ns, name), func() (bool, <-chan struct{}) {
		all, more := l.all()
		of = nil
		for _, c := range all {
			if name == "" || c.function == name {
				of = append(of, c)
			}
		}
		return len(of) >= n, more
	})
	return of
}

// written waits for n records of the case's egress topic and returns all there are.
func (l *lab) written(n int) []*kgo.Record {
	l.Helper()
	return l.readFrom(l.out(), n, func(*kgo.Record) bool { return true })
}

// deadLetters waits for n dead letters of the case and returns all there are.
func (l *lab) deadLetters(n int) []*kgo.Record {
	l.Helper()
	return l.readFrom(l.worker.app+"-dead-letter", n, func(r *kgo.Record) bool {
		return header(r, "statefun.dead-letter/topic") == l.in() ||
			strings.HasPrefix(header(r, "statefun.dead-letter/address"), l.ns+"/")
	})
}

// header is a header of a record; empty when there is none.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// readFrom waits for n records of a topic named out-… or …-dead-letter that are meant.
func (l *lab) readFrom(topic string, n int, meant func(*kgo.Record) bool) []*kgo.Record {
	l.Helper()
	var found []*kgo.Record
	await(l.T, fmt.Sprintf("record %d of %s", n, topic), func() (bool, <-chan struct{}) {
		all, more := l.bench.out.of(topic)
		found = nil
		for _, r := range all {
			if meant(r) {
				found = append(found, r)
			}
		}
		return len(found) >= n, more
	})
	return found
}

// output is an effect that writes a value to the case's egress topic.
func (l *lab) output(key, bytes string) string {
	return egressMessage("conformance", "out", recordType, record(l.out(), key, bytes))
}

// hold keeps the calls of a function from being answered until the returned gate is released; then with answers them.
func (l *lab) hold(name string, with func(call) reply) *gate {
	g := newGate()
	l.answer(name, func(c call) reply {
		g.pass(c)
		return with(c)
	})
	l.Cleanup(g.release)
	return g
}

// script answers the calls of f one after the other, the last answer again and again.
func (l *lab) script(replies ...reply) {
	next := 0
	l.answer("f", func(call) reply {
		l.mu.Lock()
		defer l.mu.Unlock()
		r := replies[min(next, len(replies)-1)]
		next++
		return r
	})
}

// refused holds a module against the program, which must refuse it and say all of this.
func (l *lab) refused(module string, says ...string) {
	l.Helper()
	code, printed := l.validate(module)
	if code != 2 {
		l.Errorf("the module is not refused (exit code %d):\n%s\n%s", code, module, printed)
	}
	l.says(printed, says...)
}

// accepted holds a module against the program, which must take it and say all of this.
func (l *lab) accepted(module string, says ...string) {
	l.Helper()
	code, printed := l.validate(module)
	if code != 0 {
		l.Errorf("the module is refused (exit code %d):\n%s\n%s", code, module, printed)
	}
	l.says(printed, says...)
}

// validate runs the program's validate on a module.
func (l *lab) validate(module string, flags ...string) (code int, printed string) {
	l.Helper()
	return l.bench.validate(l.file("module.yaml", module), flags...)
}

// file writes a file into a folder of the case and returns its path.
func (l *lab) file(name, text string) string {
	l.Helper()
	path := filepath.Join(l.TempDir(), name)
	text = strings.NewReplacer("BROKER", l.bench.address, "APP", "conformance-"+l.ns).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.Fatal(err)
	}
	return path
}

func (l *lab) says(printed string, parts ...string) {
	l.Helper()
	for _, part := range parts {
		if !strings.Contains(printed, part) {
			l.Errorf("%q is not said in:\n%s", part, printed)
		}
	}
}

// equal fails the case when two things differ.
func equal[T comparable](l *lab, what string, got, want T) {
	l.Helper()
	if got != want {
		l.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// keyed are the values of the records with a key, in their order.
func keyed(records []*kgo.Record, key string) string {
	var values []string
	for _, r := range records {
		if string(r.Key) == key {
			values = append(values, string(r.Value))
		}
	}
	return strings.Join(values, " | ")
}

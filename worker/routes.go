package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// checkRoutes holds the module against the routes: an ingress without its route would drop all its records.
func (c *Config) checkRoutes() error {
	var problems []error
	routed := map[protocol.TypeName]bool{}
	for i := range c.Module.Ingresses {
		in := &c.Module.Ingresses[i]
		if !in.Routed {
			continue
		}
		routed[in.ID] = true
		if c.Routes[in.ID] == nil {
			problems = append(problems, fmt.Errorf("ingress %s is routed by the program: give its route", in.ID))
		}
	}
	for id := range c.Routes {
		if !routed[id] {
			problems = append(problems, fmt.Errorf("a route is given for %s, which is no ingress that is routed by the program", id))
		}
	}
	return errors.Join(problems...)
}

// decoder makes messages of the records of a topic.
func (w *Worker) decoder(in *module.Ingress, t *module.IngressTopic) *ingress.Decoder {
	served := func(fn protocol.TypeName) bool { _, is := w.router.Endpoint(fn); return is }
	d := ingress.NewDecoder(in, t, served, w.names.maxRecordBytes)
	if in.Routed {
		d.RouteBy(w.Routes[in.ID])
	}
	return d
}

// errRouteGoexit is what is wrong with a record whose route ended the goroutine on which it was called.
var errRouteGoexit = errors.New("its route ended its goroutine (runtime.Goexit, which the FailNow of a test calls too)")

// decodeRest takes records into a batch and gives those that are left to take. The program's code runs on a goroutine of
// its own: where it ends that, nothing would be read any more and nobody would know. One that does not return when ctx is
// done is left behind, and the batch with it.
func (r *reader) decodeRest(ctx context.Context, b *batch, records []*kgo.Record) (rest []*kgo.Record, left bool) {
	next, over := 0, false
	decode := func() {
		for ; next < len(records); next++ {
			if records[next].Attrs.IsControl() {
				continue
			}
			before := len(b.envelopes)
			if err := b.decode(records[next]); !r.take(b, records[next], before, err) {
				break
			}
		}
		over = true
	}
	if !b.feed.routed {
		decode()
		return nil, false
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		decode()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return nil, true
	}
	if over || !r.take(b, records[next], len(b.envelopes), &ingress.Invalid{Reason: ingress.Undecodable, Detail: errRouteGoexit}) {
		return nil, false
	}
	return records[next+1:], false
}

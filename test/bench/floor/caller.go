package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// caller takes addresses from the queues, calls the function and carries out its answer.
type caller struct {
	endpoint string
	client   *http.Client
	queues   *queues
	produce  func(*kgo.Record)
	specs    sync.Map // protocol.TypeName → []protocol.StateValue, all absent: what a new address is sent
}

func newCaller(endpoint string, concurrency int, q *queues, produce func(*kgo.Record)) *caller {
	return &caller{
		endpoint: endpoint,
		client:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, DisableCompression: true}},
		queues:   q,
		produce:  produce,
	}
}

// run makes one call after the other until the queues close.
func (c *caller) run(ctx context.Context) error {
	var request []byte
	var batch [][]byte
	for {
		var in *instance
		in, batch = c.queues.take(batch)
		if in == nil {
			return nil
		}
		if known, ok := c.specs.Load(in.address.Type); ok && in.states == nil {
			in.states = slices.Clone(known.([]protocol.StateValue))
		}
		for finished := false; !finished; {
			request = protocol.AppendToFunction(request[:0], in.address, in.states, batch)
			body, err := c.post(ctx, request)
			if err != nil {
				return fmt.Errorf("call %s: %w", in.address, err)
			}
			answer, err := protocol.ParseAnswer(body)
			if err != nil {
				return fmt.Errorf("read the answer of %s: %w", in.address, err)
			}
			if finished, err = c.carryOut(in, &answer); err != nil {
				return fmt.Errorf("carry out the answer of %s: %w", in.address, err)
			}
		}
		c.queues.done(in)
	}
}

func (c *caller) post(ctx context.Context, request []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	response, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return body, nil
}

// carryOut is false when the function asked for states first: the same call goes out again with them.
func (c *caller) carryOut(in *instance, a *protocol.Answer) (bool, error) {
	if a.Incomplete {
		for _, spec := range a.Missing {
			in.states = append(in.states, protocol.StateValue{Name: spec.Name})
		}
		c.specs.LoadOrStore(in.address.Type, slices.Clone(in.states))
		return false, nil
	}
	for _, m := range a.Mutations {
		i := slices.IndexFunc(in.states, func(s protocol.StateValue) bool { return s.Name == m.Name })
		if i < 0 {
			return false, fmt.Errorf("mutation of state %q, which was not sent", m.Name)
		}
		in.states[i] = protocol.StateValue{Name: m.Name, Type: m.Type, Value: slices.Clone(m.Value), Present: !m.Delete}
	}
	for _, m := range a.Messages {
		c.queues.add(m.Target, protocol.AppendInvocation(nil, &in.address, m.Argument), fromFunction)
	}
	for _, m := range a.Egresses {
		_, _, value, err := protocol.ParseTypedValue(m.Argument)
		if err != nil {
			return false, err
		}
		r, err := protocol.ParseKafkaProducerRecord(value)
		if err != nil {
			return false, err
		}
		c.produce(&kgo.Record{Topic: r.Topic, Key: []byte(r.Key), Value: r.Value})
	}
	return true, nil
}

package sdks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// theatre is one run: all SDKs on one cluster, in one application with one worker.
type theatre struct {
	t         *testing.T
	app       *app
	functions map[string]*function
	stages    []*stage

	mu       sync.Mutex
	outcomes []outcome
}

// outcome is how one case went for one SDK.
type outcome struct {
	sdk, name string
	err       error
	why       string // it differs, or is not run
}

// TestSDKs runs the script with all SDKs: those of 3.x with a module in components, those of 2.2 with one of version 2.0, in
// one application.
func TestSDKs(t *testing.T) {
	onEachBroker(t, func(t *testing.T, kind string) {
		th := open(t, kind)
		th.begin()
		th.together(append(conformance[:len(conformance):len(conformance)], before)...)
		th.inOrder(failures...)
		th.inTurn("many-awaits-in-flight", (*stage).concurrent, "python-async", "fork-async", "python22-async", "javascript")
		th.inTurn("headers-come-and-go", (*stage).headers, Own)
		th.ring()
		th.redeploy()
		th.close()
	})
}

func onEachBroker(t *testing.T, test func(t *testing.T, kind string)) {
	for kind := range strings.SplitSeq(*brokersFlag, ",") {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// application is the id of the application.
const application = "sdks"

// open makes everything for a run but starts neither functions nor the worker.
func open(t *testing.T, kind string) *theatre {
	t.Helper()
	began := time.Now()
	worker, programs := prepare(t)
	t.Logf("%8v to build the worker", time.Since(began).Round(time.Millisecond))
	sdks := chosen()
	c := startCluster(t, kind, worker)
	th := &theatre{t: t, functions: fleet(t, sdks, programs)}
	var current, legacy []*function
	var ins, outs []string
	for _, sdk := range sdks {
		if sdk.Legacy {
			legacy = append(legacy, th.functions[sdk.Name])
		} else {
			current = append(current, th.functions[sdk.Name])
		}
		ins, outs = append(ins, inTopic(sdk), headersTopic(sdk)), append(outs, outTopic(sdk))
		th.stages = append(th.stages, &stage{sdk: sdk, cluster: c, want: map[string][]string{}, dead: map[string]int{}})
	}
	c.createTopics(t, 4, ins...)
	c.createTopics(t, 2, outs...)
	var modules []string
	if len(current) > 0 {
		modules = append(modules, module(c, application, current))
	}
	if len(legacy) > 0 {
		modules = append(modules, legacyModule(c, application, legacy))
	}
	th.app = newApp(t, c, worker, application, modules...)
	return th
}

// begin starts the functions, the worker and the reader; the worker makes the dead-letter topic.
func (th *theatre) begin() {
	th.t.Helper()
	began := time.Now()
	deployAll(th.t, th.functions, "1")
	th.took(began, "the start")
	th.app.start()
	topics := []string{deadLetters}
	for _, s := range th.stages {
		topics = append(topics, outTopic(s.sdk))
	}
	r := th.app.cluster.read(th.t, topics...)
	for _, s := range th.stages {
		s.reader = r
	}
}

// together plays scripts with all SDKs at once.
func (th *theatre) together(scripts ...script) {
	th.t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	for _, s := range th.stages {
		for _, sc := range scripts {
			all.Go(func() { th.play(s, sc) })
		}
	}
	all.Wait()
	th.took(began, "%d scripts at once", len(scripts))
}

// inOrder plays scripts one after the other with each SDK: a function that throws may take its process with it.
func (th *theatre) inOrder(scripts ...script) {
	th.t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	for _, s := range th.stages {
		all.Go(func() {
			for _, sc := range scripts {
				th.play(s, sc)
			}
		})
	}
	all.Wait()
	th.took(began, "%d scripts in order", len(scripts))
}

// took logs how long a part of the run was.
func (th *theatre) took(began time.Time, format string, arguments ...any) {
	th.t.Helper()
	th.t.Logf("%8v for "+format+" on %d SDKs", append([]any{time.Since(began).Round(time.Millisecond)}, append(arguments, len(th.stages))...)...)
}

func (th *theatre) play(s *stage, sc script) {
	err := s.play(th.t.Context(), sc)
	_, why := sc.of(s.sdk)
	th.note(outcome{s.sdk.Name, sc.name, err, why})
}

// note keeps an outcome for the report, and logs a bad one at once: what follows may take long.
func (th *theatre) note(o outcome) {
	if o.err != nil {
		th.t.Logf("%s: %s: %v", o.sdk, o.name, o.err)
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	th.outcomes = append(th.outcomes, o)
}

// inTurn runs a test of its own for some SDKs, each with the machine for itself.
func (th *theatre) inTurn(name string, test func(*stage, context.Context) error, sdks ...string) {
	for _, s := range th.stages {
		if slices.Contains(sdks, s.sdk.Name) {
			th.note(outcome{s.sdk.Name, name, test(s, th.t.Context()), ""})
		}
	}
}

// concurrent shows that many calls wait in one process at the same time: each of 40 addresses takes half a second.
func (s *stage) concurrent(ctx context.Context) error {
	const addresses, atLeast = 40, 20
	var ids []string
	for i := range addresses {
		id := fmt.Sprintf("awaits-%d", i)
		ids = append(ids, id)
		s.expect(id, step{want: []string{"done"}})
		if err := s.cluster.send(ctx, inTopic(s.sdk), id, "sleep 500;egress done"); err != nil {
			return err
		}
	}
	if err := s.await(ctx, ids, nil); err != nil {
		return err
	}
	if err := s.cluster.send(ctx, inTopic(s.sdk), "peak", "peak"); err != nil {
		return err
	}
	for {
		more := s.reader.More()
		if shown := s.shown("peak"); len(shown) > 0 {
			peak, err := strconv.Atoi(strings.TrimPrefix(shown[0], "peak="))
			if err != nil || peak < atLeast {
				return fmt.Errorf("%q calls ran at once, not %d", shown, atLeast)
			}
			s.expect("peak", step{want: shown})
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ring sends one message through the functions of all SDKs of 3.x.
func (th *theatre) ring() {
	stages := slices.DeleteFunc(slices.Clone(th.stages), func(s *stage) bool { return s.sdk.Legacy })
	if len(stages) == 0 {
		return
	}
	var rest []string
	for _, s := range stages {
		s.expect("ring", step{want: []string{"ring"}})
		rest = append(rest, s.sdk.Name)
	}
	err := stages[0].cluster.send(th.t.Context(), inTopic(stages[0].sdk), "ring", "ring "+strings.Join(rest[1:], ":"))
	for _, s := range stages {
		th.note(outcome{s.sdk.Name, "messages-from-sdk-to-sdk", errors.Join(err, s.await(th.t.Context(), []string{"ring"}, nil)), ""})
	}
}

// redeploy deploys the functions with other states while the worker stays, then restarts the worker, then takes the first
// deployment back.
func (th *theatre) redeploy() {
	th.t.Helper()
	began := time.Now()
	deployAll(th.t, th.functions, "2")
	th.took(began, "the second deployment")
	th.together(redeployed, sameWorker)
	th.app.stop()
	th.app.start()
	th.together(restarted)
	deployAll(th.t, th.functions, "1")
	th.together(back)
}

// close stops the worker, holds all that came against all that had to come, and reports every case by its name.
func (th *theatre) close() {
	th.t.Helper()
	th.app.stop()
	for _, s := range th.stages {
		th.note(outcome{s.sdk.Name, "nothing-else-came", s.compareAll(), ""})
	}
	for _, s := range th.stages {
		th.t.Run(s.sdk.Name, func(t *testing.T) {
			for _, o := range th.outcomes {
				if o.sdk != s.sdk.Name {
					continue
				}
				t.Run(o.name, func(t *testing.T) {
					if o.why != "" {
						t.Logf("differs: %s", o.why)
					}
					if o.err != nil {
						t.Error(o.err)
					}
				})
			}
		})
	}
}

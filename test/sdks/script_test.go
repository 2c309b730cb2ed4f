package sdks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/ingress"
	"github.com/statefun-kafka/statefun-kafka/test/reader"
)

// script is one case: an address of its own is told what to do, step by step. A percent sign stands for its id.
type script struct {
	name  string
	steps []step
	// differs are the SDKs, or "2.2" for all of that generation, whose outcome is another one on purpose.
	differs map[string]difference
}

// step sends scripts at once and then waits for what they show.
type step struct {
	send []string
	// headers says that the scripts come as records with headers, of a topic whose headers are forwarded.
	headers bool
	// want is what comes out in this step, in order; "@x text" is shown by the address with the id %-x.
	want []string
	// dead are the addresses whose input goes to the dead-letter topic in this step.
	dead []string
}

// difference says why an SDK's outcome is another one, and what it is; no steps: the case makes no sense for it.
type difference struct {
	why   string
	steps []step
}

// of gives the steps for an SDK, and why they are not everybody's.
func (s script) of(sdk SDK) (steps []step, why string) {
	names := []string{sdk.Name, family(sdk)}
	for _, name := range names {
		if d, differs := s.differs[name]; differs {
			return d.steps, d.why
		}
	}
	return s.steps, ""
}

// family is the name that a table of differences may use for several SDKs.
func family(sdk SDK) string {
	if sdk.Legacy {
		return "2.2"
	}
	return "3.x"
}

// outcomeLimit is how long a step may take. The longest waits twelve seconds for a delayed message.
const outcomeLimit = 60 * time.Second

// deadLetters is the application's dead-letter topic.
const deadLetters = application + "-dead-letter"

// stage is where the scripts of one SDK run: a cluster, an application and what comes out of it.
type stage struct {
	sdk     SDK
	cluster *cluster
	reader  *reader.Reader

	mu   sync.Mutex
	want map[string][]string // what each id must have shown, over all scripts
	dead map[string]int      // how many inputs of each address must be in the dead-letter topic
}

// play runs the script's steps and compares after each.
func (s *stage) play(ctx context.Context, sc script) error {
	steps, _ := sc.of(s.sdk)
	id := s.id(sc)
	for n, st := range steps {
		ids, addresses := s.expect(id, st)
		topic := inTopic(s.sdk)
		if st.headers {
			topic = headersTopic(s.sdk)
		}
		if err := s.cluster.send(ctx, topic, id, st.send...); err != nil {
			return err
		}
		if err := s.await(ctx, ids, addresses); err != nil {
			return fmt.Errorf("step %d (%.200q): %w", n+1, st.send, err)
		}
	}
	return nil
}

// id is where a script runs. Each SDK has its own: cancellation tokens belong to an id, whatever the type.
func (s *stage) id(sc script) string { return sc.name + "." + s.sdk.Name }

// expect notes what a step of an id must bring, and gives the ids and addresses to look at.
func (s *stage) expect(id string, st step) (ids, addresses []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids = []string{id}
	for _, line := range st.want {
		at, text := id, strings.ReplaceAll(line, "%", id)
		if rest, found := strings.CutPrefix(text, "@"); found {
			at, text, _ = strings.Cut(rest, " ")
			at = id + "-" + at
			ids = append(ids, at)
		}
		s.want[at] = append(s.want[at], text)
	}
	for _, address := range st.dead {
		address = s.sdk.Name + "/" + strings.ReplaceAll(address, "%", id)
		s.dead[address]++
		addresses = append(addresses, address)
	}
	return ids, addresses
}

// await waits until everything wanted of these has come.
func (s *stage) await(ctx context.Context, ids, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, outcomeLimit)
	defer cancel()
	for {
		more := s.reader.More()
		wrong := s.compare(ids, addresses)
		if wrong == nil {
			return nil
		}
		if errors.Is(wrong, errForGood) {
			return wrong
		}
		select {
		case <-more:
		case <-ctx.Done():
			return wrong
		}
	}
}

// errForGood says that nothing that may still come can make it right.
var errForGood = errors.New("this is wrong for good")

// compare says what is missing or wrong.
func (s *stage) compare(ids, addresses []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		got, want := s.shown(id), s.want[id]
		if slices.Equal(got, want) {
			continue
		}
		err := fmt.Errorf("%s showed %.1000q, not %.1000q", id, got, want)
		if n := len(got); n > len(want) || !slices.Equal(got, want[:n]) {
			err = errors.Join(err, errForGood)
		}
		return err
	}
	for _, address := range addresses {
		if got := s.buried(address); got != s.dead[address] {
			return fmt.Errorf("the dead-letter topic has %d inputs of %s, not %d", got, address, s.dead[address])
		}
	}
	return nil
}

// compareAll holds everything that ever came against everything that had to come: no id showed more, none that no script
// names showed anything, and nothing else was put away.
func (s *stage) compareAll() error {
	s.mu.Lock()
	ids, addresses := slices.Collect(maps.Keys(s.want)), slices.Collect(maps.Keys(s.dead))
	buried := 0
	for _, n := range s.dead {
		buried += n
	}
	s.mu.Unlock()
	for _, id := range s.reader.Keys(outTopic(s.sdk)) {
		if !slices.Contains(ids, id) {
			return fmt.Errorf("%s showed %q and no script names it", id, s.shown(id))
		}
	}
	if got := s.buried(s.sdk.Name + "/"); got != buried {
		return fmt.Errorf("the dead-letter topic has %d inputs of %s, not %d", got, s.sdk.Name, buried)
	}
	return s.compare(ids, addresses)
}

// shown is what an id wrote to the SDK's topic.
func (s *stage) shown(id string) (texts []string) {
	for _, r := range s.reader.Of(outTopic(s.sdk), id) {
		text := string(r.Value)
		if !utf8.Valid(r.Value) || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }) {
			text = fmt.Sprintf("%#x", r.Value)
		}
		texts = append(texts, text)
	}
	return texts
}

// buried counts the inputs in the dead-letter topic of the address, or of all whose name begins so.
func (s *stage) buried(address string) (count int) {
	for _, id := range s.reader.Keys(deadLetters) {
		for _, r := range s.reader.Of(deadLetters, id) {
			name := buriedAddress(r)
			if name == address || strings.HasSuffix(address, "/") && strings.HasPrefix(name, address) {
				count++
			}
		}
	}
	return count
}

// buriedAddress is the address that a dead-letter record was for.
func buriedAddress(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == ingress.HeaderPrefix+"address" {
			return string(h.Value)
		}
	}
	return ""
}

package topics_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/topics"
)

// commits makes the group of the application one that has read these topics.
func (b bench) commits(t *testing.T, names ...string) {
	t.Helper()
	offsets := kadm.Offsets{}
	for _, name := range names {
		offsets.AddOffset(name, 0, 7, -1)
	}
	if err := kadm.NewClient(b.cl).CommitAllOffsets(deadline(t), "app", offsets); err != nil {
		t.Fatal(err)
	}
}

// discovered is the plan of the application without a module.
func discovered(t *testing.T, b bench, opt topics.Options) (*topics.Plan, error) {
	t.Helper()
	m, err := module.Bare("app", []string{"kafka:9092"})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = topics.Discover(deadline(t), b.cl, m); err != nil {
		t.Fatal(err)
	}
	return topics.New(deadline(t), b.cl, m, opt)
}

func TestTheGroupsOffsetsTellTheIngressTopics(t *testing.T) {
	b := open(t)
	b.create(t, "names", 6, nil)
	first := plan(t, b, filling("names"), topics.Options{})
	if err := first.Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
	b.commits(t, "names", clicks, "app-mailbox", "app-changelog")
	b.create(t, "app-ingress-x-changelog", 1, map[string]string{"cleanup.policy": "compact"}) // of another application, app-ingress-x
	p, err := discovered(t, b, topics.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, topic := range p.Topics {
		got = append(got, topic.Name+" "+topic.Role)
	}
	want := []string{"app-mailbox mailbox", "app-changelog changelog", "app-dead-letter dead-letter", "names ingress", clicks + " own-ingress",
		"app-ingress-x-changelog " + topics.RoleStray}
	if !slices.Equal(got, want) || p.Partitions != 6 {
		t.Errorf("%d partitions, %v, want %v", p.Partitions, got, want)
	}
	if p.NotChecked() == "" || first.NotChecked() != "" {
		t.Errorf("not checked without a module: %q, with one: %q", p.NotChecked(), first.NotChecked())
	}
}

// Kafka forgets the offsets of a topic that is deleted; not every broker does, and not at once.
func TestATopicThatOnlyTheOffsetsKnowIsAWarning(t *testing.T) {
	b := open(t)
	b.create(t, "names", 6, nil)
	if err := plan(t, b, app("names"), topics.Options{}).Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
	m := filling("names", "given-up")
	m.Bare = true
	p := plan(t, b, m, topics.Options{})
	warnings := strings.Join(p.Warnings, "\n")
	if !strings.Contains(warnings, "offsets of topic given-up, which does not exist") || !strings.Contains(warnings, "topic "+clicks+", which does not exist") {
		t.Errorf("of the topics that are gone it says: %s", warnings)
	}
	if len(p.Missing()) > 0 {
		t.Errorf("they would be created: %v", p.Missing())
	}
}

func TestWithoutAModuleAWrongSettingIsStillNamed(t *testing.T) {
	b := open(t)
	b.create(t, "names", 2, nil)
	if err := plan(t, b, filling("names"), topics.Options{}).Create(deadline(t), b.cl); err != nil {
		t.Fatal(err)
	}
	b.commits(t, "names", clicks)
	bad := "3600000"
	if _, err := kadm.NewClient(b.cl).AlterTopicConfigs(deadline(t), []kadm.AlterConfig{{Name: "retention.ms", Value: &bad}}, clicks); err != nil {
		t.Fatal(err)
	}
	_, err := discovered(t, b, topics.Options{})
	var problems topics.Errors
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Topic != clicks || problems[0].Setting != "retention.ms" {
		t.Errorf("the error is %v", err)
	}
}

func TestWithoutAModuleAnApplicationThatNeverRanIsNotMadeUp(t *testing.T) {
	b := open(t)
	b.create(t, "names", 2, nil)
	b.commits(t, "names") // a consumer group of that name
	_, err := discovered(t, b, topics.Options{})
	if err == nil || !strings.Contains(err.Error(), "application app is not on this cluster") {
		t.Errorf("the error is %v", err)
	}
	if p, err := discovered(t, b, topics.Options{Partitions: 3}); err != nil || len(p.Missing()) != 3 {
		t.Errorf("asked for 3 partitions: %v, %v", p, err)
	}
}

package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/state"
)

// transactionalID names one of the worker's producers. Ids are stable and few: a broker remembers each for days.
func (w *Worker) transactionalID(slot int) string {
	return fmt.Sprintf("%s-%s-%d", w.ApplicationID, w.names.worker, slot)
}

// workerOf is the worker whose transactional id it is; ours is false for an id of another application.
func (w *Worker) workerOf(transactional string) (worker string, ours bool) {
	rest, ours := strings.CutPrefix(transactional, w.ApplicationID+"-")
	at := strings.LastIndexByte(rest, '-')
	if !ours || at < 0 {
		return "", false
	}
	return rest[:at], true
}

// expel takes a transactional id away from a worker that is gone, which aborts its transaction at once.
func (w *Worker) expel(ctx context.Context, transactional string) error {
	client, err := w.settings.Open(kgo.TransactionalID(transactional), kgo.TransactionTimeout(w.TransactionTimeout))
	if err != nil {
		return fmt.Errorf("open a client to fence %s: %w", transactional, err)
	}
	defer client.Close()
	if _, _, err := client.ProducerID(ctx); err != nil {
		return fmt.Errorf("fence %s: %w", transactional, err)
	}
	w.log.Info("fenced a worker that is gone", "transactional_id", transactional)
	return nil
}

// clientID is how a worker calls itself in the group: by its name and the nonce of its process. A group tells the client
// ids of its members in every state. A named member that comes back keeps the client id of its first process there
// (Kafka 4.1, replaceStaticMember), so the nonce is the member's own only where members have no instance id.
func clientID(name, nonce string) string { return name + "/" + nonce }

// ParseClientID returns the worker's name and its process' nonce from the client id of a group member; the nonce is
// empty for a member that is no worker.
func ParseClientID(id string) (name, nonce string) {
	name, nonce, _ = strings.Cut(id, "/")
	return name, nonce
}

// peer is one live member of the group. While the group rebalances it may tell neither the nonce nor what the member owns.
type peer struct {
	name, nonce, host string
	owns              []int32
}

// members are the group's live members.
func (l *lookups) members(ctx context.Context, w *Worker) (live []peer, err error) {
	if w.Module.Application.GroupProtocol == module.GroupConsumer {
		groups, err := l.admin.DescribeConsumerGroups(ctx, w.ApplicationID)
		if err == nil {
			err = groups.Error()
		}
		for _, m := range groups[w.ApplicationID].Members {
			name, nonce := ParseClientID(m.ClientID)
			owns := maps.Keys(m.Assignment[w.names.mailbox])
			if _, unnamed := m.Assignment[""]; unnamed { // the development broker tells a topic by its id alone, and the group has but one
				owns = maps.Keys(m.Assignment[""])
			}
			live = append(live, peer{name, nonce, m.ClientHost, slices.Collect(owns)})
		}
		return live, describeError(w.ApplicationID, err)
	}
	groups, err := l.admin.DescribeGroups(ctx, w.ApplicationID)
	if err == nil {
		err = groups.Error()
	}
	for _, m := range groups[w.ApplicationID].Members {
		name, _ := ParseClientID(m.ClientID)
		live = append(live, peer{name, toldNonce(m), m.ClientHost, toldPartitions(m, w.names.mailbox)})
	}
	return live, describeError(w.ApplicationID, err)
}

// toldNonce is the nonce that a member gave when it joined. A group tells it only while it is stable.
func toldNonce(m kadm.DescribedGroupMember) string {
	meta, is := m.Join.AsConsumer()
	if !is {
		return ""
	}
	local, err := balance.ParseLocal(meta.UserData)
	if err != nil {
		return ""
	}
	return local.Nonce
}

// toldPartitions are those of a topic that a member was assigned.
func toldPartitions(m kadm.DescribedGroupMember, topic string) (owns []int32) {
	assigned, is := m.Assigned.AsConsumer()
	if !is {
		return nil
	}
	for _, t := range assigned.Topics {
		if t.Topic == topic {
			owns = append(owns, t.Partitions...)
		}
	}
	return owns
}

func describeError(group string, err error) error {
	if err == nil || errors.Is(err, kerr.GroupIDNotFound) { // nobody has joined it yet
		return nil
	}
	return fmt.Errorf("describe group %s: %w", group, err)
}

// consumerSession is how long brokers keep a silent member of the consumer protocol, where they decide on it
// (group.consumer.session.timeout.ms, by default).
const consumerSession = 45 * time.Second

// checkName refuses a state folder that is a copy of one whose worker lives: the group has a member of this worker's
// name, and no process with that member's nonce ever ran on this folder. The two would fence each other for ever (H14).
// A folder put back from an older copy looks the same for as long as the session of the dead process lasts, so it waits
// that long, and as long for a group that rebalances, which does not tell whose member that is. A new folder cannot be a
// copy, and may take a name over; not so with the consumer protocol, whose groups do not know names and would let both
// go on.
func (w *Worker) checkName(ctx context.Context) error {
	identity := w.store.Identity()
	if identity.PreviousNonce() == "" && w.Module.Application.GroupProtocol != module.GroupConsumer {
		return nil
	}
	session := w.SessionTimeout
	if w.Module.Application.GroupProtocol == module.GroupConsumer {
		session = consumerSession
	}
	s := suspicion{until: time.Now().Add(session + time.Second), longer: session}
	said := false
	for {
		members, err := w.lookups.members(ctx, w)
		copied := w.namesake(identity, members)
		switch {
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			return fmt.Errorf("%w: allow Describe on group %s", err, w.ApplicationID)
		case err == nil:
			if over, err := s.judge(time.Now(), copied); over {
				return err
			}
		}
		if !said {
			w.log.Warn("waiting before joining the group", "for", "its coordinator, or the session of another process under this name", "error", errors.Join(err, copied))
			said = true
		}
		if !pause(ctx, brokersRetry) {
			return ctx.Err()
		}
	}
}

// suspicion is what the group has said so far of a worker's name.
type suspicion struct {
	until  time.Time     // the session of a dead process is over then
	longer time.Duration // how much longer a rebalance may keep back what was told before
	told   bool          // a live member of the name was told that never ran on the folder
}

// judge says whether it is clear now, and with an error that the worker must not join. A rebalance that begins just when
// the wait is over, as another worker's end makes one, does not clear what was told before it.
func (s *suspicion) judge(now time.Time, copied error) (over bool, err error) {
	untold := errors.Is(copied, errUntold)
	s.told = s.told || copied != nil && !untold
	switch {
	case copied == nil:
		return true, nil
	case now.Before(s.until), untold && s.told && now.Before(s.until.Add(s.longer)):
		return false, nil
	case untold:
		return true, nil // should it be a copy, one of the two is fenced by the group
	default:
		return true, copied
	}
}

// errUntold says that the group has a member of this worker's name and does not tell which process it is.
var errUntold = errors.New("the group rebalances and does not tell which process has this worker's name")

// namesake is an error for a live member of this worker's name that never ran on its folder.
func (w *Worker) namesake(identity state.Identity, members []peer) error {
	for _, m := range members {
		switch {
		case m.name != w.names.worker || identity.Had(m.nonce):
		case m.nonce == "":
			return errUntold
		default:
			return fmt.Errorf("a live worker on host %s has the name %q, and its process never ran on the state folder %s: this folder is a copy of that worker's, or the name is used twice: start with an empty folder, which is restored from the changelog, and with a name of its own",
				m.host, w.names.worker, w.StateDir)
		}
	}
	return nil
}

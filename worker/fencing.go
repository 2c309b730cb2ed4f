package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/statefun-kafka/statefun-kafka/balance"
	"github.com/statefun-kafka/statefun-kafka/module"
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

// members are the names of the group's live members.
func (l *lookups) members(ctx context.Context, w *Worker) (map[string]bool, error) {
	live := map[string]bool{}
	if w.Module.Application.GroupProtocol == module.GroupConsumer {
		groups, err := l.admin.DescribeConsumerGroups(ctx, w.ApplicationID)
		if err == nil {
			err = groups.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("describe group %s: %w", w.ApplicationID, err)
		}
		for _, m := range groups[w.ApplicationID].Members {
			live[m.ClientID] = true
		}
		return live, nil
	}
	members, err := l.classicMembers(ctx, w.ApplicationID)
	for _, m := range members {
		if m.InstanceID != nil {
			live[*m.InstanceID] = true
		}
	}
	return live, err
}

func (l *lookups) classicMembers(ctx context.Context, group string) ([]kadm.DescribedGroupMember, error) {
	groups, err := l.admin.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil // nobody has joined it yet
	}
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	return groups[group].Members, nil
}

// checkName refuses a state folder that is a copy of one whose worker lives: the group has a member of this worker's
// name, and no process with that member's nonce ever ran on this folder. The two would fence each other for ever (H14).
// A folder put back from an older copy looks the same for as long as the session of the dead process lasts, so it waits
// that long. While the group rebalances, members are told without what they said of themselves: that is no answer.
func (w *Worker) checkName(ctx context.Context) error {
	identity := w.store.Identity()
	if identity.PreviousNonce() == "" || w.Module.Application.GroupProtocol == module.GroupConsumer {
		return nil // a new folder cannot be a copy
	}
	until := time.Now().Add(w.SessionTimeout + time.Second)
	said := false
	var copied error
	for {
		members, err := w.lookups.classicMembers(ctx, w.ApplicationID)
		if err == nil {
			m, is := memberNamed(members, w.names.worker)
			nonce, told := nonceOf(m)
			switch {
			case !is, told && (nonce == "" || identity.Had(nonce)):
				return nil // nobody, or the process before this one, whose session has not ended yet
			case told:
				copied = fmt.Errorf("a live worker on host %s has the name %q, and its process never ran on the state folder %s: this folder is a copy of that worker's: start with an empty folder, which is restored from the changelog, and with a name of its own",
					m.ClientHost, w.names.worker, w.StateDir)
			}
			if time.Now().After(until) {
				return copied
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

func memberNamed(members []kadm.DescribedGroupMember, name string) (m kadm.DescribedGroupMember, is bool) {
	for _, m := range members {
		if m.InstanceID != nil && *m.InstanceID == name {
			return m, true
		}
	}
	return m, false
}

// nonceOf is what a member said of its process; told is false while the group does not tell it.
func nonceOf(m kadm.DescribedGroupMember) (nonce string, told bool) {
	metadata, is := m.Join.AsConsumer()
	if !is {
		return "", false
	}
	local, err := balance.ParseLocal(metadata.UserData)
	return local.Nonce, err == nil
}

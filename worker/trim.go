package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// trimEvery is how often topics that keep everything are relieved of what is done.
const trimEvery = time.Minute

// trim deletes what is done from the topics that keep everything else for ever: the mailbox, and what the program fills
// (H7). While a transaction runs it stays due: under load there is only a moment now and then.
func (w *Worker) trim() {
	if w.running != nil {
		return
	}
	w.trimmed = w.now
	below := w.deletable()
	if len(below) == 0 {
		return
	}
	ctx := w.epoch.ctx
	w.spawn(func() {
		if err := w.lookups.trim(ctx, below); err != nil && ctx.Err() == nil {
			w.log.Warn("delete what is done", "error", err)
		}
	})
}

// deletable are the positions below which nothing is read again, for those topics. While a transaction runs there are
// none: it takes positions along that are not committed, and after an abort or a crash the records below them are needed.
func (w *Worker) deletable() kadm.Offsets {
	below := kadm.Offsets{}
	if w.running != nil {
		return below
	}
	for _, p := range w.partitions {
		if p.stage != running {
			continue
		}
		for _, s := range p.task.Sources() {
			if (s == p.mailbox || w.fills(s.Topic)) && s.Written() > 0 {
				below.Add(kadm.Offset{Topic: s.Topic, Partition: s.Partition, At: s.Written()})
			}
		}
	}
	return below
}

// fills reports whether the program itself produces to an ingress topic.
func (w *Worker) fills(topic string) bool {
	for i := range w.Module.Ingresses {
		for j := range w.Module.Ingresses[i].Topics {
			if t := &w.Module.Ingresses[i].Topics[j]; t.Own && t.Topic == topic {
				return true
			}
		}
	}
	return false
}

// trim deletes the records below offsets.
func (l *lookups) trim(ctx context.Context, below kadm.Offsets) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	deleted, err := l.admin.DeleteRecords(ctx, below)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("delete records (needs the right to delete on the mailbox topic and those that the program fills): %w", err)
	}
	return nil
}

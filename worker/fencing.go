package worker

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
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

package worker

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// workerOf is the worker whose transactional id it is; ours is false for an id of another application.
func (w *Worker) workerOf(transactional string) (worker string, ours bool) {
	return strings.CutPrefix(transactional, w.ApplicationID+"-")
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

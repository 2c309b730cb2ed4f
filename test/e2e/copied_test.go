package e2e

import (
	"os"
	"testing"
	"time"
)

// copiedLimit is the session time-out, for which a folder put back from an older copy waits, and a start.
const copiedLimit = 20 * time.Second

// TestACopyOfALiveWorkersFolderIsRefused kills a worker, copies its folder and starts it again, so that it comes back to
// its place in the group. Kafka then still calls that member by the client id of the killed process, which the copy
// knows: only what the member says of itself tells that the copy is not its folder.
func TestACopyOfALiveWorkersFolderIsRefused(t *testing.T) {
	onEachBroker(t, func(t *testing.T, c *cluster) {
		s := newScripted(t, c)
		w := s.app.startReady()
		c.send(t, s.input("a", 0))
		s.awaitProcessed(t, "a", 1)
		w.Kill()
		copied := *s.app
		copied.folder += "-copy"
		if err := os.CopyFS(copied.folder, os.DirFS(s.app.folder)); err != nil {
			t.Fatal(err)
		}
		w = s.app.startReady()

		second := copied.start()
		if code := second.exit(t, copiedLimit); code != 1 || second.Find("this folder is a copy") == "" {
			t.Errorf("the worker on the copy ended with %d, want 1 and the reason", code)
		}
		c.send(t, s.input("a", 1))
		s.awaitProcessed(t, "a", 2)
		if n := w.metric("statefun_worker_losses_total"); n > 0 {
			t.Errorf("the first worker lost its partitions %v times", n)
		}
	})
}

// Command setup installs the SDKs of the suite into the cache folder, so that no test's time limit pays for it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/test/sdks"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if _, err := sdks.Install(ctx, "test/sdks/functions"); err != nil {
		fmt.Fprintln(os.Stderr, "sdks:", err)
		os.Exit(1)
	}
}

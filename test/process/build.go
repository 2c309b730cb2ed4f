package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build makes the worker's program at path, with the race detector when STATEFUN_E2E_RACE is set.
func Build(ctx context.Context, path string) error {
	args := []string{"build", "-o", path}
	if os.Getenv("STATEFUN_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/statefun-kafka/statefun-kafka/cmd/statefun-kafka")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return nil
}

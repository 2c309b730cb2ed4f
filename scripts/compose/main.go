// Command compose reads a Compose file as Docker Compose does, without a Docker engine: its schema and its variables, its durations
// and addresses, and whether every service and volume that is referred to is there.
//
// It is a module of its own, so that the project does not depend on that library.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := read(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compose:", err)
		os.Exit(1)
	}
}

func read(files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv)
	if err != nil {
		return fmt.Errorf("find %v: %w", files, err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("read %v: %w", files, err)
	}
	fmt.Printf("valid: %d services\n", len(project.Services))
	return nil
}

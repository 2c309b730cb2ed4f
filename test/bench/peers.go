package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// exitMissing is how a peer's build.sh says that this machine lacks a tool; the tool is its last line.
const exitMissing = 3

// peerScript is the path of a peer's script, seen from the root of the repository.
func peerScript(peer, script string) (string, error) {
	path, err := filepath.Abs(filepath.Join("test", "bench", "peers", peer, script))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find the peer (run at the root of the repository): %w", err)
	}
	return path, nil
}

// buildPeers builds the peers among the systems before anything is timed, and returns by name why one cannot run.
func buildPeers(ctx context.Context, log *slog.Logger, all []system) map[string]string {
	missing := map[string]string{}
	for _, s := range all {
		if s.Peer == "" {
			continue
		}
		log.Info("building peer", "system", s.Name)
		if err := buildPeer(ctx, s.Peer); err != nil {
			missing[s.Name] = err.Error()
		}
	}
	return missing
}

func buildPeer(ctx context.Context, peer string) error {
	script, err := peerScript(peer, "build.sh")
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, script).CombinedOutput()
	var exit *exec.ExitError
	text := strings.TrimSpace(string(out))
	last := text[strings.LastIndexByte(text, '\n')+1:]
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == exitMissing:
		return errors.New(last)
	case err != nil:
		return fmt.Errorf("build it: %w: %s", err, last)
	}
	return nil
}

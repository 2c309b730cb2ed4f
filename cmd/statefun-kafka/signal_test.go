//go:build unix

package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestFirstSignalStopsAndTheSecondEndsTheProcess(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		codes := make(chan int, 1)
		ctx, release := stopOnSignal(context.Background(), func(code int) { codes <- code })
		kill := func() {
			if err := syscall.Kill(os.Getpid(), signal); err != nil {
				t.Fatal(err)
			}
		}
		kill()
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatalf("%v did not stop", signal)
		}
		select {
		case code := <-codes:
			t.Fatalf("the first %v ended the process with %d", signal, code)
		default:
		}
		kill()
		select {
		case code := <-codes:
			if code != want {
				t.Fatalf("the second %v ended with %d, want %d", signal, code, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the second %v did not end the process", signal)
		}
		release()
	}
}

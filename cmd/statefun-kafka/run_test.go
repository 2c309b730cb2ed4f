package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"

	"github.com/statefun-kafka/statefun-kafka/broker"
)

// serveGreeter serves a function of the official SDK that counts how often each name came and greets it.
func serveGreeter(t *testing.T) *httptest.Server {
	t.Helper()
	count := statefun.ValueSpec{Name: "count", ValueType: statefun.Int32Type}
	builder := statefun.StatefulFunctionsBuilder()
	err := builder.WithSpec(statefun.StatefulFunctionSpec{
		FunctionType: statefun.TypeNameFrom("greeter/person"),
		States:       []statefun.ValueSpec{count},
		Function: statefun.StatefulFunctionPointer(func(ctx statefun.Context, message statefun.Message) error {
			var seen int32
			ctx.Storage().Get(count, &seen)
			seen++
			ctx.Storage().Set(count, seen)
			ctx.SendEgress(statefun.KafkaEgressBuilder{
				Target: statefun.TypeNameFrom("greeter/greetings"), Topic: "greetings", Key: ctx.Self().Id,
				Value: []byte(fmt.Sprintf("%s no. %d", message.AsString(), seen)),
			})
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(builder.AsHandler())
	t.Cleanup(server.Close)
	return server
}

// serveHanging serves functions that never answer; called has a value once one was called.
func serveHanging(t *testing.T) (server *httptest.Server, called chan struct{}) {
	t.Helper()
	called = make(chan struct{}, 1)
	release := make(chan struct{})
	server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case called <- struct{}{}:
		default:
		}
		<-release
	}))
	t.Cleanup(func() {
		close(release)
		server.Close()
	})
	return server, called
}

func greeterAt(url string) string {
	return strings.Replace(greeter, "http://127.0.0.1:1/statefun", url, 1)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// awaitReady waits until the admin server answers ready.
func awaitReady(t *testing.T, c *command, adminAddr string) {
	t.Helper()
	limit := time.Now().Add(20 * time.Second)
	for {
		code, body := get(t, "http://"+adminAddr+"/readyz?verbose")
		if code == http.StatusOK {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("not ready: %s\n%s", body, c.err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const adminPattern = `admin=(127\.0\.0\.1:\d+)`

func devArgs(t *testing.T, path string, more ...string) []string {
	t.Helper()
	return append([]string{"dev", "-m", path, "--broker-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--state-dir", filepath.Join(t.TempDir(), "state"), "--log-format", "text"}, more...)
}

func TestDevGreetsWithAFunctionOfTheOfficialSDK(t *testing.T) {
	path := writeModule(t, greeterAt(serveGreeter(t).URL), "nowhere:1")
	c := start(t, devArgs(t, path, "--topic", "greetings:1"))
	brokerAddr := c.err.await(t, `broker=(127\.0\.0\.1:\d+)`)
	adminAddr := c.err.await(t, adminPattern)
	run(t, exitOK, []string{"send", "-b", brokerAddr, "-m", path, "ada=hello", "bob=hi", "ada=again"})
	out, _ := run(t, exitOK, []string{"tail", "-b", brokerAddr, "-t", "greetings", "--from-start", "--max", "3", "--timeout", "20s"})
	has(t, out, "ada=hello no. 1\n", "bob=hi no. 1\n", "ada=again no. 2\n")
	awaitReady(t, c, adminAddr)
	if code, body := get(t, "http://"+adminAddr+"/metrics"); code != http.StatusOK || !strings.Contains(body, "\nstatefun_") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics answer %d:\n%.2000s", code, body)
	}
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("ended with %d:\n%s", code, c.err)
	}
}

func TestDevKeepsItsStateApartFromThatOfRun(t *testing.T) {
	path := writeModule(t, greeter, "nowhere:1")
	t.Chdir(t.TempDir())
	c := start(t, []string{"dev", "-m", path, "--broker-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--log-format", "text"})
	awaitReady(t, c, c.err.await(t, adminPattern))
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("ended with %d:\n%s", code, c.err)
	}
	if _, err := os.Stat(filepath.Join("statefun-data-dev", "greeter")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("statefun-data"); err == nil {
		t.Error("dev wrote to the default folder of run")
	}
}

func TestDevStartsAfreshOnAnOldStateFolder(t *testing.T) {
	path := writeModule(t, greeterAt(serveGreeter(t).URL), "nowhere:1")
	args := devArgs(t, path, "--topic", "greetings:1", "--ingress-partitions", "2")
	for range 2 {
		c := start(t, args)
		brokerAddr := c.err.await(t, `broker=(127\.0\.0\.1:\d+)`)
		c.err.await(t, adminPattern)
		run(t, exitOK, []string{"send", "-b", brokerAddr, "-m", path, "ada=hello"})
		out, _ := run(t, exitOK, []string{"tail", "-b", brokerAddr, "-t", "greetings", "--from-start", "--max", "1", "--timeout", "20s"})
		has(t, out, "ada=hello no. 1\n")
		out, _ = run(t, exitOK, []string{"topics", "-b", brokerAddr, "-m", path})
		has(t, out, "application greeter, 2 partitions")
		c.stop()
		if code := c.wait(t); code != exitOK {
			t.Fatalf("ended with %d:\n%s", code, c.err)
		}
	}
}

func TestRunGoesOnWhereItWasStopped(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2}, broker.Topic{Name: "greetings", Partitions: 1})
	path := writeModule(t, greeterAt(serveGreeter(t).URL), addr)
	args := []string{"run", "-m", path, "--state-dir", filepath.Join(t.TempDir(), "state"), "--log-format", "text"}
	for i := 1; i <= 2; i++ {
		// The address comes from the environment, as in a container.
		c := start(t, args, withEnv("STATEFUN_ADMIN_ADDR", "127.0.0.1:0"))
		awaitReady(t, c, c.err.await(t, adminPattern))
		run(t, exitOK, []string{"send", "-m", path, "ada=hello"})
		out, _ := run(t, exitOK, []string{"tail", "-m", path, "-t", "greetings", "--from-start", "--max", fmt.Sprint(i), "--timeout", "20s"})
		has(t, out, fmt.Sprintf("ada=hello no. %d\n", i))
		c.stop()
		if code := c.wait(t); code != exitOK {
			t.Fatalf("ended with %d:\n%s", code, c.err)
		}
	}
}

func TestRunStopsWithinTenSecondsWhileAFunctionHangs(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2})
	server, called := serveHanging(t)
	path := writeModule(t, greeterAt(server.URL), addr)
	c := start(t, []string{"run", "-m", path, "--state-dir", filepath.Join(t.TempDir(), "state"), "--admin-addr", "127.0.0.1:0", "--log-format", "text"})
	awaitReady(t, c, c.err.await(t, adminPattern))
	run(t, exitOK, []string{"send", "-m", path, "ada=hello"})
	select {
	case <-called:
	case <-time.After(20 * time.Second):
		t.Fatalf("the function was not called:\n%s", c.err)
	}
	began := time.Now()
	c.stop()
	if code := c.wait(t); code != exitOK {
		t.Fatalf("ended with %d:\n%s", code, c.err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("the stop took %s", took)
	}
}

func TestRunRefusesWhatItCannotRunWith(t *testing.T) {
	addr := startBroker(t, broker.Topic{Name: "names", Partitions: 2}, broker.Topic{Name: "greeter-changelog", Partitions: 2})
	path := writeModule(t, greeter, addr)
	base := []string{"run", "-m", path, "--state-dir", filepath.Join(t.TempDir(), "state")}
	_, stderr := run(t, exitFailure, append(base, "--admin-addr", "127.0.0.1:0"))
	has(t, stderr, "topic greeter-changelog: cleanup.policy is delete, want compact")
	_, stderr = run(t, exitFailure, append(base, "--admin-addr", addr))
	has(t, stderr, "another program listens there", "--admin-addr")
	_, stderr = run(t, exitUsage, []string{"run"})
	has(t, stderr, "give --module FILE")
}

func TestStopThatTakesTooLongIsGivenUp(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	err := awaitStop(ctx, make(chan error), 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "did not stop within 10ms") {
		t.Fatalf("error %v", err)
	}
	ended, reason := make(chan error, 1), errors.New("reason")
	ended <- reason
	if err := awaitStop(ctx, ended, time.Minute); !errors.Is(err, reason) {
		t.Fatalf("error %v, want the worker's own", err)
	}
}
func TestDevCreatesTheEgressTopicThatAFunctionWritesTo(t *testing.T) {
	path := writeModule(t, greeterAt(serveGreeter(t).URL), "nowhere:1")
	c := start(t, devArgs(t, path))
	brokerAddr := c.err.await(t, `broker=(127\.0\.0\.1:\d+)`)
	c.err.await(t, adminPattern)
	run(t, exitOK, []string{"send", "-b", brokerAddr, "-m", path, "ada=hello"})
	out, _ := run(t, exitOK, []string{"tail", "-b", brokerAddr, "-t", "greetings", "--from-start", "--max", "1", "--timeout", "20s"})
	has(t, out, "ada=hello no. 1\n")
}

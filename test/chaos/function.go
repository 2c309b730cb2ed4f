package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/statefun-kafka/statefun-kafka/test/e2e/load"
	"github.com/statefun-kafka/statefun-kafka/test/process"
	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

// The moods of the function process.
const (
	moodWell  = "well"
	moodSlow  = "slow"  // each call takes up to slowest longer
	moodHang  = "hang"  // no call is answered
	moodTwice = "twice" // many calls are carried out and answered too late or not at all, so that they come again
)

const (
	slowest     = 1500 * time.Millisecond
	failureRate = 0.003
	// lostOf is how many calls there are to one whose answer is lost, when answers are lost; half of these are late.
	lostOf = 4
	// callBudget is what the module gives a call; a late answer comes after it.
	callBudget = 2 * time.Second
)

// host serves the functions; its mood is told to it over HTTP.
type host struct {
	functions http.Handler
	mood      atomic.Value // string
}

// serveFunctions is the program of the function process.
func serveFunctions(arguments []string) error {
	flags := flag.NewFlagSet("functions", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:0", "where to listen")
	egress := flags.String("egress", "", "typename of the egress")
	sink := flags.String("sink", "", "typename of a sink; empty: none")
	topic := flags.String("topic", "", "topic of the entries")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	log.SetOutput(io.Discard) // the SDK logs every failure that is asked of it
	handler, err := load.Functions{Egress: *egress, Topic: *topic, Sink: *sink, FailureRate: failureRate, Now: time.Now}.Handler()
	if err != nil {
		return err
	}
	h := &host{functions: handler}
	h.mood.Store(moodWell)
	mux := http.NewServeMux()
	mux.HandleFunc("/functions", h.call)
	mux.HandleFunc("/mood", func(_ http.ResponseWriter, r *http.Request) { h.mood.Store(r.FormValue("is")) })
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return fmt.Errorf("listen for calls: %w", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	server := &http.Server{Handler: mux}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Println("serving on", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve functions: %w", err)
	}
	return nil
}

// call answers one call as the mood says.
func (h *host) call(w http.ResponseWriter, r *http.Request) {
	switch mood := h.mood.Load(); {
	case mood == moodSlow:
		if !process.Pause(r.Context(), rand.N(slowest)) {
			return
		}
	case mood == moodHang:
		_, _ = io.Copy(io.Discard, r.Body) // the server sees that the caller is gone only behind the body
		<-r.Context().Done()
		return
	case mood == moodTwice && rand.IntN(lostOf) == 0:
		h.lose(w, r)
		return
	}
	h.functions.ServeHTTP(w, r)
}

// lose carries a call out, and then breaks the connection or answers when the caller has given up.
func (h *host) lose(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	h.functions.ServeHTTP(answer, r)
	if rand.IntN(2) == 0 {
		panic(http.ErrAbortHandler)
	}
	process.Pause(context.WithoutCancel(r.Context()), callBudget+rand.N(callBudget))
	w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// functions is the function process of a run, as the suite sees it.
type functions struct {
	program string
	args    []string
	addr    string
	log     string
	moods   string // file that tells the mood to functions in other processes
	process *child
}

// startFunctions starts the function process on a port that it keeps over its restarts; with a sink its functions send there
// too.
func startFunctions(program, dir, topic, sink string) (*functions, error) {
	port, err := realkafka.FreePort()
	if err != nil {
		return nil, err
	}
	f := &functions{
		program: program, addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "functions.log"), moods: filepath.Join(dir, moodFile),
	}
	f.args = []string{modeFunctions, "--addr", f.addr, "--egress", egressName, "--topic", topic, "--sink", sink}
	return f, f.start()
}

func (f *functions) start() (err error) {
	f.process, err = launch("functions", f.log, f.program, f.args, nil)
	return err
}

func (f *functions) url() string { return "http://" + f.addr + "/functions" }

// feel changes the mood of the function process, and of functions in other processes.
func (f *functions) feel(ctx context.Context, mood string) error {
	if err := os.WriteFile(f.moods, []byte(mood), 0o644); err != nil {
		return fmt.Errorf("tell all functions to be %s: %w", mood, err)
	}
	for {
		err := f.tell(ctx, mood)
		if err == nil || !process.Pause(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

func (f *functions) tell(ctx context.Context, mood string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.addr+"/mood?is="+mood, nil)
	if err != nil {
		return err
	}
	answer, err := asking.Do(request)
	if err != nil {
		return fmt.Errorf("tell the functions to be %s: %w", mood, err)
	}
	return answer.Body.Close()
}

// asking never keeps a connection: the one asked may be killed at any time.
var asking = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

package worker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A function says that its answers are long and then sends nothing more. The room of all answers is taken then, and other
// addresses are called all the same.
func TestAnswersThatDoNotComeHoldUpNobodyElse(t *testing.T) {
	const slow, size = 4, 1 << 20
	var l *lab
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		answerSlowly(t, l, out, in, size)
	}))
	t.Cleanup(server.Close) // after the worker's end
	text := replaced("http://localhost:1/", server.URL, "  id: app", fmt.Sprintf("  id: app\n  limits: {answers: %d mb}", slow*size>>20))
	l = newLab(t, setting{partitions: 1, module: text}, echo)
	l.change = func(c *Config) { c.Functions = nil }
	l.up()
	for i := range slow {
		l.put("in", 0, fmt.Sprint("slow", i), "r")
	}
	l.until("the room is taken", func() bool {
		return l.metric("statefun_worker_answer_bytes") >= slow*size
	})
	l.put("in", 0, "quick", "r0")
	l.expect("quick", "1:r0")
}

// There is no room for the answer of a function that is well, until its call has used up its time. That is nothing that its
// policy may decide on: the input is tried again.
func TestAnInputIsNotGivenUpForLackOfRoom(t *testing.T) {
	const slow, size = 5, 1 << 20
	const second = "---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: slow/*\n  urlPathTemplate: URL\n---\nkind: io.statefun.kafka.v1/ingress"
	var l *lab
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		answerSlowly(t, l, out, in, size)
	}))
	t.Cleanup(server.Close) // after the worker's end
	text := replaced("  id: app", fmt.Sprintf("  id: app\n  limits: {answers: %d mb}", (slow-1)*size>>20),
		"http://localhost:1/", server.URL+"\n  onFailure: dead-letter\n  transport: {call: 300ms}",
		"---\nkind: io.statefun.kafka.v1/ingress", strings.Replace(second, "URL", server.URL, 1),
		"      targets: [test/f]", "      targets: [test/f]\n    - topic: slow\n      valueType: test/command\n      targets: [slow/f]")
	l = newLab(t, setting{partitions: 1, module: text, topics: []string{"slow"}}, echo)
	l.change = func(c *Config) { c.Functions = nil }
	l.up()
	for i := range slow { // the last of them is the one that goes on without room
		l.put("slow", 0, fmt.Sprint("slow", i), "r")
	}
	l.until("the room is taken", func() bool {
		return l.metric("statefun_worker_answer_bytes") >= slow*size
	})
	l.put("in", 0, "large", "r0")
	l.until("its call has failed", func() bool {
		return l.metric("statefun_worker_parked_addresses") == 1 || len(l.read("app-dead-letter")) > 0
	})
	if n := len(l.read("app-dead-letter")); n != 0 {
		t.Fatalf("%d inputs were given up", n)
	}
	server.CloseClientConnections()
}

// answerSlowly answers as l's function does, but for addresses whose ids begin with slow: their answers begin, and then do not
// come. An answer to large has size bytes that nobody knows in front.
func answerSlowly(t *testing.T, l *lab, out http.ResponseWriter, in *http.Request, size int) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return
	}
	call, err := parseCall(body)
	if err != nil {
		t.Error(err)
		return
	}
	out.Header().Set("Content-Type", "application/octet-stream")
	if strings.HasPrefix(call.target.ID, "slow") {
		out.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = out.Write([]byte{0})
		_ = http.NewResponseController(out).Flush()
		<-in.Context().Done()
		return
	}
	answer, err := l.invoke(in.Context(), call.target.Type, body)
	if err != nil {
		return
	}
	if call.target.ID == "large" {
		unknown := protowire.AppendTag(nil, 99, protowire.BytesType)
		answer = append(protowire.AppendBytes(unknown, make([]byte, size)), answer...)
	}
	_, _ = out.Write(answer)
}

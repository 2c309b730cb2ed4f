package worker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A function says that its answers are long and then sends nothing more. The room of all answers is taken then, and other
// addresses are called all the same.
func TestAnswersThatDoNotComeHoldUpNobodyElse(t *testing.T) {
	const slow, size = 4, 1 << 20
	var l *lab
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
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
		if answer, err := l.invoke(in.Context(), call.target.Type, body); err == nil {
			_, _ = out.Write(answer)
		}
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

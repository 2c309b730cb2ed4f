package worker

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// counter is a function of one state that counts its inputs and writes each count to out.
func counter(_ context.Context, _ protocol.TypeName, request []byte) ([]byte, error) {
	call, err := parseCall(request)
	if err != nil {
		return nil, err
	}
	if !call.knows("count") {
		return missing("count"), nil
	}
	n, _ := strconv.Atoi(string(call.states["count"]))
	var a reply
	for range call.arguments {
		n++
		a.egress("test/out", "out", call.target.ID, fmt.Sprint(n))
	}
	a.set("count", fmt.Sprint(n))
	return a.bytes(), nil
}

func TestCountsGoOnAfterARestart(t *testing.T) {
	w := newWorld(t, 4)
	dir := t.TempDir()
	c := w.config(dir)
	c.Functions = counter
	_, stop := w.run(c)
	for i := range 20 {
		w.send(fmt.Sprint("k", i%5), "x")
	}
	w.collect("out", 20)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c = w.config(dir)
	c.Functions = counter
	w.run(c)
	for i := range 20 {
		w.send(fmt.Sprint("k", i%5), "x")
	}
	last := map[string]string{}
	for _, r := range w.collect("out", 40) {
		last[string(r.Key)] = string(r.Value)
	}
	for i := range 5 {
		if got := last[fmt.Sprint("k", i)]; got != "8" {
			t.Errorf("key k%d is counted to %s, want 8", i, got)
		}
	}
}

package invoker

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/module"
)

// quick answers every request with 200 bytes and allocates nothing for it.
func quick(s *rawServer, c net.Conn, r *bufio.Reader) {
	answer := []byte(ok(string(bytes.Repeat([]byte("x"), 200))))
	for {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := r.Discard(200); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func BenchmarkCall(b *testing.B) {
	for _, network := range []string{"tcp", "unix"} {
		for name, transport := range map[string]module.Transport{"async": async(), "okhttp": okhttp()} {
			b.Run(network+"/"+name+"/one", func(b *testing.B) { benchmarkCall(b, network, transport, 0) })
			b.Run(network+"/"+name+"/64", func(b *testing.B) { benchmarkCall(b, network, transport, 32) })
		}
	}
}

// benchmarkCall calls alone, or with that many goroutines a processor.
func benchmarkCall(b *testing.B, network string, transport module.Transport, parallel int) {
	s := serveRaw(b, network, quick)
	c := newCaller(b, s.url(), transport)
	request := bytes.Repeat([]byte("x"), 200)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	b.ResetTimer()
	call := func() {
		if _, err := c.Call(ctx, anybody, request); err != nil {
			b.Error(err)
		}
	}
	if parallel == 0 {
		for b.Loop() {
			call()
		}
		return
	}
	b.SetParallelism(parallel)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			call()
		}
	})
}

// BenchmarkNetHTTP is the standard client on the same work, to compare.
func BenchmarkNetHTTP(b *testing.B) {
	s := serveRaw(b, "tcp", quick)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}}
	request := bytes.Repeat([]byte("x"), 200)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := client.Post(s.url(), mediaType, bytes.NewReader(request))
			if err != nil {
				b.Fatal(err)
			}
			var body bytes.Buffer
			if _, err := body.ReadFrom(r.Body); err != nil {
				b.Fatal(err)
			}
			r.Body.Close()
		}
	})
}

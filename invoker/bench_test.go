package invoker

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
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
		for _, transport := range []string{"async", "okhttp"} {
			for _, parallel := range []int{1, 32} {
				name := network + "/" + transport + "/one"
				if parallel > 1 {
					name = network + "/" + transport + "/64"
				}
				b.Run(name, func(b *testing.B) {
					s := serveRaw(b, network, quick)
					tr := async()
					if transport == "okhttp" {
						tr = okhttp()
					}
					c := newCaller(b, s.url(), tr)
					request := bytes.Repeat([]byte("x"), 200)
					ctx, cancel := context.WithCancel(b.Context())
					defer cancel()
					b.ReportAllocs()
					b.ResetTimer()
					work := func(pb *testing.PB) {
						for pb.Next() {
							if _, err := c.Call(ctx, greeter, request); err != nil {
								b.Fatal(err)
							}
						}
					}
					if parallel == 1 {
						for b.Loop() {
							if _, err := c.Call(ctx, greeter, request); err != nil {
								b.Fatal(err)
							}
						}
						return
					}
					b.SetParallelism(parallel)
					b.RunParallel(work)
				})
			}
		}
	}
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

// Command kafka runs Apache Kafka in the foreground until Ctrl-C; scripts/kafka calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/statefun-kafka/statefun-kafka/test/realkafka"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := realkafka.Options{Properties: map[string]string{}}
	flag.StringVar(&o.Version, "version", realkafka.Version4, "Kafka version")
	flag.IntVar(&o.Port, "port", 9092, "port on 127.0.0.1; 0 picks a free one")
	flag.StringVar(&o.Dir, "dir", "", "folder for data, settings and log (default: a temporary one, removed at the end)")
	flag.BoolVar(&o.Sustained, "sustained", false, "full JVM compiler and a 1 GiB heap, for benchmarks")
	flag.Func("property", "broker setting `key=value`; may be repeated", func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("%q is not key=value", s)
		}
		o.Properties[key] = value
		return nil
	})
	download := flag.Bool("download", false, "only get the jars")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; see -help", flag.Arg(0))
	}
	if *download {
		return realkafka.Download(ctx, o.Version)
	}
	b, err := realkafka.Start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("kafka=%s version=%s pid=%d log=%s\n", b.Addr(), b.Version(), b.PID(), b.LogFile())
	select {
	case <-ctx.Done():
	case <-b.Done():
		return fmt.Errorf("kafka %s ended by itself; see its log %s", b.Version(), b.LogFile())
	}
	return b.Stop()
}

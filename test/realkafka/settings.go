package realkafka

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/test/process"
)

// clusterID is any base64 form of 16 bytes; it is fixed so that a folder formatted once stays valid.
const clusterID = "c3RhdGVmdW4ta2Fma2EtMQ"

// logSettings sends warnings and worse to standard output, which goes to the broker's log file.
const logSettings = `status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
`

// properties are the broker's settings: a node that is broker and controller, internal topics that its cluster can hold,
// and no waiting that only helps where restarts are rare.
func (b *Broker) properties() map[string]string {
	var voters []string
	for _, p := range b.peers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", p.id, p.quorum))
	}
	all := map[string]string{
		"process.roles":                        "broker,controller",
		"node.id":                              fmt.Sprint(b.id),
		"controller.quorum.voters":             strings.Join(voters, ","),
		"listeners":                            fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.Addr(), b.quorum),
		"advertised.listeners":                 "PLAINTEXT://" + b.Addr(),
		"controller.listener.names":            "CONTROLLER",
		"listener.security.protocol.map":       "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                             filepath.Join(b.dir, "data"),
		"auto.create.topics.enable":            "false",
		"offsets.topic.num.partitions":         "8",
		"transaction.state.log.num.partitions": "4",
		"group.initial.rebalance.delay.ms":     "0",
		"group.min.session.timeout.ms":         "1000",
		"num.network.threads":                  "2",
		"num.io.threads":                       "4",
		"log.cleaner.dedupe.buffer.size":       "16777216", // the default takes 128 MiB of the heap at start
		"broker.heartbeat.interval.ms":         "500",
		"broker.session.timeout.ms":            "6000", // after Kill, the old registration bars the new one for this long
	}
	maps.Copy(all, b.copies())
	for _, l := range b.options.Listeners {
		all["listeners"] += fmt.Sprintf(",%s://127.0.0.1:%d", l.Name, l.Port)
		all["advertised.listeners"] += fmt.Sprintf(",%s://%s", l.Name, l.Advertised)
		all["listener.security.protocol.map"] += fmt.Sprintf(",%s:PLAINTEXT", l.Name)
	}
	maps.Copy(all, b.options.Properties)
	return all
}

// copies are the settings of replication: what is committed survives one broker, where there are three.
func (b *Broker) copies() map[string]string {
	factor, least := min(len(b.peers), mostCopies), 1
	if factor == mostCopies {
		least = mostCopies - 1
	}
	return map[string]string{
		"default.replication.factor":               fmt.Sprint(factor),
		"min.insync.replicas":                      fmt.Sprint(least),
		"offsets.topic.replication.factor":         fmt.Sprint(factor),
		"transaction.state.log.replication.factor": fmt.Sprint(factor),
		"transaction.state.log.min.isr":            fmt.Sprint(least),
		"controlled.shutdown.enable":               fmt.Sprint(len(b.peers) > 1), // alone, there is nobody to hand leadership to
	}
}

// mostCopies is the replication factor of all topics in a cluster that has as many brokers.
const mostCopies = 3

// format writes the settings, and formats the storage unless the folder already holds a formatted one.
func (b *Broker) format(ctx context.Context) error {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return fmt.Errorf("find the folder %s: %w", b.dir, err)
	}
	b.dir = dir
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("make the folder for Kafka: %w", err)
	}
	var text strings.Builder
	all := b.properties()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s=%s\n", key, all[key])
	}
	for name, content := range map[string]string{"server.properties": text.String(), "log4j2.properties": logSettings} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("write Kafka's %s: %w", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "data", "meta.properties")); err == nil {
		return nil
	}
	arguments := append(b.javaFlags(), "kafka.tools.StorageTool", "format",
		"--cluster-id", clusterID, "--config", filepath.Join(b.dir, "server.properties"))
	for _, name := range slices.Sorted(maps.Keys(b.options.Features)) {
		arguments = append(arguments, "--feature", fmt.Sprintf("%s=%d", name, b.options.Features[name]))
	}
	if out, err := exec.CommandContext(ctx, "java", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of Kafka %s in %s: %w\n%s", b.Version(), b.dir, err, out)
	}
	return nil
}

// javaFlags are the flags of every Java process of this broker, up to the main class. Measured on 2 cores: C1 alone
// with the serial collector and the class archive is up in 1.3 s, against 2.8 s for the JVM's defaults.
func (b *Broker) javaFlags() []string {
	flags := []string{
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m",
	}
	if len(b.peers) > 1 {
		flags[2] = "-Xmx256m" // there are several
	}
	if b.options.Sustained {
		flags = []string{"-XX:+UseG1GC", "-Xms1g", "-Xmx1g"}
	}
	return append(flags,
		b.install.archiveFlag(),
		"-Xlog:cds=off", "-Xlog:cds+dynamic=off", // an archive of another JVM is passed over in silence
		"-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile="+filepath.Join(b.dir, "log4j2.properties"),
		"-cp", b.install.classPath)
}

// spawn starts the broker's process with its output appended to the log file.
func (b *Broker) spawn() error {
	// Kafka itself takes a minute to give up on a port in use.
	ports := []int{b.port, b.quorum}
	for _, l := range b.options.Listeners {
		ports = append(ports, l.Port)
	}
	for _, port := range ports {
		if err := portIsFree(port); err != nil {
			return fmt.Errorf("start Kafka %s: %w", b.Version(), err)
		}
	}
	cmd := exec.Command("java", append(b.javaFlags(), "kafka.Kafka", filepath.Join(b.dir, "server.properties"))...)
	p, err := process.Start("Kafka "+b.Version(), b.LogFile(), cmd)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = p
	return nil
}

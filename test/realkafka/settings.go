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

// properties are the broker's settings: one node that is broker and controller, internal topics that one node
// can hold, and no waiting that only helps a cluster.
func (b *Broker) properties() map[string]string {
	all := map[string]string{
		"process.roles":                            "broker,controller",
		"node.id":                                  "1",
		"controller.quorum.voters":                 fmt.Sprintf("1@127.0.0.1:%d", b.quorum),
		"listeners":                                fmt.Sprintf("PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", b.Addr(), b.quorum),
		"advertised.listeners":                     "PLAINTEXT://" + b.Addr(),
		"controller.listener.names":                "CONTROLLER",
		"listener.security.protocol.map":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                 filepath.Join(b.dir, "data"),
		"auto.create.topics.enable":                "false",
		"offsets.topic.replication.factor":         "1",
		"offsets.topic.num.partitions":             "8",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"transaction.state.log.num.partitions":     "4",
		"group.initial.rebalance.delay.ms":         "0",
		"group.min.session.timeout.ms":             "1000",
		"num.network.threads":                      "2",
		"num.io.threads":                           "4",
		"log.cleaner.dedupe.buffer.size":           "16777216", // the default takes 128 MiB of the heap at start
		"controlled.shutdown.enable":               "false",    // there is nobody to hand leadership to
		"broker.heartbeat.interval.ms":             "500",
		"broker.session.timeout.ms":                "6000", // after Kill, the old registration bars the new one for this long
	}
	for _, l := range b.options.Listeners {
		all["listeners"] += fmt.Sprintf(",%s://127.0.0.1:%d", l.Name, l.Port)
		all["advertised.listeners"] += fmt.Sprintf(",%s://%s", l.Name, l.Advertised)
		all["listener.security.protocol.map"] += fmt.Sprintf(",%s:PLAINTEXT", l.Name)
	}
	maps.Copy(all, b.options.Properties)
	return all
}

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

// spawn starts the broker's process with its output appended to the log file. It is a file and no pipe, so that
// nobody who waits for this program's own output waits for Kafka too.
func (b *Broker) spawn() (*process, error) {
	log, err := os.OpenFile(b.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open Kafka's log: %w", err)
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command("java", append(b.javaFlags(), "kafka.Kafka", filepath.Join(b.dir, "server.properties"))...)
	cmd.Stdout, cmd.Stderr = log, log
	return spawn(cmd)
}

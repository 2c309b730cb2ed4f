import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The counter of the benchmark inside Kafka Streams: count per key in RocksDB with a changelog, exactly once. */
public final class CountStreams {
  private static final String STORE = "count";

  /** Puts the key's count into the first eight bytes of the value, as the benchmark's function does. */
  private static final class Counter extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
    @Override
    public void process(Record<byte[], byte[]> record) {
      KeyValueStore<byte[], Long> counts = context().getStateStore(STORE);
      Long before = counts.get(record.key());
      long now = before == null ? 1 : before + 1;
      counts.put(record.key(), now);
      ByteBuffer.wrap(record.value()).putLong(now);
      context().forward(record);
    }
  }

  private static Topology topology(String in, String out) {
    var bytes = Serdes.ByteArray();
    var store = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), bytes, Serdes.Long())
        .withCachingEnabled()
        .withLoggingEnabled(Map.of());
    return new Topology()
        .addSource("in", bytes.deserializer(), bytes.deserializer(), in)
        .addProcessor("counter", Counter::new, "in")
        .addStateStore(store, "counter")
        .addSink("out", out, bytes.serializer(), bytes.serializer(), "counter");
  }

  public static void main(String[] none) throws InterruptedException {
    Map<String, String> env = System.getenv();
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("BENCH_APP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("BENCH_BROKERS"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, env.get("BENCH_DIR"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, env.getOrDefault("COMMIT_MS", "100"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, env.getOrDefault("THREADS", "2"));
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    settings.put("auto.offset.reset", "earliest");

    KafkaStreams streams = new KafkaStreams(topology(env.get("BENCH_IN"), env.get("BENCH_OUT")), settings);
    CountDownLatch failed = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      failed.countDown();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(8))));
    streams.start();
    failed.await();
    System.exit(1);
  }
}

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.statefun.flink.core.StatefulFunctionsConfig;
import org.apache.flink.statefun.flink.core.StatefulFunctionsConfigValidator;
import org.apache.flink.statefun.flink.core.StatefulFunctionsJob;
import org.apache.flink.statefun.flink.core.spi.Modules;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/** One StateFun application with its module.yaml on a Flink cluster inside this process. */
public final class LocalStateFun {
  public static void main(String[] none) throws Exception {
    Map<String, String> env = System.getenv();
    Path dir = Path.of(env.get("BENCH_DIR")).toAbsolutePath();
    int slots = Integer.parseInt(env.getOrDefault("PARALLELISM", "2"));

    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("parallelism.default", Integer.toString(slots));
    settings.put("taskmanager.numberOfTaskSlots", Integer.toString(slots));
    settings.put("execution.checkpointing.mode", "EXACTLY_ONCE");
    settings.put("execution.checkpointing.max-concurrent-checkpoints", "1"); // StateFun refuses more
    settings.put("execution.checkpointing.interval", env.getOrDefault("CHECKPOINT_MS", "1000") + "ms");
    settings.put("state.backend", env.getOrDefault("STATE", "rocksdb"));
    settings.put("state.backend.incremental", "true");
    settings.put("state.backend.rocksdb.timer-service.factory", "ROCKSDB");
    settings.put("state.backend.rocksdb.localdir", folder(dir, "rocksdb"));
    settings.put("state.checkpoints.dir", "file://" + folder(dir, "checkpoints"));
    settings.put("io.tmp.dirs", folder(dir, "flink"));
    settings.put("taskmanager.memory.managed.size", env.getOrDefault("MANAGED", "512m")); // RocksDB's cache and write buffers
    settings.put("taskmanager.memory.network.min", "128m");
    settings.put("taskmanager.memory.network.max", "128m");
    settings.put("statefun.flink-job-name", env.get("BENCH_APP"));
    settings.put("statefun.remote.module-name", Path.of(env.get("BENCH_MODULE")).toUri().toString());
    settings.put("classloader.parent-first-patterns.additional",
        String.join(";", StatefulFunctionsConfigValidator.PARENT_FIRST_CLASSLOADER_PATTERNS));

    Configuration flink = Configuration.fromMap(settings);
    var environment = StreamExecutionEnvironment.createLocalEnvironment(slots, flink);
    environment.configure(flink, LocalStateFun.class.getClassLoader());
    StatefulFunctionsConfig statefun = StatefulFunctionsConfig.fromFlinkConfiguration(flink);
    statefun.setProvider((loader, config) -> Modules.loadFromClassPath(config).createStatefulFunctionsUniverse());
    StatefulFunctionsJob.main(environment, statefun);
  }

  private static String folder(Path dir, String name) throws Exception {
    return Files.createDirectories(dir.resolve(name)).toString();
  }
}

#!/usr/bin/env bash
# Runs Flink StateFun in one JVM on BENCH_MODULE until SIGTERM: RocksDB, exactly-once checkpoints.
# Settings: CHECKPOINT_MS (1000), STATE (rocksdb, or hashmap for the heap), PARALLELISM (2), HEAP (2g), MANAGED (512m).
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statefun-kafka-bench/statefun
opens=()
# Flink 1.16 reaches into these packages of the JDK, which Java 17 closes.
for package in java.io java.lang java.lang.invoke java.lang.reflect java.math java.net java.nio java.text java.time java.util \
  java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks sun.net.util sun.nio.ch; do
  opens+=(--add-opens "java.base/$package=ALL-UNNAMED")
done
cat > "$BENCH_DIR/log4j2.properties" <<'T'
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
T
exec java -Xms"${HEAP:-2g}" -Xmx"${HEAP:-2g}" "${opens[@]}" -Dlog4j.configurationFile="$BENCH_DIR/log4j2.properties" \
  -cp "$cache/classes:$cache/lib/*" LocalStateFun

#!/usr/bin/env bash
# Runs Kafka Streams with exactly_once_v2 on the topics BENCH_IN and BENCH_OUT until SIGTERM. It needs no function beside it.
# Settings: COMMIT_MS (100, its default under exactly once), THREADS (2), HEAP (1g).
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statefun-kafka-bench/streams
exec java -Xmx"${HEAP:-1g}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$cache/classes:$cache/lib/*" CountStreams

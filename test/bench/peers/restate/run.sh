#!/usr/bin/env bash
# Runs Restate's server, the counter service and a subscription to BENCH_IN until SIGTERM.
# Settings: PARTITIONS (24, the server's own), CONCURRENCY (20 invocations at once for each partition).
set -u
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statefun-kafka-bench/restate
free_port() { # A port that nobody has: bind one of the range that is not handed out to clients.
  local port
  while port=$((20000 + RANDOM % 10000)); (: < /dev/tcp/127.0.0.1/$port) 2>/dev/null; do :; done
  echo $port
}
node=$(free_port) admin=$(free_port) ingress=$(free_port) service=$(free_port)
cat > "$BENCH_DIR/restate.toml" <<T
cluster-name = "bench"
node-name = "bench"
base-dir = "$BENCH_DIR/restate"
listen-mode = "tcp"
bind-address = "127.0.0.1:$node"
advertised-address = "http://127.0.0.1:$node/"
default-num-partitions = ${PARTITIONS:-24}
disable-telemetry = true
log-filter = "warn"
log-disable-ansi-codes = true
worker.invoker.concurrent-invocations-limit = ${CONCURRENCY:-20}

[admin]
bind-address = "127.0.0.1:$admin"
disable-web-ui = true

[ingress]
bind-address = "127.0.0.1:$ingress"

[[ingress.kafka-clusters]]
name = "bench"
brokers = ["$BENCH_BROKERS"]
T
"$cache/service" "127.0.0.1:$service" &
"$cache/node_modules/@restatedev/restate-server-linux-x64/bin/restate-server" --no-logo --config-file "$BENCH_DIR/restate.toml" &
trap 'kill -TERM $(jobs -p) 2>/dev/null; wait; exit 0' TERM INT

# call PATH [JSON] succeeds when the admin API answers with 2xx.
call() {
  curl -sf --noproxy '*' --max-time 10 -o "$BENCH_DIR/answer.json" -H 'content-type: application/json' ${2:+-d "$2"} "http://127.0.0.1:$admin$1"
}
retry() {
  for _ in $(seq 300); do call "$@" && return; sleep 0.1; done
  echo "Restate refused $*"; kill -TERM $(jobs -p); exit 1
}
retry /health
retry /deployments "{\"uri\":\"http://127.0.0.1:$service\"}"
retry /subscriptions "{\"source\":\"kafka://bench/$BENCH_IN\",\"sink\":\"service://counter/record\",\"options\":{\"group.id\":\"$BENCH_APP\",\"auto.offset.reset\":\"earliest\"}}"
wait -n
echo "a process of Restate ended by itself"
kill -TERM $(jobs -p) 2>/dev/null
exit 1

#!/usr/bin/env bash
# Gets Restate's server from its npm package and builds the service, both into the user's cache.
# Exit code 3 and a last line that names it: a tool is missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statefun-kafka-bench/restate
for tool in npm go curl; do
  command -v $tool >/dev/null || { echo "$tool is not on this machine"; exit 3; }
done
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "a package of the server for $(uname -sm) is not known"; exit 3; }
mkdir -p "$cache"
[ -x "$cache/node_modules/@restatedev/restate-server-linux-x64/bin/restate-server" ] ||
  SCARF_ANALYTICS=false npm install --silent --ignore-scripts --prefix "$cache" @restatedev/restate-server@1.7.12
cd "$here/service"
go build -o "$cache/service" .

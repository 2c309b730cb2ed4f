#!/usr/bin/env bash
# Builds one Java peer: its published libraries by Maven, its one class by javac, both into the user's cache.
# Called by the peers' build.sh as: build-java.sh NAME FOLDER. Exit code 3 and a last line that names it: a tool is missing.
set -eu
name=$1 folder=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/statefun-kafka-bench/$name
for tool in java javac mvn; do
  command -v $tool >/dev/null || { echo "$tool is not on this machine"; exit 3; }
done
# What was built from other sources or another pom.xml is built again.
stamp=$(cat "$folder/pom.xml" "$folder"/*.java | cksum)
if [ "$(cat "$cache/stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
rm -rf "$cache"
mkdir -p "$cache/classes"
mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/lib" -DincludeScope=runtime
javac -nowarn -cp "$cache/lib/*" -d "$cache/classes" "$folder"/*.java
echo "$stamp" > "$cache/stamp"

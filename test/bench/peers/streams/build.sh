#!/usr/bin/env bash
exec "$(dirname "$0")/../build-java.sh" streams "$(dirname "$0")"

#!/usr/bin/env bash
exec "$(dirname "$0")/../build-java.sh" statefun "$(dirname "$0")"

#!/usr/bin/env bash
# What a node spends its time on while licences are issued: four nodes in a temporary folder, one of
# them watched by perf under a load of single transactions. Leaves target/profile/report.txt (functions
# by share) and callers.txt (the same with who calls them).
#
# RATE transactions a second are offered for SECONDS_OF_LOAD seconds: by default more than two cores
# commit, so that the profile is of a node that does all it can.
set -euo pipefail
cd "$(dirname "$0")/.."

RATE=${RATE:-20000}
SECONDS_OF_LOAD=${SECONDS_OF_LOAD:-20}
OUT=target/profile
# Samples a second and thread: a prime, so that nothing periodic is in step with it.
FREQUENCY=499

say() { printf 'profile: %s\n' "$*" >&2; }
if ! command -v perf >/dev/null 2>&1; then
    say "perf is not installed; on Debian: apt-get install linux-perf"
    exit 1
fi
NET=$(mktemp -d)
if ! perf record -q -o "$NET/probe" -- true >/dev/null 2>&1; then
    rm -rf "$NET"
    say "perf may not watch processes here: run as root, or set kernel.perf_event_paranoid to 1"
    exit 1
fi

SYMBOLON=$PWD/target/release/symbolon
stop() {
    "$SYMBOLON" devnet down --dir "$NET" >/dev/null 2>&1 || true
    rm -rf "$NET"
}
trap stop EXIT
# Above the ports of the documented networks.
"$SYMBOLON" devnet up --detach --dir "$NET" --base-port "${BASE_PORT:-31000}" >&2
PID=$(cat "$NET/node-1/pid")

"$SYMBOLON" --devnet "$NET" load --agencies 4 --rate "$RATE" --in-flight 256 \
    --duration "${SECONDS_OF_LOAD}s" >"$NET/load.txt" &
LOAD=$!
mkdir -p "$OUT"
# Names of functions are in the program; who calls them is followed by frame pointers where the
# compiler left them, and is less sure.
perf record -q -F "$FREQUENCY" -g -p "$PID" -o "$NET/perf.data" -- sleep "$((SECONDS_OF_LOAD / 2))"
wait "$LOAD" || say "the load ended with $?"
perf report -i "$NET/perf.data" --stdio --no-children -g none --percent-limit 0.3 \
    >"$OUT/report.txt" 2>/dev/null
perf report -i "$NET/perf.data" --stdio --no-children --percent-limit 1 >"$OUT/callers.txt" 2>/dev/null
cp "$NET/load.txt" "$OUT/load.txt"
cat "$NET/load.txt"
grep -v '^#' "$OUT/report.txt" | grep -v '^$' | head -40
say "the whole of it is in $OUT"

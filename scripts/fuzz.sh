#!/usr/bin/env bash
# Gives one of the entry functions of tests/fuzz to libFuzzer for some seconds.
#
#   scripts/fuzz.sh TARGET SECONDS      scripts/fuzz.sh --list
#
# It needs the pinned stable toolchain and a C++ compiler, no nightly and no other tool: the
# instrumentation is LLVM's own. The corpus of a target grows in target/fuzz/corpus/TARGET from run
# to run; input that breaks an assertion is left in target/fuzz/found/TARGET, and then the exit
# status is not 0. Give such a file to the next test: its bytes belong into a row of the module's
# own tests.
set -euo pipefail
cd "$(dirname "$0")/.."

WHERE=$PWD/target/fuzz
# Longest input in bytes: that of the longest seed, a founding document, with room to grow.
MAX_LEN=65536

say() { printf 'fuzz: %s\n' "$*" >&2; }

targets() { sed -n 's/.*name: "\([a-z0-9-]*\)",.*/\1/p' tests/fuzz/src/lib.rs; }

usage() {
    say "usage: scripts/fuzz.sh TARGET SECONDS, where TARGET is one of:"
    targets | sed 's/^/  /' >&2
    exit 2
}

if [ "${1:-}" = --list ]; then
    targets
    exit 0
fi
if [ $# -ne 2 ] || ! targets | grep -qxF -- "$1"; then usage; fi
case $2 in '' | *[!0-9]*) usage ;; esac
TARGET=$1
SECONDS_LONG=$2

# What libFuzzer watches: edges, values that are compared, and which code there is. Build scripts
# are not instrumented, since a target is named.
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    --cfg fuzzing
)
host=$(rustc -vV | sed -n 's/^host: //p')
# The same versions of everything as the workspace has.
cp Cargo.lock tests/fuzz/Cargo.lock
RUSTFLAGS="${flags[*]}" "${CARGO:-cargo}" build --release --manifest-path tests/fuzz/Cargo.toml \
    --target "$host" --target-dir "$WHERE"

corpus=$WHERE/corpus/$TARGET
found=$WHERE/found/$TARGET
mkdir -p "$corpus" "$found"
program=$WHERE/$host/release/fuzz
export FUZZ_TARGET=$TARGET
FUZZ_SEEDS=$corpus "$program" >/dev/null
say "$TARGET for $SECONDS_LONG seconds"
"$program" "$corpus" -max_total_time="$SECONDS_LONG" -max_len="$MAX_LEN" -artifact_prefix="$found/" \
    -print_final_stats=1 -verbosity=0

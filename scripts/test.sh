#!/usr/bin/env bash
# Everything that must hold before a change is kept, in the order in which it fails fastest.
# The last line counts: `N passed, N failed`. Exit status 0 only when nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."

ALL=(--release --workspace --locked)
export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
LOG=$(mktemp "${TMPDIR:-/tmp}/symbolon-test.XXXXXX")
LINTS=$LOG.lints
# What goes on while other steps do, by its name.
declare -A BEHIND=()
end() {
    local name
    for name in "${!BEHIND[@]}"; do kill -- "-${BEHIND[$name]}" 2>/dev/null; done
    rm -f "$LOG" "$LOG".*
}
trap end EXIT
STARTED=$SECONDS

step() { printf '\n== %s\n' "$*"; }

# A step that must pass before the ones after it mean anything.
must() {
    if ! "$@"; then
        printf '\nfailed: %s\n' "$*" >&2
        printf '0 passed, 1 failed\n'
        exit 1
    fi
}

# A check that says nothing about the ones after it: count it and go on.
FAILED_CHECKS=()
check() { if ! "$@"; then FAILED_CHECKS+=("$*"); fi; }

# Adds up the `test result:` lines of every test program that cargo ran.
count() {
    awk -v what="$1" '
        /^test result:/ { for (i = 2; i <= NF; i++) if ($i == what ";") sum += $(i - 1) }
        END { print sum + 0 }' "$LOG"
}

# Starts a step that goes on while others do, in a process group of its own, so that it ends with
# this script. What it says is kept until its turn comes.
behind() { # NAME COMMAND...
    local name=$1 && shift
    set -m
    "$@" > "$LOG.$name" 2>&1 &
    BEHIND[$name]=$!
    set +m
}
# Waits for it. Its exit status is this one's.
joined() { # NAME
    wait "${BEHIND[$1]}"
    local status=$?
    unset "BEHIND[$1]"
    cat "$LOG.$1"
    return "$status"
}

step "this machine"
must scripts/setup.sh
behind interop scripts/setup-interop.sh # it mostly waits for others
step "format"
check cargo fmt --all --check
step "build, tests included (the first one compiles RocksDB, which takes a while)"
must cargo build "${ALL[@]}" --all-targets
step "stock software for the interop tests (npm and PyPI, into target/interop)"
must joined interop

# The tests of real nodes mostly wait, these most of all: for clocks that two processes of one key
# look on for, and for nodes that come back. They have their time beside the others.
PATIENT=(recovery disaster)
patient() { cargo test "${ALL[@]}" --no-fail-fast "${PATIENT[@]/#/--test=}"; }

# All other test programs but the simulator's.
others() {
    local file name
    for file in */tests/*.rs */tests/*/main.rs; do
        name=${file%/main.rs}
        name=$(basename "$name" .rs)
        [[ " ${PATIENT[*]} " = *" $name "* ]] || printf -- '--test=%s\n' "$name"
    done
}

# What needs the processor alone has what they leave: the simulator, the deliberate breaks, which are
# built for it once more, the examples in the documentation of the code, and the lints.
for_the_processor() {
    local programs=(--test simulation --test twins --test byzantine --test write_points --test parts)
    nice -n 19 cargo test "${ALL[@]}" --no-fail-fast "${programs[@]}"
    local status=$?
    nice -n 19 scripts/mutants.sh --no-fail-fast
    status=$((status + $?))
    nice -n 19 cargo test "${ALL[@]}" --no-fail-fast --doc
    status=$((status + $?))
    nice -n 19 cargo clippy "${ALL[@]}" --all-targets --quiet -- -D warnings > "$LINTS" 2>&1 ||
        echo "clippy ended with $?" >> "$LINTS"
    return "$status"
}

step "tests of everything but the simulator, which runs meanwhile"
behind simulated for_the_processor
behind patient patient
mapfile -t OTHERS < <(others)
cargo test "${ALL[@]}" --no-fail-fast --lib --bins "${OTHERS[@]}" 2>&1 | tee "$LOG"
STATUS=${PIPESTATUS[0]}
step "tests of what comes back, and of two sites with one key"
joined patient
STATUS=$((STATUS + $?))
step "simulated networks, and deliberate breaks, each of which must be caught"
joined simulated
STATUS=$((STATUS + $?))
cat "$LOG.patient" "$LOG.simulated" >> "$LOG"
PASSED=$(count passed)
FAILED=$(count failed)
# A test program that did not build or was killed has no result line of its own.
if [ "$STATUS" -ne 0 ] && [ "$FAILED" -eq 0 ]; then FAILED=1; fi

step "lints"
lints_passed() { cat "$LINTS" && [ ! -s "$LINTS" ]; }
check lints_passed
step "the demo, on free ports"
check scripts/demo.sh --check

for failed in ${FAILED_CHECKS+"${FAILED_CHECKS[@]}"}; do printf '\nfailed: %s\n' "$failed" >&2; done
# Format, lints and the demo count as one each.
PASSED=$((PASSED + 3 - ${#FAILED_CHECKS[@]}))
FAILED=$((FAILED + ${#FAILED_CHECKS[@]}))
printf '\n%d minutes %d seconds\n' $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60))
printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
[ "$FAILED" -eq 0 ]

#!/usr/bin/env bash
# Deliberate breaks, each of which the suite must catch. They are behind the feature `mutants`, so
# they are built in a cargo call of their own. `--workspace` keeps the features of all else as they
# are: only ledger, contracts, genesis, consensus, credential, verify and the simulator are compiled
# again, beside what is shipped and not in its place.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
# Their own time is short, that of compiling them is not.
plain=()
for package in ledger contracts genesis consensus credential verify sim; do
    plain+=(--config "profile.release.package.symbolon-$package.opt-level=1")
done
exec cargo test --release --workspace --locked "${plain[@]}" --features symbolon-sim/mutants --test mutants "$@"

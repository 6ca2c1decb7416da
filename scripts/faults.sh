#!/usr/bin/env bash
# The whole set of faults of real nodes (tests/tests/faults), one family after the other. What was
# measured is left as JSON in target/faults, one file for each family; see tests/src/faults.
# Needs root for network namespaces, and nft and tc for lost packets and narrow lines, which root
# gets from Debian; what is missing is skipped, with a word. A family may be named:
# scripts/faults.sh links
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"
export SYMBOLON_FAULTS=whole
export SYMBOLON_FAULTS_OUT="$PWD/target/faults"
mkdir -p "$SYMBOLON_FAULTS_OUT"

tool() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
PACKAGES=()
tool ip && tool tc || PACKAGES+=(iproute2)
tool nft || PACKAGES+=(nftables)
if [ ${#PACKAGES[@]} -gt 0 ]; then
    line="apt-get update -q && apt-get install -y -q --no-install-recommends ${PACKAGES[*]}"
    if [ "$(id -u)" != 0 ] || ! tool apt-get || ! DEBIAN_FRONTEND=noninteractive sh -c "$line" >&2; then
        printf 'faults that need these are skipped: %s\n' "${PACKAGES[*]}" >&2
    fi
fi

cargo test --release --workspace --locked --test faults -- --test-threads=1 --nocapture "$@"
# What of the peer-to-peer network waits for its longer bounds.
if [ $# -eq 0 ]; then
    cargo test --release --workspace --locked --test network -- --ignored
fi
printf '\nthe figures are in %s\n' "$SYMBOLON_FAULTS_OUT"

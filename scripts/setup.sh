#!/usr/bin/env bash
# Makes sure that this machine can build Symbolon, and installs what is missing where it may.
#
# As root on Debian or Ubuntu it installs packages with apt-get; anywhere else it prints the one
# line to run and exits with 1. It uses the network through apt-get and rustup only, and does
# nothing at all when everything is there. It builds nothing: see the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."

# A toolchain installed a minute ago is not yet in the PATH of the shell that started us.
export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"

# The one place that names the toolchain is rust-toolchain.toml.
TOOLCHAIN=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
# What a full build with its tests takes in target/, measured and rounded up.
DISK_NEEDED_MIB=4000

say() { printf 'set-up: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# RocksDB is C++20 and is compiled from source; a compiler without its headers is no use.
cxx_works() {
    local compiler=${CXX:-c++}
    have "${compiler%% *}" && printf '#include <string>\n#include <span>\n' |
        $compiler -x c++ -std=c++20 -fsyntax-only - >/dev/null 2>&1
}

cc_works() {
    local compiler=${CC:-cc}
    have "${compiler%% *}" && printf '#include <stdlib.h>\n' |
        $compiler -x c -fsyntax-only - >/dev/null 2>&1
}

# The folders where bindgen looks for libclang (crate clang-sys), in its order. LIBCLANG_PATH,
# when it is set, replaces all of them.
libclang_folders() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        if [ -f "$LIBCLANG_PATH" ]; then dirname "$LIBCLANG_PATH"; else echo "$LIBCLANG_PATH"; fi
        return
    fi
    if have "${LLVM_CONFIG_PATH:-llvm-config}"; then
        "${LLVM_CONFIG_PATH:-llvm-config}" --libdir 2>/dev/null || true
    fi
    printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr ':' '\n'
    compgen -G '/usr/local/llvm*/lib*' || true
    compgen -G '/usr/local/lib*' || true
    compgen -G '/usr/lib*/*/lib' || true
    compgen -G '/usr/lib*/*' || true
    compgen -G '/usr/lib*' || true
}

libclang_found() {
    local folder
    while read -r folder; do
        [ -n "$folder" ] && [ -d "$folder" ] || continue
        if compgen -G "$folder/libclang.so*" >/dev/null ||
            compgen -G "$folder/libclang-[0-9]*.so*" >/dev/null; then
            return 0
        fi
    done < <(libclang_folders)
    return 1
}

# The library alone is not enough: it reads stddef.h and its like from clang's own headers, and
# without them the build fails after minutes with "'stddef.h' file not found".
clang_headers_found() {
    local folder
    if have clang && [ -f "$(clang -print-resource-dir 2>/dev/null)/include/stddef.h" ]; then
        return 0
    fi
    while read -r folder; do
        [ -n "$folder" ] || continue
        if compgen -G "$folder/clang/*/include/stddef.h" >/dev/null ||
            compgen -G "$folder/../lib/clang/*/include/stddef.h" >/dev/null; then
            return 0
        fi
    done < <(libclang_folders)
    return 1
}

rust_found() {
    if have rustup; then return 0; fi
    # Without rustup, only the very version that is pinned will do.
    have cargo && have rustc && [ "$(rustc --version | cut -d' ' -f2)" = "$TOOLCHAIN" ]
}

# Fills PACKAGES (Debian names) and MISSING (words for people).
look() {
    PACKAGES=()
    MISSING=()
    need() { MISSING+=("$1") && PACKAGES+=("$2"); }
    have git || need "git" git
    have curl || need "curl" curl
    have make || need "make" make
    if ! cc_works || ! cxx_works; then need "a C and C++20 compiler" g++; fi
    if ! libclang_found; then
        need "libclang (RocksDB's bindings are generated with it)" libclang-dev
    elif ! clang_headers_found; then
        need "clang's own headers, beside libclang" libclang-dev
    fi
    # Everything that rustup and curl fetch is fetched over TLS.
    if have apt-get && [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
        need "the certificates of public authorities" ca-certificates
    fi
}

install_packages() {
    say "missing: $(printf '%s; ' "${MISSING[@]}" | sed 's/; $//')"
    local line="apt-get update && apt-get install -y --no-install-recommends ${PACKAGES[*]}"
    if have apt-get && [ "$(id -u)" = 0 ]; then
        say "installing: ${PACKAGES[*]}"
        export DEBIAN_FRONTEND=noninteractive
        if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${PACKAGES[@]}"; } >&2; then
            say "apt-get failed (its words are above); when it is mended, run the same command again"
            exit 1
        fi
        look
        if [ ${#MISSING[@]} -eq 0 ]; then return; fi
        say "still missing after the installation: ${MISSING[*]}"
        say "if LIBCLANG_PATH, CC or CXX is set, unset it and try again"
        exit 1
    fi
    if have apt-get; then
        say "run this, then the same command again:"
        printf '  sudo sh -c "%s"\n' "$line" >&2
    else
        say "install with this system's own packages what Debian calls: ${PACKAGES[*]}"
    fi
    exit 1
}

install_rust() {
    if ! rust_found && have apt-get && [ "$(id -u)" = 0 ] && apt-get update -q >&2 &&
        apt-cache show rustup 2>/dev/null | grep -q '^Package: rustup$'; then
        say "installing rustup from this distribution"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends rustup >&2
    fi
    if ! rust_found; then
        say "missing: Rust $TOOLCHAIN; run this line, then the same command again:"
        printf '  %s\n' "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain $TOOLCHAIN -c rustfmt -c clippy" >&2
        exit 1
    fi
    have rustup || return 0
    if ! rustup toolchain list | grep -q "^$TOOLCHAIN-"; then
        say "installing Rust $TOOLCHAIN, which rust-toolchain.toml pins"
        rustup toolchain install "$TOOLCHAIN" --profile minimal -c rustfmt -c clippy >&2
    fi
    local component
    for component in rustfmt clippy; do
        rustup component list --toolchain "$TOOLCHAIN" --installed | grep -q "^$component" ||
            rustup component add --toolchain "$TOOLCHAIN" "$component" >&2
    done
}

# Told, not refused: a build that has already been made needs much less.
warn_about_disk() {
    local free
    free=$(df -Pm . | awk 'NR == 2 { print $4 }')
    if [ ! -d target/release ] && [ "${free:-0}" -lt "$DISK_NEEDED_MIB" ]; then
        say "only $free MiB are free here; a first build takes about $DISK_NEEDED_MIB MiB"
    fi
}

look
if [ ${#MISSING[@]} -gt 0 ]; then install_packages; fi
install_rust
warn_about_disk
say "this machine has all that the build needs ($(rustc --version), $(${CXX:-c++} --version | sed -n 1p))"

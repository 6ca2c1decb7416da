#!/usr/bin/env bash
# Installs what `make bench` compares with, where it may: PostgreSQL, etcd, OpenSSL, and what gives a
# network without a way out. Only as root on Debian or Ubuntu; anywhere else, and when the network is
# away, it says what is missing and goes on: the rows of those peers then say "not measured".
#
# Nothing that it installs is started, and no cluster of PostgreSQL is made: the benchmark starts its
# own in a temporary folder.
set -euo pipefail

say() { printf 'set-up of the benchmark: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

PACKAGES=()
compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null || PACKAGES+=(postgresql)
have etcd || PACKAGES+=(etcd-server)
have openssl || PACKAGES+=(openssl)
have ip || [ -x /usr/sbin/ip ] || PACKAGES+=(iproute2)
if [ ${#PACKAGES[@]} -eq 0 ]; then exit 0; fi

if ! have apt-get || [ "$(id -u)" != 0 ]; then
    say "not measured without: ${PACKAGES[*]} (Debian's names)"
    exit 0
fi

# Debian starts a service when it is installed, unless this program forbids it.
POLICY=/usr/sbin/policy-rc.d
if [ ! -e "$POLICY" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod +x "$POLICY"
    trap 'rm -f "$POLICY"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q --no-install-recommends "$@" >&2; }
say "installing: ${PACKAGES[*]}"
if ! apt-get update -q >&2; then
    say "the packages cannot be fetched now; what is missing is not measured"
    exit 0
fi
case " ${PACKAGES[*]} " in
*" postgresql "*)
    if install postgresql-common && [ -f /etc/postgresql-common/createcluster.conf ]; then
        sed -i 's/^#\?create_main_cluster.*$/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
    fi
    ;;
esac
install "${PACKAGES[@]}" || say "not all could be installed; what is missing is not measured"

#!/usr/bin/env bash
# The C++ compiler as cargo calls it (`CXX` in .cargo/config.toml): RocksDB in fewer, larger pieces.
#
# RocksDB is some 340 files, and reading the same headers for each of them is most of its build.
# Its crate calls the compiler once a file. Here the first file of a piece is compiled together
# with the others of the piece (a "unity build"), and their own calls give empty objects, so that
# the archive holds the same code. Every other call is passed on as it came.
# A CXX in the environment replaces this script. Figures: docs/adr/0006-one-build.md.
set -euo pipefail

# Files in a piece. The largest one needs 1.2 GB of memory, and two are compiled at a time.
PIECE=14
REAL=c++
# In the folder of the crate, where cargo runs its build script.
SOURCES=rocksdb_lib_sources.txt

piece_of() { # FILE: prints the files of its piece when it is the first of it; fails when not listed
    [ -f "$SOURCES" ] && awk -v file="$1" -v size=$PIECE '
        # The crate brings its own build_version.cc.
        $1 == "" || $1 ~ /build_version/ { next }
        { names[++n] = $1; if ($1 == file) at = n }
        END {
            if (!at) exit 1
            if ((at - 1) % size == 0)
                for (i = at; i < at + size && i <= n; i++) print "rocksdb/" names[i]
        }' "$SOURCES"
}

source='' object='' flags=()
args=("$@")
while [ $# -gt 0 ]; do
    case "$1" in
    -c) ;;
    -o) object=$2 && shift ;;
    rocksdb/*.cc) source=$1 ;;
    *) flags+=("$1") ;;
    esac
    shift
done

if [ -z "$source" ] || [ -z "$object" ] || ! piece=$(piece_of "${source#rocksdb/}"); then
    exec "$REAL" "${args[@]}"
fi

together=$object.piece.cc
for file in $piece; do printf '#include "%s/%s"\n' "$PWD" "$file"; done >"$together"
if "$REAL" "${flags[@]}" -c "$together" -o "$object" 2>"$object.log"; then exit; fi

# This compiler does not take them together: one by one, joined to one object.
parts=()
for file in $piece; do
    parts+=("$object.${#parts[@]}.o")
    "$REAL" "${flags[@]}" -c "$file" -o "${parts[-1]}"
done
"$REAL" -nostdlib -r "${parts[@]}" -o "$object"

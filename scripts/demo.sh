#!/usr/bin/env bash
# A licence's story over four provinces on this machine, told in plain sentences with figures
# measured on the way.
#
#   demo.sh           tells it and leaves the network running (make demo)
#   demo.sh --check   the same on free ports in a temporary folder, and stops (make demo-check)
#   demo.sh --stop    stops the network that the first form left (make demo-stop)
#
# It needs the two programs of target/release and what every Debian machine has: no jq, no python.
# What the programs said is in demo.log beside the network's data.
set -euo pipefail
cd "$(dirname "$0")/.."

SYMBOLON=target/release/symbolon
TYPE=local:driving-licence
DATA=data/driving-licences.csv
MORE_TYPE=11100000000013338W011
MORE_DATA=data/construction-safety.gb18030.csv
# How long a node may take to catch up or to show a block before the demo gives up, in seconds.
# Generous: a machine may be busy with a build.
PATIENCE=120

BASE_PORT=${SYMBOLON_BASE_PORT:-8100}
DIR=.symbolon/demo
KIND=stay # or check
LOG=
STEP="the start"
HINT= # what to say beside the next failure
NETWORK_IS_OURS=no # whether this run started it, and so must stop it on a failure
FINISHED=no

# ---- words ---------------------------------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi

chapter() { STEP=$1; printf '\n%s%s%s\n' "$BOLD" "$1" "$PLAIN"; }
tell() { printf '  %s\n' "$*"; }
log() { printf '%s\n' "$*" >>"$LOG"; }

# Milliseconds since 1970, and a span of them for people.
now() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }
span() { if [ "$1" -lt 1000 ]; then echo "$1 ms"; else echo "$(($1 / 1000)).$(($1 % 1000 / 100)) s"; fi; }

fail() {
    printf '\nThe demo failed at "%s": %s\n' "$STEP" "$*" >&2
    FINISHED=told
    exit 1
}

# Whatever ends this script before its story is told: say where, show the log, stop the network.
at_exit() {
    local code=$?
    trap - EXIT INT TERM
    if [ "$FINISHED" = yes ]; then exit "$code"; fi
    if [ "$FINISHED" = no ]; then printf '\nThe demo ended at "%s"\n' "$STEP" >&2; fi
    if [ -f "$LOG" ]; then
        printf 'What was said is in %s, and what the nodes said in %s\n' "$LOG" "$DIR/node-*/log" >&2
    fi
    if [ "$NETWORK_IS_OURS" = yes ]; then
        printf 'Stopping the network that it started.\n' >&2
        "$SYMBOLON" devnet down --dir "$DIR" >>"$LOG" 2>&1 || true
    fi
    exit 1
}

# ---- the little of JSON that our own one-line answers need ---------------------------------

# Each prints the first value of that name in the text; nothing when there is none.
text() { local re="\"$1\" *: *\"([^\"]*)\""; if [[ $2 =~ $re ]]; then echo "${BASH_REMATCH[1]}"; fi; }
# The texts of a list of that name, with commas between them.
listed() { local re="\"$1\" *: *\[([^]]*)\]"; if [[ $2 =~ $re ]]; then tr -d '"' <<<"${BASH_REMATCH[1]//,/, }"; fi; }
number() { local re="\"$1\" *: *([0-9]+)"; if [[ $2 =~ $re ]]; then echo "${BASH_REMATCH[1]}"; fi; }

# The nodes of a network, one object a line: in devnet.json only they have an "http".
nodes() {
    local object
    if [ ! -f "$1/devnet.json" ]; then return; fi
    while IFS= read -r -d '{' object || [ -n "$object" ]; do
        if [[ $object == *'"http"'* ]]; then printf '%s\n' "${object%%\}*}"; fi
    done < <(tr -d '\n' <"$1/devnet.json")
}

# One field of a province's node.
node() {
    local object
    while IFS= read -r object; do
        if [ "$(text province "$object")" = "$1" ]; then
            if [ "$2" = pid ]; then number pid "$object"; else text "$2" "$object"; fi
        fi
    done < <(nodes "$DIR")
}

# ---- the network ---------------------------------------------------------------------------

# Runs the command line and leaves its line of JSON in ANSWER and its milliseconds in TOOK.
# The first argument is the exit status that the story expects.
ask() {
    local expected=$1 begun code=0
    shift
    log "\$ symbolon $*"
    begun=$(now)
    ANSWER=$("$SYMBOLON" --json "$@" 2>"$DIR/demo.stderr") || code=$?
    TOOK=$(($(now) - begun))
    cat "$DIR/demo.stderr" >>"$LOG"
    log "$ANSWER"
    if [ "$code" -ne "$expected" ]; then
        tail -n 12 "$DIR/demo.stderr" >&2
        fail "symbolon $1 ended with status $code, where $expected was expected$HINT"
    fi
}

# The answer must contain this (a regular expression of bash).
expect() { if ! [[ $ANSWER =~ $1 ]]; then fail "the answer does not contain $1"; fi; }

get() { curl -fsS --noproxy '*' --max-time 10 "$1" 2>>"$LOG"; }
height_at() { number height "$(get "$(node "$1" http)/v1/status")"; }

# Waits until a province's node has the block of a height.
wait_for_height() {
    local deadline=$((SECONDS + PATIENCE)) height
    while true; do
        height=$(height_at "$1" || true)
        if [ "${height:-0}" -ge "$2" ]; then return; fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            fail "the node of $1 is at height ${height:-none} after $PATIENCE s, and should be at $2"
        fi
        sleep 0.1
    done
}

# A process that has ended and was not yet collected by its parent (state Z) is not a node any more.
is_node() {
    [ "$(cat "/proc/$1/comm" 2>/dev/null)" = symbolon-node ] &&
        ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null
}

# How many nodes of the network in a folder are alive.
alive() {
    local object pid count=0
    while IFS= read -r object; do
        pid=$(number pid "$object")
        if [ -n "$pid" ] && is_node "$pid"; then count=$((count + 1)); fi
    done < <(nodes "$1")
    echo "$count"
}

# Stops every node of a network's folder, also one that its devnet.json does not name (a start
# that was cut off). A folder without a network is no error.
stop_all() {
    if [ -x "$SYMBOLON" ] && [ -e "$1/genesis.toml" ]; then
        "$SYMBOLON" devnet down --dir "$1"
    fi
}

# ---- ports ---------------------------------------------------------------------------------

ports() { local i; for i in 1 2 3 4; do echo $(($1 + i)) $(($1 + 100 + i)) $(($1 + 200 + i)); done; }

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A base port with all its ports free, below the range from which the kernel gives out its own.
free_base_port() {
    local attempt base port
    for attempt in $(seq 50); do
        base=$((10000 + RANDOM % 200 * 100))
        for port in $(ports "$base"); do
            if is_taken "$port"; then continue 2; fi
        done
        echo "$base"
        return
    done
    echo "no free ports in $attempt attempts" >&2
    return 1
}

# ---- the story -----------------------------------------------------------------------------

tell_network() {
    chapter "1. Four provinces start"
    HINT="; other ports: SYMBOLON_BASE_PORT=$((BASE_PORT + 1000)) make demo"
    NETWORK_IS_OURS=yes # from here on, so that a start that is cut off leaves nothing running
    ask 0 devnet up --detach --dir "$DIR" --base-port "$BASE_PORT"
    HINT=
    if [ "$(alive "$DIR")" -ne 4 ]; then fail "$(alive "$DIR") of four nodes are running"; fi
    tell "Beijing, Shanghai, Guangdong and Sichuan each run a node on this machine. From nothing to"
    tell "four nodes that agree took $(span "$TOOK"). Any three of them can go on without the fourth."
}

tell_import() {
    local rows issued transactions
    chapter "2. Guangdong issues the driving licences of a file"
    ask 0 import "$DATA" --type "$TYPE" --out "$DIR/licences" \
        --errors "$DIR/licences.errors.csv" --devnet "$DIR" --as 44
    rows=$(number rows "$ANSWER") issued=$(number issued "$ANSWER")
    transactions=$(number transactions "$ANSWER")
    if [ "${rows:-none}" != "${issued:-none}" ] || [ "${rows:-0}" -eq 0 ]; then
        fail "${issued:-none} of ${rows:-no} rows were issued"
    fi
    tell "$DATA has $rows rows. Each was checked, signed as a credential,"
    tell "and registered on the chain: $issued licences in $transactions transactions, all committed after"
    tell "$(span "$TOOK"), which is $((issued * 1000 / TOOK)) licences a second."
    tell "The chain holds no name and no number; the credentials are in $DIR/licences."
    CREDENTIAL=$(unending_credential)
    CID=$(basename "$CREDENTIAL" .sdjwt)
}

# A credential without an end date, so that this story can still be told in some years; another one
# than the story's own, once it has one.
unending_credential() {
    local file payload
    for file in "$DIR"/licences/*.sdjwt; do
        if [ "$(basename "$file" .sdjwt)" = "${CID:-}" ]; then continue; fi
        payload=$(cut -d. -f2 <"$file" | tr '_-' '/+')
        while [ $((${#payload} % 4)) -ne 0 ]; do payload=$payload=; done
        if ! base64 -d <<<"$payload" | grep -q '"exp"'; then
            echo "$file"
            return
        fi
    done
    echo "no credential without an end date in $DIR/licences" >&2
    return 1
}

tell_verification() {
    chapter "3. One of them is shown in Beijing"
    wait_for_height 11 "$(height_at 44)"
    ask 0 verify "$CREDENTIAL" --node "$(node 11 http)"
    expect '"outcome":"valid"'
    expect '"recognised":\{[^}]*"value":false'
    tell "Licence ${CID:0:12}... is VALID: signature, issuer, dates and the status on the chain hold."
    tell "Beijing's own node said so, in $(span "$TOOK"); Guangdong was not asked."
    tell "But Beijing does not recognise Guangdong's driving licences, and the answer says that first:"
    tell "\"$(text en "$ANSWER")\""
}

tell_recognition() {
    chapter "4. Beijing decides to recognise them"
    ask 0 recognition recognise --type "$TYPE" --from-province 44 --devnet "$DIR" --as 11
    tell "One signed transaction of Beijing's, committed in $(span "$TOOK"). No other province had to agree."
    ask 0 verify "$CREDENTIAL" --node "$(node 11 http)"
    expect '"outcome":"valid"'
    expect '"recognised":\{[^}]*"value":true'
    tell "The same licence, shown again: VALID and RECOGNISED."
}

tell_qr() {
    local code=$DIR/presentation.png
    chapter "5. The holder shows it as a QR code"
    ask 0 present "$CREDENTIAL" --qr "$code"
    tell "The holder chose what is seen ($(listed disclosed "$ANSWER")), signed it for whoever scans it within"
    tell "60 seconds, and shows this: $code, a QR code of version $(number qr_version "$ANSWER")."
    if [ "$KIND" = stay ]; then "$SYMBOLON" present "$CREDENTIAL" --qr - 2>>"$LOG" || fail "no code was drawn"; fi
    wait_for_height 31 "$(height_at 44)"
    ask 0 verify "$code" --node "$(node 31 http)"
    expect '"outcome":"valid"'
    expect '"holder_bound":true'
    tell "Shanghai read the picture back: VALID, and the holder's own key signed it, in $(span "$TOOK")."
    ask 1 verify "$code" --node "$(node 31 http)"
    expect '"reason":"replayed"'
    tell "The same picture a second time at the same node, as a copy would be: INVALID, reason: replayed."
}

tell_revocation() {
    local begun
    chapter "6. Guangdong revokes it, and Sichuan knows"
    ask 0 revoke "$CID" --reason penalty --devnet "$DIR" --as 44
    tell "The revocation was committed in $(span "$TOOK")."
    begun=$(now)
    wait_for_height 51 "$(height_at 44)"
    ask 1 verify "$CREDENTIAL" --node "$(node 51 http)"
    expect '"outcome":"invalid"'
    expect '"reason":"revoked"'
    tell "Shown in Sichuan $(span $(($(now) - begun))) later: INVALID, reason: revoked. Why it was revoked is not on"
    tell "the chain, only that it is final."
}

tell_absence() {
    local invented
    chapter "7. Somebody shows a licence that never existed"
    invented=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    ask 4 status "$invented" --node "$(node 31 http)" --genesis "$DIR/genesis.toml"
    tell "Shanghai's node was asked for ${invented:0:12}... and did not just say \"not found\": it proved, in"
    tell "$(span "$TOOK"), by a path through a state that a quorum signed, that there is no such licence. The"
    tell "command line checked that proof itself, with nothing but the founding document."
}

tell_crash() {
    local victim tip block
    chapter "8. Sichuan's node is killed, and the others go on"
    victim=$(node 51 pid)
    is_node "$victim" || fail "process $victim is not Sichuan's node"
    kill -KILL "$victim"
    tell "kill -9 $victim: no warning, no clean end."
    ask 0 import "$MORE_DATA" --type "$MORE_TYPE" --out "$DIR/certificates" \
        --errors "$DIR/certificates.errors.csv" --devnet "$DIR" --as 44
    tell "Without it, Guangdong issued $(number issued "$ANSWER") construction certificates (from a file in GB18030)"
    tell "in $(span "$TOOK"). Whenever it is Sichuan's turn to propose, the others wait a moment and pass it over."

    chapter "9. Sichuan comes back"
    tip=$(height_at 44)
    ask 0 devnet start --dir "$DIR" --node 4
    local begun
    begun=$(now)
    wait_for_height 51 "$tip"
    block=$(get "$(node 44 http)/v1/blocks/$tip")
    if [ "$block" != "$(get "$(node 51 http)/v1/blocks/$tip")" ]; then
        fail "Guangdong and Sichuan have different blocks at height $tip"
    fi
    tell "It was up again after $(span "$TOOK"), fetched what it had missed from the others and executed it;"
    tell "$(span $(($(now) - begun))) later it was at height $tip too, with the same block and the same state root:"
    tell "$(text state_root "$block")"
}

# Every name, number and address of the two files that were imported, one a line.
personal() {
    {
        tail -n +2 "$DATA" | cut -d, -f1,4,10,11
        iconv -f GB18030 -t UTF-8 "$MORE_DATA" | tail -n +2 | cut -d, -f1,3,6
    } | tr -d '\r' | tr ',' '\n' | sed '/^$/d'
}

tell_privacy() {
    local people=$DIR/demo.people count found
    chapter "10. What the nodes keep of people"
    personal >"$people"
    count=$(wc -l <"$people")
    # As bytes: a database is no text. It removes files while it runs, which is no fault.
    if ! LC_ALL=C grep -qaFf "$people" "$DATA"; then fail "the search finds nothing where it must"; fi
    found=$(LC_ALL=C grep -rlasFf "$people" "$DIR"/node-* || true)
    rm "$people"
    if [ -n "$found" ]; then fail "somebody's name, number or address is in $found"; fi
    tell "Every file of the four nodes, with their databases and logs, was searched for the $count names,"
    tell "numbers and addresses of the licences above. There is none: the chain has digests, and the"
    tell "credentials are with their holders."
}

tell_figures() {
    local object pid kib most=0 disk
    chapter "What it took"
    while IFS= read -r object; do
        pid=$(number pid "$object")
        kib=$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status")
        if [ "$kib" -gt "$most" ]; then most=$kib; fi
    done < <(nodes "$DIR")
    disk=$(du -sk "$(node 44 data_dir)" | cut -f1)
    tell "$(height_at 11) blocks; at most $((most / 1024)) MiB of memory and $((disk / 1024)) MiB of disk per node; $SECONDS s in all."
}

tell_story() {
    tell_network
    tell_import
    tell_verification
    tell_recognition
    tell_qr
    tell_revocation
    tell_absence
    tell_crash
    tell_privacy
    tell_figures
}

# Another licence than the story's, with its holder's key, under names that a page can print. It can be
# shown like any other.
leave_a_licence() {
    local credential
    credential=$(unending_credential)
    cp "$credential" "$DIR/try.sdjwt"
    cp -p "${credential%.sdjwt}.holder.pem" "$DIR/try.holder.pem" # nobody else may read it
    ask 0 present "$DIR/try.sdjwt" --qr "$DIR/try.png"
    ask 0 verify "$DIR/try.png" --node "$(node 11 http)"
    expect '"outcome" *: *"valid"'
}

tell_addresses() {
    local object
    while IFS= read -r object; do
        tell "$(text province "$object")  $(text http "$object")/docs"
    done < <(nodes "$DIR")
}

# ---- the three ways to call it -------------------------------------------------------------

begin() {
    mkdir -p "$DIR"
    LOG=$DIR/demo.log
    : >"$LOG"
    trap at_exit EXIT
    trap 'exit 130' INT TERM
    if [ ! -x "$SYMBOLON" ] || [ ! -x target/release/symbolon-node ]; then
        fail "there is no $SYMBOLON with its symbolon-node; run: make build"
    fi
}

stay() {
    local running
    running=$(alive "$DIR")
    if [ "$running" -gt 0 ]; then
        echo "The demo is running already, with $running nodes:"
        tell_addresses
        tell_commands
        return
    fi
    stop_all "$DIR" >/dev/null # a start that was cut off may have left nodes without a devnet.json
    rm -rf "$DIR"              # what an earlier demo left; nothing else lives there
    begin
    tell_story
    leave_a_licence
    FINISHED=yes
    chapter "It stays up"
    tell_addresses
    tell_commands
}

tell_commands() {
    local try=$DIR/try.sdjwt
    cat <<END

  Stop it with:  make demo-stop

  To try (\`suspend\` changes what \`verify\` says, \`resume\` takes it back):
    $SYMBOLON verify $try --node $(node 11 http)
    $SYMBOLON history $try --node $(node 31 http)
    $SYMBOLON present $try --qr -
    $SYMBOLON suspend $try --devnet $DIR --as 44
    $SYMBOLON resume $try --devnet $DIR --as 44
    $SYMBOLON doctor --node $(node 51 http)
END
}

check() {
    KIND=check
    BASE_PORT=$(free_base_port)
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/symbolon-demo.XXXXXX")
    begin
    tell_story
    leave_a_licence
    chapter "It stops"
    ask 0 devnet down --dir "$DIR"
    if [ "$(alive "$DIR")" -ne 0 ]; then fail "$(alive "$DIR") nodes are still running"; fi
    NETWORK_IS_OURS=no
    FINISHED=yes
    rm -rf "$DIR"
    tell "All four nodes have stopped, and nothing is left behind. The demo holds."
}

stop() {
    if [ "$(alive "$DIR")" -eq 0 ]; then
        stop_all "$DIR" # nodes of a start that was cut off, which no devnet.json names
        echo "No demo is running."
        return
    fi
    stop_all "$DIR"
    echo "The demo has stopped; its data stays in $DIR until the next one."
}

case "${1:-}" in
    "") stay ;;
    --check) check ;;
    --stop) stop ;;
    *) echo "usage: scripts/demo.sh [--check | --stop]" >&2; exit 2 ;;
esac

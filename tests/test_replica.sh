#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# examples/replica: a primary and a follower, each with its own CMK.  P and F are their directories
# (F is made of a backup), p.key and f.key their keys.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests
# shellcheck disable=SC2034 # launch sets them
primary='' follower='' proxy=''

# --- Processes: primary.out and so on hold what they said, from the beginning of the suite.

launch() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$name.out" 2>>"$name.err" &
    children+=("$!")
    printf -v "$name" %s "$!"
}
start_primary() {
    launch primary replica primary P --cmk file:p.key --follower-cmk file:f.key \
        --listen unix:p.sock --check-key 100 "$@"
}
start_follower() { # SOCKET
    launch follower replica follow F --cmk file:f.key --connect "unix:${1:-p.sock}" --check-key 100
}
start_proxy() {
    mark
    launch proxy python3 "$tests/replica_proxy.py" proxy.sock p.sock recorded control
    holds within 30 says ready proxy.out
}
# stop NAME: in good order.
stop() {
    kill "${!1}" 2>/dev/null
    wait "${!1}"
    holds test $? -eq 0
}
kill_now() { kill -9 "${!1}" && wait "${!1}" 2>/dev/null; }

# within SECONDS COMMAND...: it succeeds before that.
within() {
    local tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}
# said COUNT WORDS FILE: so many lines at least hold the words.
said() { [ "$(grep -cF -e "$2" "$3")" -ge "$1" ]; }
# says WORDS NAME: a line more than when `mark` was called.
mark() { for file in {primary,follower,proxy}.{out,err}; do touch "$file"; wc -l <"$file" >"$file.mark"; done; }
says() { tail -n +$(($(cat "$2.mark") + 1)) "$2" | grep -qE -e "$1"; }

sum() { # DIR KEY
    replica sum "$1" --cmk "file:$2"
}
lsn() { sum "$@" | sed -n 's/^lsn=\([0-9]*\) .*/\1/p'; }
# Reached and equal, up to the last checkpoint of either.
are_equal() { [ -n "$(sum P p.key)" ] && [ "$(sum P p.key)" = "$(sum F f.key)" ] && [ "$(lsn P p.key)" -ge "${1:-1}" ]; }
converges() { holds within 20 are_equal "$@"; }
passes() { [ "$(lsn "$1" "$2")" -gt "$3" ]; } # DIR KEY LSN

done_by_replica() { ok replica "$@"; }
refused_by_replica() { # ENVOL_E_NAME WORDS...
    local name=$1
    shift
    run replica "$@"
    if [ "$status" -eq 1 ] && tail -n 1 err | grep -q "^replica: .*($name)\$"; then
        good
    else
        bad "exit $status, not 1 and $name: replica $*"
    fi
}
gives() { # TEXT DIR KEY PAGE
    done_by_replica get "$2" "$4" --cmk "file:$3"
    holds test "$(cat out)" = "$1"
}

# --- The parts

test_usage() {
    local words
    for words in '' 'create' 'put P 1' 'get P' 'explode P' 'sum P extra' 'primary P' \
        'primary P --listen unix:s' 'follow F' 'follow F --connect unix:' 'follow F --connect tcp:host' 'follow F --connect p.sock' 'backup B' 'recover R' 'recover R --until 3' \
        'recover R --from B --log-of P' 'recover R --from B --until 0' 'sum P --check-key 0' \
        'sum P --load many'; do
        # shellcheck disable=SC2086 # words
        run replica $words --cmk file:p.key
        holds test "$status" -eq 2
    done
    run replica sum P
    holds test "$status" -eq 2
    ok replica --help
    holds grep -q '^ *recover DIR' out
}

test_alone() {
    done_by_replica create P --cmk file:p.key
    refused_by_replica ENVOL_E_IO create P --cmk file:p.key
    done_by_replica put P 300 'before it was followed' --cmk file:p.key
    ok envol info P/volume --cmk file:p.key --json
    holds json out 'j["log"] == {"closed": True, "lowest_epoch": 1}'
    ok envol info P/volume --cmk file:p.key --ledger
    holds grep -q '^log          closed; needs DEKs from epoch 1 on$' out
    holds grep -q 'epoch 1, the current one: .*, the log; is needed$' out
    gives 'before it was followed' P p.key 300
    refused_by_replica ENVOL_E_UNWRITTEN get P 7 --cmk file:p.key
    refused_by_replica ENVOL_E_RANGE get P 7000 --cmk file:p.key
    refused_by_replica ENVOL_E_RANGE put P 300000000 text --cmk file:p.key
    refused_by_replica ENVOL_E_KEY_NOT_FOUND get P 300 --cmk file:f.key
    start_primary --load 100000
    holds within 30 passes P p.key 200
    refused_by_replica ENVOL_E_BUSY put P 1 text --cmk file:p.key
    kill_now primary
    done_by_replica put P 301 'after a kill' --cmk file:p.key
    gives 'before it was followed' P p.key 300
    gives 'after a kill' P p.key 301
}

test_converge() {
    start_primary --load 800
    start_follower
    converges 800
    gives 'before it was followed' F f.key 300
    holds said 1 'sent a backup' primary.out
    # Each has its own DEK, and neither key opens the other's.
    refused_by_replica ENVOL_E_KEY_NOT_FOUND get F 300 --cmk file:p.key
    lacks test "$(envol info P/volume --json | grep uuid)" = "$(envol info F/volume --json | grep uuid)"
    stop follower
    stop primary
    done_by_replica put P 300 'while nobody followed' --cmk file:p.key
    # Over TCP, and from where it was.
    mark
    launch primary replica primary P --cmk file:p.key --follower-cmk file:f.key \
        --listen tcp:127.0.0.1:0 --check-key 100
    holds within 30 says '^listening at tcp:' primary.out
    launch follower replica follow F --cmk file:f.key --check-key 100 \
        --connect "$(sed -n 's/^listening at \(tcp:.*\)/\1/p' primary.out | tail -n 1)"
    converges
    gives 'while nobody followed' F f.key 300
    holds says 'a follower is at LSN' primary.out
    lacks says 'sent a backup' primary.out
    stop primary
    stop follower
}

# What passes between them, and what they keep, tells nothing; what is planted there is found.
test_canary() {
    rm -rf F
    start_proxy
    start_primary --load 300
    start_follower proxy.sock
    converges
    stop primary
    start_primary --load 300
    converges
    stop follower
    stop primary
    kill_now proxy
    holds test "$(stat -c %s recorded)" -gt 800000
    cp recorded planted
    echo canary >>planted
    lacks grep -aqF -e canary -e 'before it was' recorded
    lacks grep -raqF -e canary -e 'before it was' P F
    holds grep -aqF canary planted
    holds python3 - <<'PYTHON'
import subprocess
secrets = [open(name, "rb").read()[56:88] for name in ("p.key", "f.key")]
secrets += [bytes.fromhex(subprocess.run(["reveal_dek", volume, key], capture_output=True,
            check=True).stdout.decode()) for volume, key in (("P/volume", "p.key"), ("F/volume", "f.key"))]
recorded = open("recorded", "rb").read()
raise SystemExit(any(secret in recorded for secret in secrets))
PYTHON
}

# damaged HOW DIRECTION OFFSET ENVOL_E_NAME...: the side that reads it says so, and goes on.
damaged() {
    local before names side=follower
    names=$(IFS='|'; echo "${*:4}")
    [ "$2" = down ] || side=primary
    before=$(lsn F f.key 2>/dev/null)
    mark
    echo "$1 $2 $3" >control
    if ! within 30 says "^$1 $2 $3" proxy.out; then bad "no $1 $2 $3"; fi
    holds within 15 says "\\(($names)\\)" "$side.err"
    holds within 15 passes F f.key "${before:-0}"
}

# 65536 bytes of the session's header, 144 of the run's, then sealed messages; upwards 32 and 144.
test_damage() {
    rm -rf F
    start_proxy
    start_primary --load 10000000
    for what in 'flip down 65780' 'drop down 66000' 'swap down late'; do # in a backup
        rm -rf F
        mark
        echo "$what" >control
        start_follower proxy.sock
        holds within 30 says "^$what" proxy.out
        holds within 15 says ENVOL_E_CORRUPT follower.err
        holds within 15 test -e F
        stop follower
    done
    start_follower proxy.sock
    holds within 15 passes F f.key 1
    damaged flip down 65546 ENVOL_E_CORRUPT ENVOL_E_FORMAT
    for how in flip drop double swap; do damaged $how down late ENVOL_E_CORRUPT; done
    # Upwards: magic, the version, the UUID that the follower wants to see again, run, messages.
    damaged flip up 3 ENVOL_E_FORMAT
    damaged flip up 8 ENVOL_E_VERSION
    mark
    echo 'flip up 20' >control
    holds within 15 says ENVOL_E_POLICY follower.err
    damaged drop up 60 ENVOL_E_CORRUPT ENVOL_E_FORMAT
    damaged swap up 300 ENVOL_E_CORRUPT
    stop primary
    start_primary
    converges
    holds said 1 'restored a backup' follower.out
    stop follower
    stop primary
    kill_now proxy
}

# A session of yesterday, played again to the follower, is another one's.
test_replay() {
    cat >player.py <<'PYTHON'
import socket, sys
data = open("recorded", "rb").read()
listener = socket.socket(socket.AF_UNIX)
listener.bind("played.sock")
listener.listen()
connection, _ = listener.accept()
connection.recv(32)
connection.sendall(data)
connection.recv(65536)
PYTHON
    : >recorded
    mark
    start_primary
    holds within 30 says '^primary at' primary.out
    start_proxy
    done_by_replica backup backup.0 --cmk file:f.key --connect unix:proxy.sock
    kill_now proxy
    stop primary
    # The proxy recorded what the follower said too: 32 bytes and 144, then its greeting.
    python3 - <<'PYTHON'
data = open("recorded", "rb").read()
open("recorded", "wb").write(data[32:])
PYTHON
    launch proxy python3 player.py
    within 10 test -S played.sock
    refused_by_replica ENVOL_E_POLICY backup backup.1 --cmk file:f.key --connect unix:played.sock
    lacks test -e backup.1
    wait "$proxy"
}

# A CMK that is disabled stops its own side, and no other.
test_keys() {
    local before
    start_primary --load 10000000
    start_follower
    within 30 passes F f.key "$(lsn P p.key)"
    mark
    ok envol key disable f.key
    holds within 30 says 'ENVOL_E_KEY_(REVOKED|DISABLED)' follower.err
    refused_by_replica ENVOL_E_KEY_DISABLED get F 300 --cmk file:f.key
    before=$(lsn P p.key)
    holds within 30 passes P p.key $((before + 200))
    ok envol key enable f.key
    holds within 30 passes F f.key "$before"
    mark
    ok envol key disable p.key
    holds within 30 says '^dark: ' primary.out
    refused_by_replica ENVOL_E_KEY_DISABLED get P 300 --cmk file:p.key
    gives 'while nobody followed' F f.key 300
    # Who is told that nobody is there has taken all that was sent.
    holds within 30 says 'ENVOL_E_(IO|TRUNCATED)' follower.err
    before=$(lsn F f.key)
    sleep 0.3
    holds test "$(lsn F f.key)" -eq "$before"
    ok envol key enable p.key
    holds within 30 passes F f.key $((before + 100))
    # Both at once, and then a start in the dark.
    ok envol key disable p.key
    ok envol key disable f.key
    holds within 30 says '^dark: ' primary.out
    stop primary
    stop follower
    mark
    start_primary
    start_follower
    holds within 30 says '^dark: ' primary.out
    ok envol key enable p.key
    ok envol key enable f.key
    converges
    lacks says 'sent a backup' primary.out
    # A stranger's key: nothing is sent that it could open.
    ok envol keygen other.key
    refused_by_replica ENVOL_E_KEY_NOT_FOUND backup stolen --cmk file:other.key --connect unix:p.sock
    lacks test -e stolen
    stop follower
    stop primary
}

# The log is gone from where the follower is: it begins again.
test_truncated() {
    mark
    start_primary --load 1500 --keep 0
    holds within 20 says '^loaded' primary.out
    start_follower
    converges
    holds says '^sent a backup' primary.out
    holds within 30 says '^restored a backup' follower.out
    lacks test -e F.incoming
    stop follower
    stop primary
}

test_point_in_time() {
    local at wanted
    mark
    start_primary
    holds within 30 says '^primary at' primary.out
    done_by_replica backup backup.1 --cmk file:f.key --connect unix:p.sock
    refused_by_replica ENVOL_E_IO backup backup.1 --cmk file:f.key --connect unix:p.sock
    stop primary
    mark
    start_primary --load 300 --keep 100000
    holds within 30 says '^loaded' primary.out
    stop primary
    wanted=$(sum P p.key) at=$(lsn P p.key)
    mark
    start_primary --load 400 --keep 100000
    holds within 30 says '^loaded' primary.out
    local recover=(--cmk file:f.key --from backup.1 --log-of P --log-cmk file:p.key)
    # While the primary runs.
    done_by_replica recover R "${recover[@]}" --until "$at"
    holds test "$(sum R f.key)" = "$wanted"
    stop primary
    done_by_replica recover R.all "${recover[@]}"
    holds test "$(sum R.all f.key)" = "$(sum P p.key)"
    refused_by_replica ENVOL_E_STATE recover R "${recover[@]}"
    refused_by_replica ENVOL_E_RANGE recover R2 "${recover[@]}" --until 1
    refused_by_replica ENVOL_E_RANGE recover R2 "${recover[@]}" --until 10000000
    head -c 300000 backup.1 >backup.cut
    refused_by_replica ENVOL_E_CORRUPT recover R2 --cmk file:f.key --from backup.cut
    flip backup.1 300000
    refused_by_replica ENVOL_E_CORRUPT recover R2 "${recover[@]}"
    lacks test -e R2
    # It is a primary, and counts in a history of its own.
    done_by_replica put R 5 'another future' --cmk file:f.key
}

# The follower becomes the primary; the old one, whose last moments went another way, follows it.
test_failover() {
    start_primary
    start_follower
    converges
    done_by_replica backup backup.2 --cmk file:f.key --connect unix:p.sock
    kill_now primary
    stop follower
    done_by_replica put P 300 'what nobody else knows' --cmk file:p.key
    done_by_replica put F 300 'the new truth' --cmk file:f.key
    # What the LSNs of one say is not what those of the other do.
    refused_by_replica ENVOL_E_STATE recover R2 --cmk file:f.key --from backup.2 --log-of F --log-cmk file:f.key
    lacks test -e R2
    mark
    launch primary replica primary F --cmk file:f.key --follower-cmk file:p.key \
        --listen unix:p.sock --load 50
    launch follower replica follow P --cmk file:p.key --connect unix:p.sock
    holds within 30 says '^loaded' primary.out
    converges
    holds says '^sent a backup' primary.out
    gives 'the new truth' P p.key 300
    stop follower
    stop primary
}

test_kills() {
    local seed=${ENVOL_TEST_SEED:-$RANDOM}
    echo "ENVOL_TEST_SEED=$seed"
    rm -rf P F
    done_by_replica create P --cmk file:p.key
    run timeout 100 python3 "$tests/replica_kills.py" "$seed" 30
    if [ "$status" -eq 0 ]; then good; else bad kills; fi
    cat out
}

mkfifo control
ok envol keygen p.key
ok envol keygen f.key
run_parts usage alone converge canary damage replay keys truncated point_in_time failover kills

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs the suites of a build, published vectors, and (with "gates") the scripts that guard the tree.
#
# usage: BUILD=build tests/run.sh suites [gates]
# Everything run here ends with a line "[NAME: ]N passed, N failed" and may print "SKIP what: why".
# JOBS: how many at once; as many as processors.  WRAPPER=valgrind: suites run under
# memcheck, those in VALGRIND_SKIP (names without test_) do not.  ONLY: those that run, in the same
# way, NAME:CASE for one test case of a suite; all where it is empty.
# PROVIDERS: the provider libraries that the build has.  V=1 shows what each printed.
set -uo pipefail

BUILD=${BUILD:-build}
JOBS=${JOBS:-$(nproc)}
WRAPPER=${WRAPPER:-}
VALGRIND_SKIP=${VALGRIND_SKIP:-}
ONLY=${ONLY:-}
# Tests change their directory: what they look for in the build is named from the root.
ENVOL_BUILD=$(realpath -m "$BUILD")
PROVIDERS=${PROVIDERS:-}
export BUILD ENVOL_BUILD PROVIDERS PYTHONDONTWRITEBYTECODE=1
logs=$BUILD/tests/log
started=$SECONDS

rm -rf "$logs" "$BUILD/tests/covered" "$BUILD/tests/tmp"
mkdir -p "$logs" "$BUILD/tests/covered" "$BUILD/tests/tmp"

# A thread sanitizer that is older than the kernel's address layout needs it fixed.
fixed_layout=()
if [ -x "$BUILD/tests/kat" ] && ! "$BUILD/tests/kat" </dev/null >/dev/null 2>"$logs/.layout" &&
    grep -q 'unexpected memory mapping' "$logs/.layout"; then
    fixed_layout=(setarch -R)
fi

# run_one NAME COMMAND...: output to a log, exit status and seconds beside it.
run_one() {
    local name=$1 begun=$EPOCHREALTIME status=0
    shift
    "$@" </dev/null >"$logs/$name.log" 2>&1 || status=$?
    echo "$status $(((${EPOCHREALTIME/./} - ${begun/./}) / 100000))" >"$logs/$name.status"
}

run_suite() {
    local program=$1 command=("${fixed_layout[@]}" "$1") name=${1##*/test_}
    if [ "$WRAPPER" = valgrind ]; then
        command=(valgrind -q --fair-sched=try --error-exitcode=99 --leak-check=full
            --errors-for-leak-kinds=definite "$program")
    fi
    if [[ " $ONLY " =~ \ "$name":([^ ]+)\  ]]; then
        command=(env CK_RUN_CASE="${BASH_REMATCH[1]}" "${command[@]}")
    fi
    run_one "${program##*/}" "${command[@]}"
}

vectors() {
    python3 tests/nist_vectors.py | "${fixed_layout[@]}" "$BUILD/tests/kat"
}

passed=0 failed=0 skipped=0
report() {
    local name=$1 log=$logs/$1.log status tenths line p=0 f=0 s verdict=ok
    read -r status tenths <"$logs/$name.status"
    s=$(grep -c '^SKIP ' "$log")
    line=$(grep -E '(^|: )[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    else
        f=1 # it died before it could say
    fi
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ "$f" -ne 0 ]; then verdict=FAIL; fi
    printf '%-4s %-28s %6d passed %4d failed %3d skipped %5d.%d s\n' "$verdict" "$name" \
        "$p" "$f" "$s" $((tenths / 10)) $((tenths % 10))
    if [ "$verdict" = FAIL ] || [ -n "${V:-}" ]; then
        sed 's/^/     | /' "$log" | tail -n 300
        echo "     | exit status $status"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# Starts at most JOBS at a time and reports in the order of the list, as results come in.
run_all() {
    local runner=$1 name next=0 reported=0
    shift
    local items=("$@")
    while [ "$reported" -lt $# ]; do
        while [ "$next" -lt $# ] && [ "$(jobs -pr | wc -l)" -lt "$JOBS" ]; do
            "$runner" "${items[next]}" &
            next=$((next + 1))
        done
        name=${items[reported]##*/}
        if [ -s "$logs/$name.status" ]; then
            report "$name"
            reported=$((reported + 1))
        elif [ "$(jobs -pr | wc -l)" -gt 0 ]; then
            wait -n 2>/dev/null
        fi
    done
}

run_gate() {
    case $1 in
    *.py) run_one "${1##*/}" python3 "$1" ;;
    *) run_one "${1##*/}" bash "$1" ;;
    esac
}

# absent_library NAME: the provider library that the suite NAME is about, if this build has it not.
absent_library() {
    local map library
    for map in lib/*/libenvol-*.map; do
        library=${map##*/libenvol-} library=${library%.map}
        if [[ $1 =~ ^$library(_|$) && " $PROVIDERS " != *" $library "* ]]; then
            echo "libenvol-$library"
        fi
    done
}

suites=()
for source in tests/test_*.c; do
    name=${source##*/test_} name=${name%.c}
    if [ -n "$ONLY" ] && [[ ! " $ONLY " =~ \ "$name"(:[^ ]*)?\  ]]; then
        continue
    fi
    absent=$(absent_library "$name")
    if [ -n "$absent" ]; then
        echo "SKIP test_$name: this build has no $absent"
        skipped=$((skipped + 1))
    elif [ "$WRAPPER" = valgrind ] && [[ " $VALGRIND_SKIP " == *" $name "* ]]; then
        echo "SKIP test_$name: not under valgrind (VALGRIND_SKIP)"
        skipped=$((skipped + 1))
    elif [ -f "$source" ]; then
        suites+=("$BUILD/tests/test_$name")
    fi
done
if [ "$WRAPPER" = valgrind ]; then
    export ENVOL_TEST_TOOL=valgrind
fi

for what in "$@"; do
    case $what in
    suites)
        run_all run_suite "${suites[@]}"
        if [ -f tests/nist_vectors.py ] && [ -x "$BUILD/tests/kat" ] && [ -z "$WRAPPER" ]; then
            run_one nist_vectors vectors
            report nist_vectors
        fi
        ;;
    gates)
        gates=()
        for gate in tests/check_*.sh tests/check_*.py tests/test_*.sh tests/test_*.py; do
            # Last, as it reads what all others recorded.
            [ ! -f "$gate" ] || [ "$gate" = tests/check_statuses.py ] || gates+=("$gate")
        done
        run_all run_gate "${gates[@]}"
        if [ -f tests/check_statuses.py ]; then run_all run_gate tests/check_statuses.py; fi
        ;;
    esac
done

rm -rf "$BUILD/tests/tmp"
cat "$logs"/*.log 2>/dev/null | grep '^SKIP ' | sort | uniq -c
echo "time: $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

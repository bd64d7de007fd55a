#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The benchmark measures what it says, in the form it says: a run too short for the figures to mean
# anything, of which names, sizes and numbers are checked.
set -uo pipefail
BUILD=${BUILD:-build}
bench=$BUILD/tests/bench
passed=0 failed=0
work=$(mktemp -d "$BUILD/tests/test_bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
short=(--rounds 2 --slice-us 20)

# check WHAT COMMAND...: the command succeeds.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$what"
    fi
}
count() { awk -F'\t' -v name="$1" '$1 ~ name' "$work/tsv" | wc -l; }
has() { [ "$(count "^$1\$")" -eq "$2" ]; }

status=0
"$bench" --tsv --save "$work/saved" --dir "$work" "${short[@]}" >"$work/tsv" 2>"$work/said" ||
    status=$?
check "it ends with status $status: $(cat "$work/said")" [ "$status" -eq 0 ]
grep '^SKIP ' "$work/said"
check "it says more than what it skips: $(cat "$work/said")" \
    [ -z "$(grep -v '^SKIP bench ' "$work/said")" ]
check 'files stay behind' [ "$(find "$work" -type d | wc -l)" -eq 1 ]
check 'the saved file differs' cmp "$work/tsv" "$work/saved"

# A number is made of digits, and above zero; so it is finite too.
awk -F'\t' '
    function positive(text) { return text ~ /^[0-9]+(\.[0-9]+)?(e-[0-9]+)?$/ && text + 0 > 0 }
    NF != 5 || $1 !~ /^[a-z0-9]+(-[a-z0-9]+)*(\/[a-z0-9-]+)?$/ || $2 !~ /^[1-9][0-9]*$/ ||
    !positive($3) || !positive($4) || ($5 != "-" && !positive($5)) { print "not a row: " $0 }
    seen[$1, $2]++ { print "twice: " $1 " " $2 }
    $2 == 4096 && $1 !~ /^(limit-clock$|device\/)/ { sized[$1] }
    END {
        for (name in sized)
            if (!((name, 8192) in seen && (name, 16384) in seen && (name, 65536) in seen))
                print "not of all sizes: " name
    }
    ' "$work/tsv" >"$work/wrong"
check "$(cat "$work/wrong")" [ ! -s "$work/wrong" ]
for name in memcpy {seal,unseal}-gcm{,-batch16} {read,write}{1,16}-gcm raw-{read,write}{1,16}; do
    check "$name is missing" has "$name" 4
done
for name in getrandom open {raw-copy,rotate,read-alone,read-beside-{rotate,other}}-gcm; do
    check "$name is missing" has "$name" 1
done
for name in {raw,log}-append{,16}-{256,8k} log-commit{1,4}; do
    check "$name is missing" has "$name" 1
done
# Kernels that this machine ought to have, by what the system says of it.
flags=" $(sed -n 's/^flags[^:]*: *//p' /proc/cpuinfo | head -n 1) "
flagged() {
    local flag
    for flag; do [[ $flags == *" $flag "* ]] || return 1; done
}
kernels=()
if flagged aes pclmulqdq sse4_1; then kernels+=(aesni); fi
if flagged aes pclmulqdq vaes vpclmulqdq avx2; then kernels+=(vaes256); fi
if flagged vaes vpclmulqdq avx2 avx512f avx512bw avx512dq avx512vl; then kernels+=(vaes512); fi
for kernel in "${kernels[@]}"; do
    if [ "$kernel" != vaes256 ]; then
        check "limit/$kernel is missing" [ "$(count "^limit/$kernel\$")" -gt 0 ]
    fi
done
if grep -q 'ENVOL_WITH_LIBCRYPTO=1' "$BUILD/packages.cflags"; then kernels+=(libcrypto); fi
for kernel in "${kernels[@]}"; do
    for name in {xts,gcm}-{enc,dec} gcm-dec-newsalt; do
        check "$name/$kernel is missing" has "$name/$kernel" 4
    done
done
if flagged aes pclmulqdq sse4_1; then
    check 'gcm-enc/libsodium is missing' has gcm-enc/libsodium 4
    check 'gcm-dec/libsodium is missing' has gcm-dec/libsodium 4
fi
# A build without libcrypto may have no XTS.
if [ ${#kernels[@]} -gt 0 ]; then
    for name in {raw-copy,rotate,read-alone,read-beside-{rotate,other}}-xts; do
        check "$name is missing" has "$name" 1
    done
    for name in {seal,unseal}-xts{,-batch16} {read,write}{1,16}-xts; do
        check "$name is missing" has "$name" 4
    done
fi
measured=$(awk -F'\t' '$1 ~ /^gcm-enc\// && $2 == 4096' "$work/tsv")
check 'no kernel was measured' [ -n "$measured" ]
check 'xts rows do not come in pairs' [ "$(count '^xts-enc/')" -eq "$(count '^xts-dec/')" ]
for suite in gcm xts; do
    for name in "threads2-$suite" "write1-direct-$suite"; do
        check "$name is neither measured nor skipped" \
            grep -qE "^($name	|SKIP bench $name:)" "$work/tsv" "$work/said"
    done
done

# Arm has no limits, and no ratios then.
ratios() {
    awk -F'\t' '$1 ~ /^(xts|gcm|seal|read[0-9])/ {print $5 == "-" ? "without" : "with"}' "$work/tsv" |
        sort -u
}
if [ "$(count '^limit/')" -gt 0 ]; then
    check 'a figure has no ratio' [ "$(ratios)" = with ]
    check 'the widest limit is not its own' \
        [ "$(awk -F'\t' 'NR == 1 {print $1 ~ /^limit\// ? $5 : ""}' "$work/tsv")" = 1 ]
else
    check 'a figure has a ratio to nothing' [ "$(ratios)" = without ]
fi

"$bench" --only memcpy --only seal-gcm "${short[@]}" >"$work/table"
check 'a table has other rows than those chosen' \
    [ "$(awk '/^[a-z0-9-]+(\/[a-z0-9-]+)? +[0-9]+ / {print $1}' "$work/table" | tr '\n' ' ')" = \
    'memcpy seal-gcm seal-gcm-batch16 ' ]
check 'a budget without its rows is judged' \
    grep -q '^-  *not measured  *gcm-enc/vaes512, 4096, of limit/vaes512' "$work/table"
"$bench" --only getrandom --only seal-gcm --only gcm-enc "${short[@]}" >"$work/table"
check 'a budget with its rows is not judged' \
    grep -qE '^(ok|short) .*: +seal-gcm, 4096, of gcm-enc/\* \+ getrandom \+ 150 ns' "$work/table"

refuses() { ! "$bench" "$@" >/dev/null 2>"$work/said" && [ -s "$work/said" ]; }
check 'takes an unknown option' refuses --what
check 'takes an argument' refuses memcpy
check 'takes no rounds' refuses --rounds 0
check 'takes a word for a number' refuses --slice-us ten
check 'takes an unknown kernel' refuses --kernel none
check 'takes a directory that is not there' refuses --only open --dir "$work/none"
check 'saves where it cannot' refuses --only memcpy "${short[@]}" --save "$work/none/tsv"

if command -v gnuplot >/dev/null; then
    gnuplot -e "tsv='$work/tsv'; png='$work/png'" tests/bench.gnuplot 2>"$work/said"
    check "the plot fails: $(cat "$work/said")" [ -s "$work/png" ]
else
    echo 'SKIP test_bench plot: gnuplot is not installed'
fi

echo "test_bench: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

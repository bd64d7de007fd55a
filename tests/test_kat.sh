#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Known answers are only worth something if kat fails: right lines pass, each kind of wrong one does
# not, and is named.
set -uo pipefail
shopt -s lastpipe # counts are kept at the end of a pipe too
BUILD=${BUILD:-build}
kat=$BUILD/tests/kat
passed=0 failed=0

# expect WHAT COUNTS [TEXT]: standard input gives kat's last line COUNTS, the exit status that goes
# with it, and TEXT among the complaints.
expect() {
    local what=$1 counts=$2 text=${3:-} output status=0 wanted=0
    output=$("$kat" 2>&1) || status=$?
    [[ $counts == *', 0 failed' ]] || wanted=1
    if [ "$(tail -n 1 <<<"$output")" = "$counts" ] && [ "$status" -eq "$wanted" ] &&
        grep -qF -- "$text" <<<"$output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s: exit status %s, expected "%s" and "%s", got:\n%s\n' "$what" "$status" \
            "$counts" "$text" "$(cut -c 1-200 <<<"$output")"
    fi
}

repeat() { printf "%0.s$1" $(seq "$2"); }

# McGrew and Viega, test case 14.
key=$(repeat 00 32) nonce=$(repeat 00 12) zeros=$(repeat 00 16)
cipher=cea7403d4d606b6e074ec5d3baf39d18 tag=d0d1c8a799996bf0265b98b5d48ab919
# c2sp.org/XAES-256-GCM, its second vector.
xaes="xaes $(repeat 03 32) 4142434445464748494a4b4c4d4e4f505152535455565758"
xaes+=" 633273702e6f72672f584145532d3235362d47434d 584145532d3235362d47434d"
xaes_cipher=986ec1832593df5443a17943 xaes_tag=7fd083bf3fdb41abd740a21f71eb769d
# IEEE 1619, vector 10, of whose 512 bytes these are the first 32.
xts="xts 2718281828459045235360287471352662497757247093699959574966967627"
xts+="3141592653589793238462643383279502884197169399375105820974944592 ff$(repeat 00 15)"
xts_plain=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
xts_cipher=1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b
# Project Wycheproof, Cobblestone-256, test 2: the message "chunked".
yellow=59454c4c4f57205355424d4152494e452059454c4c4f57205355424d4152494e
hash=e85f32a85f1d4f7c9b2d36d20eca8435d81253e7075e9dea069eb1b6da48daf9
hash+=2ef1797367b520d8a46c4f72cecb85b1daff8887fcb41721d39943d1952fc180
message=a1a1b56f6db58cd1ede0c5c9db62aef20d3f96a6c594bb9252bb38122de91236502b42a1d7fcab820ffa292940d2
message+=f86add212cfa42c38df19d3cc9139ee61a5990d3db57433514229beea49a8a72bd

expect 'no lines' '0 passed, 0 failed' </dev/null
printf '\n# a comment\n \t\r\n' | expect 'lines that say nothing' '0 passed, 0 failed'
expect 'right ones' '6 passed, 0 failed' <<LINES
gcm $key $nonce - - - 530f8afbc74536b9a963b4f1c4cb738b valid
gcm $key $nonce - $zeros $cipher $tag valid
gcm $key $nonce - - $cipher 00${tag:2} invalid
$xaes $xaes_cipher $xaes_tag valid
  chunked   $yellow - $hash ${message^^}  valid
chunked $yellow 00 - $message invalid
LINES
printf 'gcm %s %s - %s %s %s valid' "$key" "$nonce" "$zeros" "$cipher" "$tag" |
    expect 'a last line without an end' '1 passed, 0 failed'
printf 'gcm %s %s - %s %s %s valid\r\n' "$key" "$nonce" "$zeros" "$cipher" "$tag" |
    expect 'a line with a carriage return' '1 passed, 0 failed'
printf 'chunked %s - - %s invalid\n' "${yellow:2}" "$message" "${yellow}00" "$message" - - |
    expect 'keys of other lengths are invalid' '3 passed, 0 failed'
printf 'chunked %s - %s %s valid\n' "${yellow:2}" "$hash" "$message" |
    expect 'a valid one with such a key' '0 passed, 1 failed' 'line 1: chunked: '

# A build without libcrypto has no XTS: it says so.
if grep -q libcrypto <<<"$("$kat" </dev/null 2>&1)"; then
    expect 'xts' '1 passed, 0 failed' <<<"$xts $xts_plain $xts_cipher valid"
    expect 'xts, wrong' '0 passed, 1 failed' 'encryption gives another ciphertext' \
        <<<"$xts $xts_plain ${xts_cipher:0:62}00 valid"
    expect 'xts, too short' '0 passed, 1 failed' 'refuses the length' <<<"$xts 00 00 valid"
    expect 'xts, equal keys' '0 passed, 1 failed' 'the key is refused' \
        <<<"xts $key$key $zeros $zeros $zeros valid"
else
    expect 'xts without a kernel' '0 passed, 0 failed' 'SKIP kat: 1 lines' \
        <<<"$xts $xts_plain $xts_cipher valid"
fi

expect 'wrong ciphertext' '1 passed, 1 failed' 'line 2: gcm: ' <<LINES
gcm $key $nonce - $zeros $cipher $tag valid
gcm $key $nonce - $zeros 00${cipher:2} $tag valid
LINES
expect 'wrong tag' '0 passed, 1 failed' 'another tag' \
    <<<"$xaes $xaes_cipher 00${xaes_tag:2} valid"
expect 'a valid one called invalid' '0 passed, 2 failed' 'accepts' <<LINES
gcm $key $nonce - - $cipher $tag invalid
chunked $yellow - - $message invalid
LINES
expect 'wrong hash' '0 passed, 1 failed' 'another plaintext' \
    <<<"chunked $yellow - 00${hash:2} $message valid"
expect 'an invalid one called valid' '0 passed, 1 failed' 'ENVOL_E_CORRUPT' \
    <<<"chunked $yellow - $hash ${message%bd}be valid"

# Garbage, each kind named with its line.
garbage() { expect "garbage: $1" '0 passed, 1 failed' "line 1: $1"; }
garbage "'what' is not gcm" <<<'what is this'
garbage 'KEY is missing' <<<'gcm'
garbage 'KEY has 2 bytes, not 32' <<<"gcm 0000 $nonce - - - $tag valid"
garbage 'KEY has 0 bytes, not 64' <<<"xts - $zeros $zeros $zeros valid"
garbage 'NONCE has 12 bytes, not 24' <<<"xaes $key $nonce - - - $tag valid"
garbage 'NONCE is not hex' <<<"gcm $key ${nonce}0 - - - $tag valid"
garbage 'AAD is not hex' <<<"gcm $key $nonce 0g - - $tag valid"
garbage 'TAG has 15 bytes' <<<"gcm $key $nonce - - - ${tag:2} invalid"
garbage 'neither valid nor' <<<"gcm $key $nonce - - - $tag"
garbage "'true' where valid or invalid" <<<"gcm $key $nonce - - - $tag true"
garbage "'invalid' where valid is" <<<"$xts $zeros $zeros invalid"
garbage 'there are too many fields' <<<"gcm $key $nonce - - - $tag valid valid"
garbage 'PLAIN and CIPHER differ' <<<"gcm $key $nonce - 00 - $tag valid"
garbage 'SHA512 of a valid line' <<<"chunked $yellow - - $message valid"
printf 'gcm\0 %s\n' "$key" | garbage 'there is a zero byte in it'
{ echo -n x && head -c 100000 /dev/urandom | tr -d '\n\0'; } | garbage "'x"

long=$(mktemp "${TMPDIR:-/tmp}/kat-XXXXXX")
trap 'rm -f "$long"' EXIT
if python3 tests/long_message.py >"$long"; then
    expect 'lines of 16 MiB' '2 passed, 0 failed' <"$long"
else
    echo 'SKIP lines of 16 MiB: libsodium has no AES-256-GCM here'
fi

echo "test_kat: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

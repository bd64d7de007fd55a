#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Layers, and rules of style that a script can see: which floor includes which, what lib/ never
# calls, and how long and how labelled a file is.
set -euo pipefail
BUILD=${BUILD:-build}
passed=0 failed=0

# verdict WHAT OFFENDERS: passes when there are none.
verdict() {
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$1:"
        printf "%s\n" "    ${2//$'\n'/$'\n'    }"
    fi
}

# Height of each floor; store and provider stand side by side.
declare -A floor=([base]=0 [aes]=1 [page]=2 [header]=3 [store]=4 [provider]=4 [volume]=5 [log]=6
    [backup]=6)

bad_includes() {
    local file from to
    while IFS=: read -r file to; do
        from=${file#lib/} from=${from%%/*} to=${to%%/*}
        # A provider library stands outside: it sees itself and what an application sees.
        if [ -f "lib/$from/libenvol-$from.map" ] || [ -f "lib/$to/libenvol-$to.map" ]; then
            [ "$from" = "$to" ] || echo "$file: $from includes $to"
        elif [ -z "${floor[$from]:-}" ] || [ -z "${floor[$to]:-}" ]; then
            echo "$file: includes $to/, which is no floor"
        elif [ "$from" != "$to" ] && [ "${floor[$to]}" -ge "${floor[$from]}" ]; then
            echo "$file: $from includes $to"
        fi
    done < <(grep -RoE '^# *include *"[^"]*"' --include='*.[ch]' lib |
        sed 's/:[^"]*"\([^"]*\)"/:\1/')
}
verdict 'a floor includes only itself and those below' "$(bad_includes)"

# Symbols that a library has no business with, in the objects themselves.
forbidden='^(__)?v?(f|d)?printf(_chk)?$|^f?puts$|^f?putc(har)?$|^perror$|^(_|quick_)?exit$|^_Exit$'
forbidden+='|^abort$|^__assert_(perror_)?fail$|^v?syslog$|^v?(warn|err)x?$|^system$|^popen$'
verdict 'lib/ prints nothing and ends no process' \
    "$(for provider in '' ${PROVIDERS:-}; do
        nm -uA "$BUILD/libenvol${provider:+-$provider}.a"
    done 2>/dev/null | awk '{ sub(/@.*/, "", $NF); print $1, $NF }' |
        awk -v bad="$forbidden" '$2 ~ bad')"

verdict 'lib/ has no assert' "$(grep -RnE '\bassert *\(|<assert\.h>' --include='*.[ch]' lib || :)"

mapfile -t sources < <(find lib include examples tests -name '*.[ch]' 2>/dev/null | sort)
verdict 'no file has more than 600 lines' \
    "$(for file in "${sources[@]}"; do
        awk -v file="$file" 'END { if (NR > 600) print file ": " NR " lines" }' "$file"
    done)"

mapfile -t labelled < <(find lib include examples tests .ci man Makefile -type f \
    \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.map' -o -name '*.[1-8]' \
    -o -name Makefile -o -path '.ci/*' \) -not -path '*/__pycache__/*' 2>/dev/null | sort)
verdict 'every file names its licence at its top' \
    "$(for file in "${labelled[@]}"; do
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || echo "$file"
    done)"

verdict 'examples see public headers only' \
    "$(grep -RnE '^# *include *["<](\.\./|lib/|base/|aes/|page/|header/|store/|provider/|volume/|log/|backup/|tests/)' \
        --include='*.[ch]' examples 2>/dev/null || :)"

verdict 'one cleanup label, out:' \
    "$(grep -RnE '\bgoto +[a-z_0-9]+;' --include='*.[ch]' lib | grep -v 'goto out;' || :)"

echo "check_layers: $passed passed, $failed failed"
[ "$failed" -eq 0 ]

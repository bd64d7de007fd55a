#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# envolvfs under the real sqlite3 shell: journals and WALs, two processes, copies of databases, what
# becomes of files that somebody changed, nothing readable in any file, kills.  ROUNDS: kills of
# each kind.  PARTS: those that run.
# shellcheck source=tests/command.sh
. "$(dirname "$0")/command.sh"
tests=$OLDPWD/tests
ROUNDS=${ROUNDS:-4}
seed=${ENVOL_TEST_SEED:-$RANDOM}

if [ ! -e "$BUILD/envolvfs.so" ]; then
    echo 'SKIP envolvfs: this build has no libsqlite3-dev'
    echo "$program: 0 passed, 0 failed"
    exit 0
fi

db() { echo "file:$1?vfs=envol&cmk=${2:-file:cmk.key}"; }

# shell DB: SQL on standard input; its lines of errors, the log of SQLite included, in err.
shell() {
    status=0
    { printf '.load %s/envolvfs\n.log stderr\n.open %s\n.bail on\n' "$BUILD" "$1"; cat; } |
        "${sqlite[@]}" >out 2>err || status=$?
    cat out err >>everything
}
sqlite=(sqlite3)

# says EXPECTED DB SQL: all that it prints.
says() {
    shell "$2" <<<"$3"
    if [ "$(cat out)" = "$1" ]; then good; else bad "not '$1': $3"; fi
}

# fails WORDS DB SQL: stops, and says so; nothing of the words' query is printed.
fails() {
    shell "$2" <<<"$3"
    if [ "$status" -ne 0 ] && grep -qF -e "$1" err; then good; else bad "exit $status, without '$1': $3"; fi
}

# fill ROWS: a table t of so many rows, each with a text that would be known again.
fill() {
    echo "create table t(a integer primary key, b text);
    with recursive c(x) as (select 1 union all select x + 1 from c where x < $1)
    insert into t select x, 'canary-' || x || hex(randomblob(50)) from c;"
}

# Place of SQLite's page, from 1 on.
page() { echo $((65536 + ($1 - 1) * 4096)); }

# swap FILE OFFSET OFFSET BYTES
swap() {
    python3 -c 'import sys
name, one, other, count = sys.argv[1], *map(int, sys.argv[2:])
with open(name, "r+b") as f:
    f.seek(one); a = f.read(count); f.seek(other); b = f.read(count)
    f.seek(one); f.write(b); f.seek(other); f.write(a)' "$@"
}

test_modes() {
    local mode size
    for mode in delete truncate persist memory wal; do
        for size in 1024 4096 65536; do
            rm -f m.db*
            says "$mode"$'\n'"3000|3000"$'\nok\nok\n'"2500|$size" "$(db m.db)" "
                pragma page_size = $size; $(fill 1) pragma journal_mode = $mode; drop table t;
                pragma cache_size = 10; $(fill 3000)
                update t set b = b || 'x' where a % 3 = 0;
                select count(*), count(distinct b) from t; pragma integrity_check;
                begin; update t set b = ''; delete from t; rollback;
                begin; delete from t where a > 2500; savepoint s; update t set b = 'lost';
                rollback to s; commit; vacuum; pragma integrity_check;
                select count(*), (select page_size from pragma_page_size) from t where b like 'canary%';"
            lacks test -s err
            says 2500 "$(db m.db)" 'select count(*) from t'
        done
    done
}

# What one writes the other reads; two writers get along by SQLite's own locks.
test_two_processes() {
    local mode writer
    for mode in delete wal; do
        rm -f two.db*
        shell "$(db two.db)" <<<"$(fill 100) pragma journal_mode = $mode; create table n(i, who);"
        for writer in 1 2; do
            { printf '.load %s/envolvfs\n.open %s\n.timeout 20000\n' "$BUILD" "$(db two.db)"
              for ((i = 0; i < 60; i++)); do
                  echo "begin immediate; insert into n values($i, $writer); update t set b = b || 'w' where a = $i; commit; select count(*) from t;"
              done; } | sqlite3 >"two.$writer" 2>&1 &
        done
        wait
        holds test "$(sort -u two.1 two.2)" = 100
        says '120|60'$'\nok' "$(db two.db)" 'select count(*), count(distinct i) from n; pragma integrity_check;'
    done
}

# What a connection read ahead is nothing to its next statement, once another process has written.
test_read_ahead() {
    local mode
    for mode in delete wal; do
        rm -f ahead.db*
        shell "$(db ahead.db)" <<<"$(fill 100) pragma journal_mode = $mode;
            update t set b = printf('%0200d', 0); create table more as select a.b from t a, t limit 2000;"
        { printf '.load %s/envolvfs\n.open %s\n' "$BUILD" "$(db ahead.db)"
          echo "update t set b = printf('%0200d', 1); pragma wal_checkpoint;"; } >update.sql
        says $'100|0\n100|100' "$(db ahead.db)" "select count(*), sum(b) from t;
.shell sqlite3 <update.sql >/dev/null
select count(*), sum(b) from t;"
    done
}

test_copies() {
    shell "$(db c.db)" <<<"$(fill 2000)"
    # Attached: a transaction of both, and one that is undone in both.
    says '2000|2000'$'\n1999|1999\nok\nok' "$(db c.db)" "
        attach '$(db c2.db)' as two; create table two.t as select * from t;
        select (select count(*) from t), (select count(*) from two.t);
        begin; delete from t where a = 1; delete from two.t where a = 1; commit;
        begin; delete from t; delete from two.t; rollback;
        select (select count(*) from t), (select count(*) from two.t);
        pragma main.integrity_check; pragma two.integrity_check;"
    says 1999 "$(db c2.db)" 'select count(*) from t'
    # Each with a CMK of its own.
    envol keygen other.key >/dev/null
    says 1 "$(db c.db)" "attach '$(db c3.db file:other.key)' as three; create table three.t(a);
        insert into three.t values(1); select count(*) from three.t;"
    says 1 "$(db c3.db file:other.key)" 'select count(*) from t'
    fails 'authorization denied' "$(db c3.db)" 'select count(*) from t'
    # The backup API, encrypted to encrypted, and out to plain; VACUUM INTO, in and out.
    shell "$(db c.db)" <<<".backup $(db c4.db file:other.key)"
    says 1999$'\nok' "$(db c4.db file:other.key)" 'select count(*) from t; pragma integrity_check;'
    shell "$(db c.db)" <<<'.backup file:plain.db?vfs=unix'
    holds test "$(sqlite3 plain.db 'select count(*) from t where b glob "canary*"; pragma integrity_check')" = 1999$'\nok'
    shell "$(db c.db)" <<<"vacuum into '$(db c5.db)';"
    says 1999$'\nok' "$(db c5.db)" 'select count(*) from t; pragma integrity_check;'
    # A plain database, whose pages have another reserve, by statements but not by pages.
    rm -f plain.db && sqlite3 plain.db "$(fill 500)"
    shell plain.db <<<"vacuum into '$(db c8.db)';"
    says 500$'\nok' "$(db c8.db)" 'select count(*) from t; pragma integrity_check;'
    shell ':memory:' <<<"attach 'plain.db' as p; attach '$(db c6.db)' as e;
        create table e.t as select * from p.t; select count(*) from e.t;"
    holds test "$(cat out)" = 500
    fails 'do not reserve 48 bytes' "$(db c7.db)" '.restore plain.db'
    fails 'do not reserve 48 bytes' "$(db c6.db)" '.restore plain.db'
    says 500$'\nok' "$(db c6.db)" 'select count(*) from t; pragma integrity_check;'
}

# A copy by pages would bring the page size along; what is there stays, journal or WAL.
test_page_sizes() {
    local sizes mode
    for sizes in '1024 4096' '4096 8192' '4096 1024' '65536 4096' '4096 65536'; do
        # shellcheck disable=SC2086 # words
        set -- $sizes
        rm -f from.db* to.db*
        shell "$(db from.db)" <<<"pragma page_size = $1; $(fill 300)"
        shell "$(db to.db)" <<<"pragma page_size = $2; $(fill 400)"
        fails "its pages are of $1 bytes, those of this database of $2:" "$(db from.db)" ".backup $(db to.db)"
        says "400|$2"$'\nok' "$(db to.db)" '
            select count(*), (select page_size from pragma_page_size) from t; pragma integrity_check;'
        holds test $((($(stat -c %s to.db) - 65536) % $2)) -eq 0
    done
    # VACUUM copies a temporary database back by its pages, of the size that main asked for.
    fails 'its pages are of 1024 bytes' ':memory:' "attach '$(db to.db)' as e; pragma page_size = 1024; vacuum e;"
    says 400$'\nok' "$(db to.db)" 'select count(*) from t; pragma integrity_check;'
    # An empty plain database, whose pages have nothing where the trailer goes but say so.
    rm -f empty.db && sqlite3 empty.db vacuum
    for mode in delete wal; do
        rm -f to.db*
        shell "$(db to.db)" <<<"$(fill 400) pragma journal_mode = $mode;"
        fails 'do not reserve 48 bytes' "$(db to.db)" '.restore empty.db'
        says 400$'\nok' "$(db to.db)" 'select count(*) from t; pragma integrity_check;'
    done
}

test_refusals() {
    shell "$(db r.db)" <<<"$(fill 100)"
    fails 'file is not a database' "$(db plain.db)" 'select * from t'
    fails 'no database of envolvfs' "$(db plain.db)" 'pragma envol_status'
    cp plain.db plain.copy
    fails 'file is not a database' "$(db plain.db)" 'create table x(a)'
    holds cmp plain.db plain.copy
    echo 'a text of somebody' >text.db
    fails 'file is not a database' "$(db text.db)" 'create table x(a)'
    holds grep -qx 'a text of somebody' text.db
    # A volume of libenvol, whose records are none of SQLite's pages; one that could be.
    envol create v.db --cmk file:cmk.key --page-size 12288 >/dev/null
    fails 'no database of envolvfs' "$(db v.db)" 'pragma envol_status'
    envol create w.db --cmk file:cmk.key --page-size 4096 >/dev/null
    envol import w.db --cmk file:cmk.key random >/dev/null
    fails 'file is not a database' "$(db w.db)" 'select * from t'
    # Keys: none, another one, one that does not exist, a service that does not, disabled.
    fails 'no CMK is given' 'file:r.db?vfs=envol' 'select * from t'
    fails 'authorization denied' "$(db r.db file:other.key)" 'select * from t'
    fails 'authorization denied' "$(db r.db file:missing.key)" 'select * from t'
    fails 'unknown key service' "$(db r.db cloud:key)" 'select * from t'
    envol key disable cmk.key
    fails 'authorization denied' "$(db r.db)" 'select * from t'
    fails ENVOL_E_KEY_DISABLED "$(db r.db)" 'pragma envol_status'
    envol key enable cmk.key
    says 100 "$(db r.db)" 'select count(*) from t'
    ENVOL_CMK=file:cmk.key says 100 'file:r.db?vfs=envol' 'select count(*) from t'
    fails 'fixed, at 4096 bytes' "$(db r.db)" 'pragma page_size = 8192; vacuum;'
    says 100$'\nok' "$(db r.db)" 'select count(*) from t; pragma integrity_check;'
    # A creation that was cut short is begun anew.
    head -c 20000 r.db >cut.db
    says 100 "$(db cut.db)" "$(fill 100) select count(*) from t;"
    # Keys whose first transaction was undone: the next one finds them, and their page size.
    says '' "$(db u.db)" 'pragma page_size = 8192; begin; create table x(a); rollback;'
    says '100|8192' "$(db u.db)" "$(fill 100) select count(*), (select page_size from pragma_page_size) from t;"
    # Garbage where a header was.
    flip r.db 100 && flip r.db 32868
    fails 'no copy of the header is whole' "$(db r.db)" 'select * from t'
}

test_damage() {
    local whole='select count(*), sum(length(b)) from t'
    shell "$(db d.db)" <<<"$(fill 2000)"
    cp d.db whole.db
    flip d.db $(($(page 7) + 100))
    fails 'disk I/O error' "$(db d.db)" "$whole"
    lacks grep -q canary out
    says 'page 7 does not authenticate'$'\n''63 pages, 1 bad' "$(db d.db)" 'pragma envol_verify'
    for bytes in 4000 4060 4090; do # the end of the page, the nonce, the tag
        cp whole.db d.db && flip d.db $(($(page 7) + bytes))
        fails 'disk I/O error' "$(db d.db)" "$whole"
    done
    cp whole.db d.db && swap d.db "$(page 7)" "$(page 8)" 4096
    fails 'disk I/O error' "$(db d.db)" "$whole"
    cp whole.db d.db && dd if=/dev/zero of=d.db bs=4096 seek=$(($(page 9) / 4096)) count=1 conv=notrunc status=none
    fails 'disk I/O error' "$(db d.db)" "$whole"
    cp whole.db d.db && truncate -s "$(page 40)" d.db
    fails malformed "$(db d.db)" "$whole"
    cp whole.db d.db && flip d.db "$(page 1)"
    fails 'disk I/O error' "$(db d.db)" "$whole"
    # One copy of the header is enough; an older database of that name is another.
    cp whole.db d.db && flip d.db 100
    says 2000 "$(db d.db)" 'select count(*) from t'
    shell "$(db e.db)" <<<"$(fill 2000)"
    dd if=e.db of=d.db bs=4096 seek=$(($(page 7) / 4096)) skip=$(($(page 7) / 4096)) count=1 conv=notrunc status=none
    fails 'disk I/O error' "$(db d.db)" "$whole"
}

# A reader in the middle of its work is given a WAL whose frames were exchanged.
test_wal_damage() {
    local frames='.shell cp a.db a.copy; cp a.db-wal a.copy-wal'
    rm -f a.db*
    shell "$(db a.db)" <<<"$(fill 500) pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
update t set b = 'first ' || b;
$frames
pragma integrity_check;"
    says 500 "$(db a.copy)" "select count(*) from t where b like 'first %'" # a recovery, whole
    # Exchanged, and torn in the middle: the transaction that it belongs to did not happen.
    for change in 'swap a.copy-wal 80 4200 4120' 'flip a.copy-wal 5000' 'flip a.copy-wal 10'; do
        rm -f a.db* a.copy-shm
        shell "$(db a.db)" <<<"$(fill 500) pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
update t set b = 'first ' || b;
$frames"
        $change
        says 0$'\nok' "$(db a.copy)" "select count(*) from t where b like 'first %'; pragma integrity_check;"
    done
    # While its index is there, a frame is one that was committed.
    rm -f a.db*
    echo 'f = open("a.db-wal", "r+b"); f.seek(80 + 9 * 4120 + 300); f.write(bytes(8))' >damage.py
    cat >reader.sql <<SQL
$(fill 500)
pragma journal_mode = wal; pragma wal_autocheckpoint = 0; pragma cache_size = 5;
update t set b = 'first ' || b;
.shell python3 damage.py
select count(*), sum(length(b)) from t;
SQL
    fails 'disk I/O error' "$(db a.db)" "$(cat reader.sql)"
    holds grep -q 'frame 9 does not authenticate' err
}

# A database with a WAL whose file was cut: what was in it is not taken for zeros.
test_wal_cut() {
    local last at vacuum
    rm -f a.db* cut.db*
    shell "$(db a.db)" <<<"$(fill 3000) pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
create table z(b); insert into z values(zeroblob(400000)); pragma wal_checkpoint;
update t set b = 'new' where a = 1;
.shell cp a.db a.copy; cp a.db-wal a.copy-wal"
    last=$((($(stat -c %s a.copy) - 65536) / 4096))
    for at in "$(page 40)" "$(page "$last")" $(($(page "$last") + 4000)); do
        rm -f cut.db*
        cp a.copy cut.db && cp a.copy-wal cut.db-wal && truncate -s "$at" cut.db
        fails 'is not there' "$(db cut.db)" 'select count(*), sum(length(b)), sum(hex(b) > 0) from t; select sum(hex(b) > 0) from z;'
    done
    # What SQLite made itself, and never wrote or gave back, is no such page.
    for vacuum in none full incremental; do
        rm -f a.db*
        says $'wal\n20\nok\nok\n3000|200000\nok' "$(db a.db)" "pragma auto_vacuum = $vacuum; pragma journal_mode = wal;
            pragma cache_size = 10; pragma wal_autocheckpoint = 20; $(fill 3000)
            begin; create table z(b); insert into z values(zeroblob(900000)); delete from z;
            savepoint s; insert into z values(zeroblob(500000)); rollback to s; commit; pragma integrity_check;
            drop table z; pragma incremental_vacuum; vacuum; create table z(b);
            insert into z values(zeroblob(200000)); pragma integrity_check;
            select (select count(*) from t), length(b) from z; pragma integrity_check;"
        lacks test -s err
    done
}

# SQLite does not fill a WAL up to a sector's end, nor sync in the middle of a frame.
test_psow() {
    local mode
    for mode in delete wal; do
        rm -f a.db*
        says $mode$'\n''40|ok' "$(db a.db)&psow=0" "pragma synchronous = full; $(fill 500) pragma journal_mode = $mode;
            update t set b = 'new' where a <= 10; update t set b = 'new' where a <= 40;
            select count(*), (select * from pragma_integrity_check) from t where b = 'new';"
        says 40 "$(db a.db)" "select count(*) from t where b = 'new'"
    done
}

# A frame that was refused is nothing to the one that another process then writes in its place.
test_wal_refused() {
    rm -f a.* plain.db
    sqlite3 plain.db "$(fill 500)"
    { printf '.load %s/envolvfs\n.open %s\n' "$BUILD" "$(db a.db)"
      echo "update t set b = 'other';"; } >other.sql
    says $'wal\n0\n500|500\n500|500' "$(db a.db)" "$(fill 500) pragma journal_mode = wal; pragma wal_autocheckpoint = 0;
.bail off
.restore plain.db
.shell sqlite3 <other.sql
select count(*), sum(b = 'other') from t;
.shell cp a.db a.copy; cp a.db-wal a.copy-wal
.open $(db a.copy)
select count(*), sum(b = 'other') from t;"
    holds grep -q 'do not reserve 48 bytes' err
}

# A journal that a crash left: it is played back whole, or the database is not opened.
test_journal_damage() {
    local block
    for block in whole 3 8; do
        rm -f j.db* crashed.db*
        shell "$(db j.db)" <<<"$(fill 3000) pragma cache_size = 10;
begin; update t set b = 'lost';
.shell cp j.db crashed.db; cp j.db-journal crashed.db-journal
commit;"
        lacks test -s err
        [ $block = whole ] || flip crashed.db-journal $((block * 4148 + 50))
        case $block in
        whole) says 3000$'\nok' "$(db crashed.db)" "select count(*) from t where b like 'canary%'; pragma integrity_check;" ;;
        *)
            fails 'disk I/O error' "$(db crashed.db)" 'select count(*) from t'
            holds grep -q 'a block of it does not authenticate' err
            holds test -s crashed.db-journal # what can be restored by hand is there still
            ;;
        esac
    done
}

# A database that may not grow: what failed is undone, though pages of it were written already.
test_full() {
    local mode
    for mode in delete persist wal; do
        rm -f full.db*
        shell "$(db full.db)" <<<"$(fill 3000) pragma journal_mode = $mode;"
        # A write beyond the limit fails, and is no signal: what is ignored stays so in children.
        (
            trap '' XFSZ
            ulimit -f 700
            shell "$(db full.db)" <<<"pragma cache_size = 10; pragma synchronous = off; begin;
                update t set b = b || 'x' where a % 20 = 0;
                insert into t(b) select b from t; insert into t(b) select b from t; commit;"
        )
        holds grep -q 'disk I/O error' err
        says '3000|0'$'\nok\n''93 pages, 0 bad' "$(db full.db)" "
            select count(*), sum(b like '%x') from t; pragma integrity_check; pragma envol_verify;"
    done
}

# small COMMAND...: with 600 kB of its own in the directory small; in them $full leaves nothing free
# until $free.
small() { unshare -rm sh -c 'mount -t tmpfs -o size=600k none small && exec "$@"' - "$@"; }
full='.shell cat /dev/zero >small/ballast 2>/dev/null; true'
free='.shell rm small/ballast'

# A journal that never reaches its full disk: the database, which has its room, is not changed.
test_full_disk() {
    local sqlite=(small sqlite3) mode nolock
    mkdir -p small
    if ! small true 2>err; then
        echo "SKIP envolvfs on a full disk: $(cat err)"
        return
    fi
    for mode in delete truncate persist; do
        for nolock in 0 1; do
            says "$mode"$'\n''20|0'$'\n''20|0'$'\nok\n''2 pages, 0 bad' "$(db small/full.db)" "$(fill 20)
.bail off
.open $(db small/full.db)&nolock=$nolock
pragma journal_mode = $mode; pragma synchronous = off;
$full
update t set b = 'lost' where a = 5;
$free
select count(*), sum(b = 'lost') from t;
.open $(db small/full.db)
select count(*), sum(b = 'lost') from t; pragma integrity_check; pragma envol_verify;"
            holds grep -q 'disk is full' err
        done
    done
    # A commit that failed stays out of the WAL, though its connection has all locks to itself.
    # Nor does what filled the disk keep it from being read.
    says $'wal\nexclusive\n20|0\n20|0\n20|0\nok' "$(db small/full.db)" "$(fill 20)
.bail off
pragma journal_mode = wal; pragma locking_mode = exclusive; pragma cache_size = 10;
update t set b = b || '!' where a = 1;
$full
update t set b = 'lost';
begin; create table more as select x.* from t x, t, t z; rollback;
select count(*), sum(b = 'lost') from t;
$free
select count(*), sum(b = 'lost') from t;
.shell cp small/full.db small/copy.db; cp small/full.db-wal small/copy.db-wal
.open $(db small/copy.db)
select count(*), sum(b = 'lost') from t; pragma integrity_check;"
    holds grep -q 'disk is full' err
}

# The text of every row, and names of tables and journals, in no file; in clear they are found so.
test_canary() {
    # shellcheck disable=SC2016 # it is the shell of .shell that expands these
    local find='.shell for f in /proc/$PPID/fd/*; do case $(readlink $f) in *etilqs*) cat $f;; esac; done >temp.seen; cat k.db k2.db k.db-wal k.db-journal k2.db-journal >files.seen 2>/dev/null; true'
    local mode vfs
    for vfs in unix envol; do
        for mode in delete wal; do
            rm -f k.db* k2.db*
            cat >canary.sql <<SQL
pragma journal_mode = $mode; pragma cache_size = 5; pragma temp_store = file;
$(fill 3000)
attach 'file:k2.db?vfs=$vfs&cmk=file:cmk.key' as two; create table two.t as select * from t;
pragma temp.cache_size = 5;
create temp table x as select * from t; create index temp.x_b on x(b);
begin; update t set b = b || 'canary'; update two.t set b = b || 'canary';
savepoint s; update t set b = b || 'canary'; select count(*) from (select b from t order by b limit 10 offset 2000);
$find
commit;
SQL
            shell "file:k.db?vfs=$vfs&cmk=file:cmk.key" <canary.sql
            cat k.db* k2.db* >>files.seen
            holds test "$(stat -c %s temp.seen)" -gt 300000
            holds test "$(stat -c %s files.seen)" -gt 1000000
            if [ $vfs = unix ]; then found=holds; else found=lacks; fi
            $found grep -qa canary files.seen
            $found grep -qa canary temp.seen
            $found grep -qai 'create table t' files.seen
        done
    done
    lacks test -s err
}

# Where the main database is in clear, so are temporary files: the log says so, once for a file.
test_temporary() {
    local main words='temporary files of this connection are not encrypted'
    rm -f x.db* y.db* plain.db
    shell "$(db x.db)" <<<"$(fill 10) attach '$(db y.db)' as y; create table y.t(a); select * from t, y.t;"
    lacks test -s err
    # shellcheck disable=SC2016 # it is the shell of .shell that expands these
    local find='.shell for f in /proc/$PPID/fd/*; do case $(readlink $f) in *etilqs*) cat $f;; esac; done >temp.seen'
    for main in 'file::memory:?vfs=envol' file::memory:; do
        shell "$main" <<<"attach '$(db x.db)' as x; pragma temp_store = file; pragma temp.cache_size = 5;
create temp table y as select a.b from x.t a, x.t, x.t c;
$find"
        holds test "$(stat -c %s temp.seen)" -gt 50000
        case $main in
        *envol) lacks grep -qa canary temp.seen && lacks grep -q "$words" err ;;
        *) holds grep -qa canary temp.seen && holds grep -q "$words" err ;;
        esac
    done
    for main in :memory: plain.db; do
        says $'10\n10' $main "attach '$(db x.db)' as x; select count(*) from x.t; select count(*) from x.t;"
        holds test "$(grep -c "x.db: $words" err)" = 1
    done
}

test_pragmas() {
    envol keygen new.key >/dev/null
    says 'no database yet' "$(db p.db)" 'pragma envol_status'
    shell "$(db p.db)" <<<"$(fill 300)"
    shell "$(db p.db)" <<<'pragma envol_status'
    holds test "$(grep -cE '^(uuid [0-9a-f-]{36}|suite aes-256-gcm|page_size 4096|epoch 1|rotation none|slot 1: file .*)$' out)" -eq 6
    says '11 pages, 0 bad' "$(db p.db)" 'pragma envol_verify'
    fails 'of which CMK' "$(db p.db)" 'pragma envol_rewrap'
    fails 'not within a transaction' "$(db p.db)" "begin immediate; pragma envol_rewrap = 'file:new.key'"
    fails ENVOL_E_KEY_NOT_FOUND "$(db p.db)" "pragma envol_rewrap = 'file:none.key'"
    fails 'the path is missing' "$(db p.db)" "pragma envol_rewrap = 'file:'"
    cp p.db before.db
    says $'ok\n300' "$(db p.db)" "pragma envol_rewrap = 'file:new.key'; select count(*) from t;"
    # No page was touched.
    holds cmp <(tail -c +65537 p.db) <(tail -c +65537 before.db)
    fails 'authorization denied' "$(db p.db)" 'select * from t'
    says 300 "$(db p.db file:new.key)" 'select count(*) from t'
    # There and back in one connection, with a WAL and another reader.
    says $'wal\nok\nok' "$(db p.db file:new.key)" "pragma journal_mode = wal;
        select 1 from t where 0; pragma envol_rewrap = 'file:other.key'; pragma envol_rewrap = 'file:cmk.key';"
    says 300 "$(db p.db)" 'select count(*) from t'
}

# The header is a volume's: what the command does to it leaves the pages behind it alone.
test_command() {
    shell "$(db q.db)" <<<"$(fill 300)"
    cp q.db before.db
    holds envol info q.db --cmk file:cmk.key
    holds envol slot add q.db --cmk file:cmk.key --to file:other.key
    says 300 "$(db q.db file:other.key)" 'select count(*) from t'
    fails 'the header has 2 slots' "$(db q.db)" "pragma envol_rewrap = 'file:new.key'"
    holds envol slot remove q.db 1 --cmk file:other.key
    holds envol rewrap q.db --cmk file:other.key --to file:new.key
    refused ENVOL_E_STATE envol rotate q.db --cmk file:new.key
    holds cmp <(tail -c +65537 q.db) <(tail -c +65537 before.db)
    fails 'authorization denied' "$(db q.db)" 'select count(*) from t'
    says 300$'\n''11 pages, 0 bad' "$(db q.db file:new.key)" 'select count(*) from t; pragma envol_verify'
}

# The key service is asked once for all connections of a process, but anew for another CMK.
test_one_call() {
    shell "$(db o.db)" <<<"$(fill 100)"
    shell "$(db o.db)" <<<"select count(*) from t;
.shell envol key disable cmk.key
.connection 1
.open $(db o.db)
select count(*) from t;
attach '$(db o.db)' as again;
select count(*) from again.t;
.connection 2
.open $(db o.db file:other.key)
select count(*) from t;"
    envol key enable cmk.key
    holds test "$(cat out)" = $'100\n100\n100'
    holds grep -q ENVOL_E_KEY_NOT_FOUND err
}

# Whatever is done in whatever journal mode, what was committed stays, and nothing else.
test_kills() {
    local words
    for words in 'delete normal' 'delete off' 'truncate full' 'persist normal' 'persist off' \
        'wal normal' 'wal off' 'delete normal attached' 'persist off attached'; do
        rm -rf kills && mkdir kills
        # shellcheck disable=SC2086 # words
        if (cd kills && cp ../cmk.key . && python3 "$tests/sqlite_kills.py" "$BUILD/envolvfs" \
            file:cmk.key "$seed" "$ROUNDS" $words) >out 2>err; then good; else bad "kills: $words"; fi
    done
}

run envol keygen cmk.key
unset SQLITE_TMPDIR
# shellcheck disable=SC2086 # words
run_parts ${PARTS:-modes two_processes read_ahead copies page_sizes refusals damage wal_damage wal_cut wal_refused psow journal_damage full full_disk canary temporary pragmas command one_call kills}

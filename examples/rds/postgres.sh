# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# A PostgreSQL cluster in $mnt/data, WAL included; sourced by rds.sh.  It listens on a Unix socket in
# $work/run alone, and runs as the user postgres.
bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
data=${mnt:?}/data

as_postgres() {
    (cd / && runuser -u postgres -- "$@")
}

cluster_make() {
    install -d -o postgres -g postgres -m 700 "$data"
    as_postgres "$bin/initdb" -D "$data" -A trust -E UTF8 --locale=C.UTF-8 >"${work:?}/initdb.log" 2>&1
    cat >>"$data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$work/run'
shared_buffers = 32MB
max_wal_size = 128MB
min_wal_size = 32MB
CONF
    # PostgreSQL syncs its own files; a snapshot has what was synced, as a crash leaves it.
    sync -f "$data"
}

cluster_start() {
    as_postgres "$bin/pg_ctl" start -s -w -t 60 -D "$data" -l "$work/run/postgres.log"
}

cluster_stop() {
    as_postgres "$bin/pg_ctl" stop -s -w -t 60 -D "$data"
}

is_running() {
    as_postgres "$bin/pg_isready" -q -h "$work/run"
}

# sql QUERY [DATABASE]: the answer alone.
sql() {
    as_postgres "$bin/psql" -X -A -t -q -v ON_ERROR_STOP=1 -h "$work/run" -d "${2:-postgres}" -c "$1"
}

# load ARGUMENT...: pgbench; -n, or it would empty pgbench_history first.
load() {
    as_postgres "$bin/pgbench" -n -h "$work/run" "$@" postgres
}

# Whatever is left of it: the postmaster's process, and all that it started.
cluster_kill() {
    local pid
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 0
    [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$bin/postgres")" ] || return 0
    kill -QUIT "$pid" 2>/dev/null || :
    until_true 10 test ! -e "/proc/$pid" || kill -KILL "$pid"
}

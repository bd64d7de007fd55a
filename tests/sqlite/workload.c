/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One workload of `make bench-sqlite` on one database, once, timed without the opening.  The same
 * source is linked with SQLite and with SQLCipher, whose names are the same.
 *
 * usage: workload OPEN WORKLOAD ROWS JOURNAL SYNCHRONOUS
 *
 * OPEN is plain:PATH, envol:PATH:CMK or sqlcipher:PATH.  Prints the seconds that it took, and those
 * of the processor.
 */
#include <sqlite3.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* About a quarter of the smallest data set: less than the data, as the budget says. */
enum { CACHE_KIB = 2048, VALUE_BYTES = 200, READS = 20000, UPDATES = 20000, ROWS_A_COMMIT = 5000 };

static sqlite3 *database;

static void stop(const char *what)
{
    fprintf(stderr, "workload: %s: %s\n", what, database != NULL ? sqlite3_errmsg(database) : "");
    exit(1);
}

static void run(const char *sql)
{
    if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
        stop(sql);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *statement;

    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK)
        stop(sql);
    return statement;
}

static void step(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        stop("step");
    sqlite3_reset(statement);
}

/* The same numbers for all: splitmix64. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fill(uint64_t *state, char value[VALUE_BYTES])
{
    for (int i = 0; i < VALUE_BYTES; i += 8) {
        uint64_t random = next(state);

        memcpy(value + i, &random, 8);
    }
}

static void insert(int rows)
{
    uint64_t state = 1;
    char value[VALUE_BYTES];
    sqlite3_stmt *statement;

    run("create table t(id integer primary key, k integer, v blob)");
    run("create index t_k on t(k)");
    statement = prepare("insert into t values(?1, ?2, ?3)");
    for (int i = 0; i < rows; i++) {
        if (i % ROWS_A_COMMIT == 0)
            run(i == 0 ? "begin" : "commit; begin");
        fill(&state, value);
        sqlite3_bind_int(statement, 1, i);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)(next(&state) >> 20));
        sqlite3_bind_blob(statement, 3, value, sizeof value, SQLITE_STATIC);
        step(statement);
    }
    run("commit");
    sqlite3_finalize(statement);
}

static void point_reads(int rows)
{
    uint64_t state = 2;
    sqlite3_stmt *statement = prepare("select k, v from t where id = ?1");

    for (int i = 0; i < READS; i++) {
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)(next(&state) % (uint64_t)rows));
        step(statement);
    }
    sqlite3_finalize(statement);
}

static void update(int rows)
{
    uint64_t state = 3;
    char value[VALUE_BYTES];
    sqlite3_stmt *statement = prepare("update t set v = ?2 where id = ?1");

    for (int i = 0; i < UPDATES; i++) {
        if (i % 500 == 0)
            run(i == 0 ? "begin" : "commit; begin");
        fill(&state, value);
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)(next(&state) % (uint64_t)rows));
        sqlite3_bind_blob(statement, 2, value, sizeof value, SQLITE_STATIC);
        step(statement);
    }
    run("commit");
    sqlite3_finalize(statement);
}

static void scan(int rows)
{
    (void)rows;
    run("select sum(length(v)), sum(k) from t not indexed");
}

static const struct {
    const char *name;
    void (*work)(int rows);
} workloads[] = {
    {"insert", insert}, {"point reads", point_reads}, {"update", update}, {"scan", scan}};

/* What is on the way to the disk is waited for, so that the kernel can forget all of it. */
static void forget(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

#if !defined(WITH_SQLCIPHER)
static void load_vfs(void)
{
    const char *extension = getenv("ENVOLVFS");
    sqlite3 *any;

    if (extension == NULL || sqlite3_open(":memory:", &any) != SQLITE_OK)
        stop("ENVOLVFS");
    sqlite3_db_config(any, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    if (sqlite3_load_extension(any, extension, NULL, NULL) != SQLITE_OK)
        stop(extension);
    sqlite3_close(any);
}
#endif

/* OPEN, to pieces; the path is left in it. */
static const char *open_database(char *how)
{
    char *path = strchr(how, ':') + 1, *cmk = strchr(path, ':'), uri[1024];

    if (cmk != NULL)
        *cmk++ = '\0';
    forget(path);
#if !defined(WITH_SQLCIPHER)
    if (cmk != NULL)
        load_vfs();
#endif
    snprintf(uri, sizeof uri, cmk != NULL ? "file:%s?vfs=envol&cmk=%s" : "file:%s", path, cmk);
    if (sqlite3_open_v2(uri, &database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI,
                        NULL) != SQLITE_OK)
        stop(uri);
    if (strncmp(how, "sqlcipher:", 10) == 0)
        run("pragma key = \"x'"
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'\"; pragma "
            "cipher_page_size = 4096");
    return path;
}

static double now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    char sql[256];
    double started, started_cpu;

    if (argc != 6 || strchr(argv[1], ':') == NULL)
        return 2;
    (void)open_database(argv[1]);
    snprintf(sql, sizeof sql,
             "pragma journal_mode = %s; pragma synchronous = %s; pragma cache_size = -%d;"
             "select count(*) from sqlite_master",
             argv[4], argv[5], CACHE_KIB);
    if (strcmp(argv[2], "insert") == 0)
        run("pragma page_size = 4096");
    run(sql);
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strcmp(workloads[i].name, argv[2]) != 0)
            continue;
        started_cpu = now(CLOCK_PROCESS_CPUTIME_ID);
        started = now(CLOCK_MONOTONIC);
        workloads[i].work(atoi(argv[3]));
        printf("%.6f %.6f\n", now(CLOCK_MONOTONIC) - started,
               now(CLOCK_PROCESS_CPUTIME_ID) - started_cpu);
    }
    return sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}

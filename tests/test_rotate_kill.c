/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that rotates the DEK, one rotation after the other, while a second thread of it writes,
 * appends and syncs, is killed at random moments, from its opening on.  Each time a writer opens
 * what is left, and every page holds what was synced last, or something newer.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PAGES = 768, /* at first */
    PAGES_MAX = 1024,
    PAGE_BYTES_MAX = 16384,
    STEP_MAX = 48,
    SYNC_EVERY = 24, /* writes */
    LIFE_US = 70000  /* the longest */
};

/* Records no larger than a page of memory reach a file whole or not at all when their writer is
 * killed; larger ones do so where pages are atomic. */
struct shape {
    const char *name;
    enum envol_suite suite;
    uint32_t stride_bytes;
    int atomic;
    unsigned kills;
};

static const struct shape shapes[] = {
    {"gcm", ENVOL_SUITE_AES_256_GCM, 4096, 0, 120},
    {"xts", ENVOL_SUITE_AES_256_XTS, 4096, 0, 120},
    {"gcm, atomic pages of 16 KiB", ENVOL_SUITE_AES_256_GCM, 16384, 1, 60},
};

/* What a killed process told; shared memory. */
struct told {
    _Atomic uint64_t begun[PAGES_MAX];  /* version of the last write that was begun */
    _Atomic uint64_t synced[PAGES_MAX]; /* of the last one that a sync came after */
    _Atomic uint64_t writes, syncs, steps, begins, finishes;
    _Atomic int line; /* of what went wrong */
    _Atomic int status;
    uint64_t seed;
};

struct life {
    const struct shape *shape;
    struct told *told;
    const char *volume_path;
    struct envol_provider *provider;
    struct envol_cmk cmk;
    struct envol_store *store;
    struct envol_volume *volume;
    struct envol_geometry geometry;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0x7fb5d329728ea185);
    return (x ^ x >> 27) * UINT64_C(0x81dadef4bc2dd44d);
}

static void fill(const struct life *life, uint64_t page_no, uint64_t version, uint64_t *page)
{
    page[0] = version;
    for (size_t i = 1; i < life->geometry.page_bytes / 8; i++)
        page[i] = mix(page_no << 40 ^ version << 12 ^ i);
}

/* --- The process that is killed --- */

/* Nothing that this process does may fail. */
static void check_call(const struct life *life, int line, enum envol_status status)
{
    if (status == ENVOL_OK)
        return;
    atomic_store(&life->told->line, line);
    atomic_store(&life->told->status, (int)status);
    _exit(1);
}

#define must(call) check_call(life, __LINE__, (call))

static void open_life(struct life *life)
{
    must(envol_file_store_open(life->volume_path, 0, &life->store, NULL));
    must(envol_volume_open(life->store, &life->cmk, 1, NULL, &life->volume, NULL));
}

static void write_some(struct life *life, uint64_t *random, uint64_t page_nos[SYNC_EVERY])
{
    uint64_t page[PAGE_BYTES_MAX / 8];

    for (size_t i = 0; i < SYNC_EVERY; i++) {
        uint64_t end = envol_volume_pages(life->volume) + 2, version;
        *random = mix(*random + i + 1);
        page_nos[i] = *random % (end < PAGES_MAX ? end : PAGES_MAX);
        version = atomic_load(&life->told->begun[page_nos[i]]) + 1;
        fill(life, page_nos[i], version, page);
        atomic_store(&life->told->begun[page_nos[i]], version);
        must(envol_page_write(life->volume, page_nos[i], page));
        atomic_fetch_add(&life->told->writes, 1);
    }
}

static void *writer(void *argument)
{
    struct life *life = argument;
    uint64_t random = life->told->seed, page_nos[SYNC_EVERY];

    for (;;) {
        write_some(life, &random, page_nos);
        must(envol_volume_sync(life->volume));
        for (size_t i = 0; i < SYNC_EVERY; i++)
            atomic_store(&life->told->synced[page_nos[i]],
                         atomic_load(&life->told->begun[page_nos[i]]));
        atomic_fetch_add(&life->told->syncs, 1);
    }
    return NULL;
}

static void rotate_on(struct life *life, uint64_t *random)
{
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    must(envol_volume_rotate_status(life->volume, &rotation));
    if (rotation.state == ENVOL_ROTATION_NONE) {
        must(envol_volume_rotate_begin(life->volume, &life->cmk, 1, 0, NULL, NULL));
        atomic_fetch_add(&life->told->begins, 1);
    } else if (rotation.state == ENVOL_ROTATION_SWEPT) {
        must(envol_volume_rotate_finish(life->volume, 0, NULL));
        atomic_fetch_add(&life->told->finishes, 1);
    } else {
        *random = mix(*random + 1);
        must(envol_volume_rotate_step(life->volume, 1 + *random % STEP_MAX, NULL, NULL));
        atomic_fetch_add(&life->told->steps, 1);
    }
}

_Noreturn static void live(struct life *life)
{
    uint64_t random = life->told->seed ^ 1;
    pthread_t thread;

    open_life(life);
    must(pthread_create(&thread, NULL, writer, life) == 0 ? ENVOL_OK : ENVOL_E_NO_MEMORY);
    for (;;)
        rotate_on(life, &random);
}

/* --- The one that looks at what it left --- */

static void create(struct life *life)
{
    const struct envol_header_params params = {
        .struct_size = sizeof(params),
        .suite = life->shape->suite,
        .page_bytes = life->shape->suite == ENVOL_SUITE_AES_256_XTS ? life->shape->stride_bytes : 0,
        .stride_bytes = life->shape->stride_bytes,
        .atomic_pages = life->shape->atomic,
    };
    const struct envol_volume_options options = {.struct_size = sizeof(options), .params = &params};
    uint64_t page[PAGE_BYTES_MAX / 8];

    ck_ok(envol_key_file_create(test_path("cmk.key"), NULL));
    ck_ok(envol_file_provider_open(test_path("cmk.key"), &life->provider));
    life->cmk.provider = life->provider;
    ck_ok(envol_file_store_open(life->volume_path, ENVOL_FILE_CREATE, &life->store, NULL));
    ck_ok(envol_volume_create(life->store, &life->cmk, 1, &options, &life->volume, NULL));
    life->geometry.struct_size = sizeof(life->geometry);
    ck_ok(envol_keyring_geometry(envol_volume_keyring(life->volume), &life->geometry));
    for (uint64_t i = 0; i < PAGES; i++) {
        fill(life, i, 1, page);
        ck_ok(envol_page_write(life->volume, i, page));
        life->told->begun[i] = life->told->synced[i] = 1;
    }
}

static void close_it(struct life *life)
{
    ck_ok(envol_volume_close(life->volume));
    envol_store_close(life->store);
}

static void run_and_kill(struct life *life, useconds_t us)
{
    int status;
    pid_t child;

    life->told->seed = test_random();
    fflush(NULL);
    child = fork();
    if (child == 0)
        live(life);
    ck_assert_int_gt(child, 0);
    usleep(us);
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: line %d: %s",
                  life->shape->name, life->told->line,
                  envol_status_name((enum envol_status)life->told->status));
}

/* A page that was never synced may be a hole, or beyond the end. */
static void check_page(struct life *life, uint64_t page_no)
{
    uint64_t page[PAGE_BYTES_MAX / 8], expected[PAGE_BYTES_MAX / 8];
    uint64_t synced = life->told->synced[page_no], begun = life->told->begun[page_no];
    enum envol_status status = ck_note(envol_page_read(life->volume, page_no, page));

    if (synced == 0 && (status == ENVOL_E_RANGE || status == ENVOL_E_UNWRITTEN))
        return;
    ck_assert_msg(status == ENVOL_OK, "%s: page %llu: %s", life->shape->name,
                  (unsigned long long)page_no, envol_status_name(status));
    if (synced == 0 && page[0] == 0) { /* a hole under XTS, where nothing marks one */
        memset(expected, 0, life->geometry.page_bytes);
    } else {
        ck_assert_msg(page[0] >= synced && page[0] <= begun,
                      "%s: page %llu: version %llu, synced %llu, begun %llu", life->shape->name,
                      (unsigned long long)page_no, (unsigned long long)page[0],
                      (unsigned long long)synced, (unsigned long long)begun);
        fill(life, page_no, page[0], expected);
    }
    ck_assert_mem_eq(page, expected, life->geometry.page_bytes);
    /* Closing syncs what was found. */
    life->told->synced[page_no] = page[0];
}

static struct envol_rotation look(struct life *life)
{
    struct envol_rotation rotation = {.struct_size = sizeof(rotation)};

    ck_ok(envol_file_store_open(life->volume_path, 0, &life->store, NULL));
    ck_ok(envol_volume_open(life->store, &life->cmk, 1, NULL, &life->volume, NULL));
    ck_ok(envol_volume_rotate_status(life->volume, &rotation));
    for (uint64_t i = 0; i < PAGES_MAX; i++)
        check_page(life, i);
    ck_assert_uint_eq(rotation.bad, 0);
    return rotation;
}

static void complete(struct life *life)
{
    struct envol_rotation rotation = look(life);
    struct envol_volume_info info = {.struct_size = sizeof(info)};

    info.header.struct_size = sizeof(info.header);
    if (rotation.state != ENVOL_ROTATION_NONE) {
        ck_ok(envol_volume_rotate_run(life->volume, 0, NULL, NULL, &rotation, NULL));
        ck_assert_uint_eq(rotation.bad, 0);
        ck_ok(envol_volume_rotate_finish(life->volume, 0, NULL));
    }
    for (uint64_t i = 0; i < PAGES_MAX; i++)
        check_page(life, i);
    ck_ok(envol_volume_info(life->volume, &info));
    ck_assert_uint_eq(info.header.lowest_epoch, info.header.epoch);
    ck_assert_uint_eq(info.header.retained_epochs, 0);
    close_it(life);
}

static unsigned kills_of(const struct shape *shape)
{
    if (test_tool() != NULL)
        return shape->kills / 12;
    return getenv("ENVOL_TEST_LONG") != NULL ? shape->kills * 20 : shape->kills;
}

static void report(const struct life *life, unsigned kills, unsigned unfinished)
{
    const struct told *told = life->told;

    printf("%s: %u kills, %u in an unfinished rotation; %llu rotations begun, %llu finished, %llu "
           "steps, %llu writes, %llu syncs: nothing lost\n",
           life->shape->name, kills, unfinished, (unsigned long long)told->begins,
           (unsigned long long)told->finishes, (unsigned long long)told->steps,
           (unsigned long long)told->writes, (unsigned long long)told->syncs);
    fflush(stdout);
}

START_TEST(kills_lose_nothing)
{
    struct life life = {.shape = &shapes[_i], .volume_path = test_path("volume")};
    unsigned kills = kills_of(life.shape), unfinished = 0;

    life.told =
        mmap(NULL, sizeof(*life.told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(life.told, MAP_FAILED);
    create(&life);
    close_it(&life);
    for (unsigned i = 0; i < kills; i++) {
        run_and_kill(&life, (useconds_t)(test_random() % LIFE_US));
        unfinished += look(&life).state != ENVOL_ROTATION_NONE;
        close_it(&life);
    }
    complete(&life);
    /* How far a life comes is the machine's: a slow one finishes no rotation before it is killed.
     */
    if (test_tool() == NULL) {
        ck_assert_uint_gt(unfinished, 0);
        ck_assert_uint_gt(life.told->steps, 0);
        ck_assert_uint_gt(life.told->writes, 0);
    }
    report(&life, kills, unfinished);
    envol_provider_close(life.provider);
    munmap(life.told, sizeof(*life.told));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rotate_kill");
    TCase *tcase = tcase_create("kills");

    tcase_set_timeout(tcase, 1800);
    tcase_add_loop_test(tcase, kills_lose_nothing, 0, sizeof(shapes) / sizeof(shapes[0]));
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}

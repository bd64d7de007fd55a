/* SPDX-License-Identifier: BSD-2-Clause */
/* Where keys are while pages are sealed: in the arena, and nowhere else after any call. */
#include "base/memory.h"
#include "log_oracle.h"
#include "needles.h"
#include "page_calls.h"
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SALTS 4u

/* What draws of 24 bytes answer, the last one first, so that all derived keys are known before. */
static uint8_t planned[SALTS][24];
static size_t planned_left;

/* Stands in for the C library's in this program. */
ssize_t getrandom(void *out, size_t bytes, unsigned flags)
{
    if (bytes != sizeof(planned[0]) || planned_left == 0)
        return syscall(SYS_getrandom, out, bytes, flags);
    memcpy(out, planned[--planned_left], bytes);
    return (ssize_t)bytes;
}

/* All secrets of a test, in a mapping of its own that no scan looks into. */
struct vault {
    struct page_fixture f;
    struct oracle oracle;
    struct log_oracle log;
    uint8_t raw[64];
    struct needles needles;
};

static struct vault *vault_new(void)
{
    struct vault *v =
        mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(v, MAP_FAILED);
    return v;
}

static const struct envol_log_run_params log_params = {
    .struct_size = sizeof(log_params), .log_id = "log", .run = 1, .start_lsn = 1};

/* Of the run whose salt is the first draw: its header is known before. */
static void compute_log_needles(struct vault *v)
{
    uint8_t header[104] = "ENVOLLOG";

    memcpy(header + 8, v->f.uuid, 16);
    memcpy(header + 24, log_params.log_id, 16);
    header[40] = header[48] = 1;
    header[56] = (uint8_t)v->oracle.epoch;
    memcpy(header + 64, planned[SALTS - 1], 24);
    oracle_key(&v->oracle, "log-root", NULL, 0, v->raw, 64);
    needles_add_hmac(&v->needles, v->raw, 64);
    v->log = log_oracle_run(&v->oracle, header);
    needles_add_aes(&v->needles, v->log.key);
}

static void compute_needles(struct vault *v)
{
    static const char *const purposes[2] = {"page-gcm", "blob-gcm"};

    v->oracle = page_fixture_oracle(&v->f, 0);
    needles_add_hmac(&v->needles, v->f.dek[0], ENVOL_DEK_BYTES);
    for (size_t use = 0; use < 2; use++) {
        oracle_key(&v->oracle, purposes[use], NULL, 0, v->raw, 32);
        needles_add_aes(&v->needles, v->raw);
        for (size_t i = 0; i < SALTS; i++) {
            oracle_subkey(v->raw, planned[i], v->raw + 32);
            needles_add_aes(&v->needles, v->raw + 32);
        }
    }
    oracle_key(&v->oracle, "page-xts", v->f.id, 0, v->raw, 64);
    needles_add_aes(&v->needles, v->raw);
    needles_add_aes(&v->needles, v->raw + 32);
    compute_log_needles(v);
}

/* What the test itself left on the stack while it computed. */
__attribute__((noinline)) static void clear_stack(void)
{
    uint8_t frames[131072];

    envol_wipe(frames, sizeof(frames));
}

/* --- scans --- */

static bool holds(uintptr_t from, uintptr_t to, const void *address)
{
    return from <= (uintptr_t)address && (uintptr_t)address < to;
}

/*
 * The mapping, of all that is private and writable, in which a needle lies, or "".  The vault is
 * left out, and the arena's region around but, which may be NULL.
 */
static const char *scan(const struct vault *v, const void *but)
{
    static char line[512], where[600];
    FILE *maps = fopen("/proc/self/maps", "re");
    uintptr_t from, to;
    char mode[5];

    ck_assert_ptr_nonnull(maps);
    where[0] = '\0';
    while (fgets(line, sizeof(line), maps) != NULL) {
        const uint8_t *found;

        ck_assert_int_eq(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, mode), 3);
        if (strncmp(mode, "rw", 2) != 0 || holds(from, to, v) || holds(from, to, but))
            continue;
        found = needles_find(&v->needles, (const uint8_t *)from, (const uint8_t *)to);
        if (found != NULL)
            snprintf(where, sizeof(where), "%p in %s", (const void *)found, line);
    }
    fclose(maps);
    return where;
}

/* Shadow memory and emulation make a scan of everything too long, or an error of its own. */
static bool can_scan(void)
{
    if (test_tool() == NULL)
        return true;
    test_skip("keys in memory", "the tool has memory of its own");
    return false;
}

/* --- the stack --- */

struct work {
    void (*body)(struct work *);
    struct vault *v;
    enum page_call call;
    struct page_io io;
    enum envol_status expected;
    bool wrong;
};

/* So far below its caller's frame the call's own frames lie, out of reach of what a scan leaves. */
#define DEPTH_BYTES 16384u

__attribute__((noinline)) static void deep(struct work *w)
{
    uint8_t depth[DEPTH_BYTES];

    envol_wipe(depth, sizeof(depth));
    w->body(w);
    envol_wipe(depth, sizeof(depth));
}

/* Whether the stack below deep's frame holds a needle, before another call can overwrite it. */
__attribute__((noinline)) static bool left_on_stack(struct work *w)
{
    const uint8_t *frame = __builtin_frame_address(0);

    deep(w);
    return needles_find(&w->v->needles, frame - 4 * DEPTH_BYTES, frame - DEPTH_BYTES) != NULL;
}

static void make_call(struct work *w)
{
    w->wrong = page_call_quietly(w->call, &w->io) != w->expected;
}

/* Handles of a test's own, opened one by one. */
static struct {
    struct envol_keyring *keyring;
    struct envol_object *object;
    struct envol_lane *lane;
    struct envol_log_run *run, *reader;
    uint8_t header[ENVOL_LOG_RUN_HEADER_BYTES];
    uint8_t sealed[304], plain[256];
} own;

static void make_keyring(struct work *w)
{
    const struct page_fixture *f = &w->v->f;
    const struct envol_keyring_params params = {
        .uuid = f->uuid,
        .suite = f->wish.suite,
        .page_bytes = f->page_bytes,
        .stride_bytes = f->stride_bytes,
        .epoch = f->wish.epoch,
        .lowest = f->wish.lowest,
    };

    w->wrong = envol_keyring_make(&params, f->dek[0], &own.keyring) != ENVOL_OK;
}

static void add_epoch(struct work *w)
{
    w->wrong = envol_keyring_add(own.keyring, w->v->f.wish.epoch, w->v->f.dek[0]) != ENVOL_OK;
}

static void open_object(struct work *w)
{
    w->wrong = envol_object_open(own.keyring, w->v->f.id, &own.object) != ENVOL_OK;
}

static void open_lane(struct work *w)
{
    w->wrong = envol_lane_open(own.keyring, &own.lane) != ENVOL_OK;
}

static void begin_run(struct work *w)
{
    w->wrong = envol_log_run_begin(own.keyring, &log_params, own.header, &own.run) != ENVOL_OK ||
               memcmp(own.header + 104, w->v->log.commitment, 32) != 0;
}

static void open_run(struct work *w)
{
    w->wrong = envol_log_run_open(own.keyring, own.header, NULL, &own.reader) != ENVOL_OK;
}

static void seal_record(struct work *w)
{
    const struct envol_log_record record = {.lsn = 1, .data = own.plain, .bytes = 256};

    w->wrong = envol_log_record_seal(own.run, &record, own.sealed) != ENVOL_OK;
}

static void unseal_record(struct work *w)
{
    w->wrong = envol_log_record_unseal(own.reader, 0, own.sealed, sizeof(own.sealed), own.plain,
                                       NULL) != ENVOL_OK;
}

static void close_all(struct work *w)
{
    (void)w;
    envol_log_run_close(own.run);
    envol_log_run_close(own.reader);
    envol_lane_close(own.lane);
    envol_object_close(own.object);
    envol_keyring_close(own.keyring);
}

/* A function that leaves a key in its frame. */
static void careless(struct work *w)
{
    uint8_t key[16];

    memcpy(key, w->v->needles.needle[40], 16);
    __asm__ volatile("" : : "r"(key) : "memory");
}

/* --- tests --- */

static bool begin(struct work *w, int i)
{
    struct page_wish wish = {.page_bytes = 1000 / 16 * 16, .epoch = 3};
    enum page_call call = (enum page_call)(i % CALLS);

    if (!can_scan())
        return false;
    wish.suite = i / CALLS % 2 ? ENVOL_SUITE_AES_256_XTS : ENVOL_SUITE_AES_256_GCM;
    if (wish.suite == ENVOL_SUITE_AES_256_XTS) {
        wish.page_bytes = 1024;
        if (call == CALL_SEAL_HOLE)
            return false;
    }
    if (!page_kernel_force(i / CALLS / 2, wish.suite))
        return false;
    *w = (struct work){.v = vault_new(), .call = call, .body = make_call};
    test_fill(planned, sizeof(planned));
    page_fixture_open(&w->v->f, &wish);
    compute_needles(w->v);
    planned_left = SALTS;
    w->io = page_io_new(call, &w->v->f, 7);
    clear_stack();
    return true;
}

static void end(struct work *w)
{
    planned_left = 0;
    page_io_free(&w->io);
    page_fixture_close(&w->v->f);
    clear_stack();
    /* The arena too, now. */
    ck_assert_str_eq(scan(w->v, NULL), "");
    munmap(w->v, sizeof(*w->v));
    envol_aes_kernel_force(NULL);
}

static const void *arena_of(const struct work *w)
{
    return w->v->f.keyring->entry[0].keys;
}

static void check_call(struct work *w)
{
    bool left = left_on_stack(w);

    ck_assert(!w->wrong);
    ck_assert_msg(!left, "%s leaves a key on the stack", page_call_name(w->call));
    ck_assert_str_eq(scan(w->v, arena_of(w)), "");
}

START_TEST(scans_find_keys)
{
    uint8_t *heap, stack[16];
    struct work w;

    if (!begin(&w, CALL_SEAL))
        return;
    heap = page_buffer(16);
    ck_assert_str_eq(scan(w.v, arena_of(&w)), "");
    /* Keys in use are in the arena. */
    ck_assert_str_ne(scan(w.v, NULL), "");
    memcpy(heap, w.v->needles.needle[20], 16);
    ck_assert_str_ne(scan(w.v, arena_of(&w)), "");
    envol_wipe(heap, 16);
    memcpy(stack, w.v->needles.needle[80], 16);
    ck_assert_str_ne(scan(w.v, arena_of(&w)), "");
    envol_wipe(stack, 16);
    ck_assert_str_eq(scan(w.v, arena_of(&w)), "");
    w.body = careless;
    ck_assert(left_on_stack(&w));
    clear_stack();
    free(heap);
    end(&w);
}
END_TEST

START_TEST(calls_leave_no_key)
{
    struct work w;
    bool authenticated;

    if (!begin(&w, _i))
        return;
    check_call(&w);
    /* The key is in the lane by now, if there was one to derive. */
    check_call(&w);
    w.io.lane = NULL;
    check_call(&w);
    authenticated = w.v->f.wish.suite == ENVOL_SUITE_AES_256_GCM || page_call_is_blob(w.call);
    if (page_call_unseals(w.call) && authenticated) {
        w.io.page_no++;
        w.expected = ENVOL_E_CORRUPT;
        check_call(&w);
    }
    end(&w);
}
END_TEST

START_TEST(opening_and_closing_leave_no_key)
{
    static void (*const steps[])(struct work *) = {
        make_keyring, add_epoch,   open_object,   open_lane, begin_run,
        open_run,     seal_record, unseal_record, close_all,
    };
    struct work w;

    if (!begin(&w, _i * CALLS))
        return;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        w.body = steps[i];
        check_call(&w);
    }
    end(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_test(tcase, scans_find_keys);
    tcase_add_loop_test(tcase, calls_leave_no_key, 0, 2 * CALLS * page_kernels());
    tcase_add_loop_test(tcase, opening_and_closing_leave_no_key, 0, 2 * page_kernels());
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A forking server: 64 children of one process that opened a volume with ENVOL_OPEN_INHERIT write
 * and read its pages at once.  One provider call in all, and no (salt, nonce) twice.
 */
#include "handles.h"
#include "nonces.h"
#include "support.h"
#include "volume_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each process has pages of its own, and writes all of them again in each round. */
enum { CHILDREN = 64, PROCESSES = CHILDREN + 1, PAGES = 8, ROUNDS = 4, PAGE = 512 };
enum { WRITES = PAGES * ROUNDS };

struct server {
    uint8_t nonces[PROCESSES][WRITES][NONCE_BYTES];
    struct volume_fixture f;
    char path[1024];
    int start[2];
};

static uint64_t page_of(size_t process, size_t i)
{
    return process * PAGES + i;
}

/* The first half of its pages one by one, the second as a batch. */
static bool write_round(struct server *server, size_t process, unsigned round)
{
    uint8_t pages[PAGES][PAGE];
    struct envol_page_io ios[PAGES / 2];

    for (size_t i = 0; i < PAGES; i++)
        volume_page_fill(&server->f, page_of(process, i), round, pages[i]);
    for (size_t i = 0; i < PAGES / 2; i++) {
        if (envol_page_write(server->f.volume, page_of(process, i), pages[i]) != ENVOL_OK)
            return false;
        ios[i] = (struct envol_page_io){.page_no = page_of(process, i + PAGES / 2),
                                        .page = pages[i + PAGES / 2]};
    }
    return envol_page_write_batch(server->f.volume, ios, PAGES / 2, NULL) == ENVOL_OK;
}

/* Back through the volume; and the nonces from the file, past the library. */
static bool check_round(struct server *server, size_t process, unsigned round, int file)
{
    uint8_t page[PAGE];

    for (size_t i = 0; i < PAGES; i++) {
        uint64_t page_no = page_of(process, i);
        off_t nonce_at = (off_t)volume_record_at(&server->f, page_no) + PAGE + 8;
        uint8_t *nonce = server->nonces[process][(round - 1) * PAGES + i];

        if (envol_page_read(server->f.volume, page_no, page) != ENVOL_OK ||
            volume_page_version(&server->f, page_no, ROUNDS, page) != round)
            return false;
        if (server->f.gcm && pread(file, nonce, NONCE_BYTES, nonce_at) != NONCE_BYTES)
            return false;
    }
    return true;
}

static bool serve(struct server *server, size_t process)
{
    int file = open(server->path, O_RDONLY | O_CLOEXEC);
    bool right = file >= 0;

    for (unsigned round = 1; right && round <= ROUNDS; round++)
        right = write_round(server, process, round) && check_round(server, process, round, file);
    close(file);
    return right;
}

/* Waits until the parent lets all of them go. */
__attribute__((noreturn)) static void be_child(struct server *server, size_t process)
{
    char byte;

    close(server->start[1]);
    if (read(server->start[0], &byte, 1) != 0)
        _exit(2);
    _exit(serve(server, process) ? 0 : 1);
}

static struct server *server_new(enum envol_suite suite)
{
    static const struct volume_shape shapes[] = {
        {"gcm 512", ENVOL_SUITE_AES_256_GCM, PAGE, 0, 0},
        {"xts 512", ENVOL_SUITE_AES_256_XTS, PAGE, 0, 0},
    };
    struct server *server =
        mmap(NULL, sizeof(*server), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool xts = suite == ENVOL_SUITE_AES_256_XTS;

    ck_assert_ptr_ne(server, MAP_FAILED);
    if (!volume_fixture_create_on(&server->f, &shapes[xts], test_store_new(1))) {
        munmap(server, sizeof(*server));
        return NULL;
    }
    strcpy(server->path, test_path("file"));
    /* A child makes no volume grow. */
    for (uint64_t i = 0; i < (uint64_t)PROCESSES * PAGES; i++)
        volume_page_put(&server->f, i, ROUNDS + 1);
    volume_fixture_close(&server->f);
    ck_assert_int_eq(pipe(server->start), 0);
    return server;
}

static void start_children(struct server *server, bool raw, pid_t pids[CHILDREN])
{
    fflush(NULL);
    for (size_t i = 0; i < CHILDREN; i++) {
        pids[i] = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
        ck_assert_int_ge(pids[i], 0);
        if (pids[i] == 0)
            be_child(server, i);
    }
    close(server->start[0]);
    close(server->start[1]);
}

/* Each process has one lane of the volume's, and so one salt; the parent kept its own. */
static void check_nonces(struct server *server)
{
    size_t count = (size_t)PROCESSES * WRITES, most;
    uint8_t(*nonces)[NONCE_BYTES] = &server->nonces[0][0];

    ck_assert_uint_eq(nonces_salts(nonces, count, &most), PROCESSES);
    ck_assert_uint_eq(most, WRITES);
    ck_assert_ptr_null(nonces_repeated(nonces, count, NONCE_BYTES));
}

/* _i: both suites, forked with and without the C library's knowledge. */
START_TEST(children_write_at_once)
{
    bool raw = _i >= 2;
    struct server *server;
    pid_t pids[CHILDREN];
    unsigned before;
    int status;

    if (raw && test_tool() != NULL) {
        test_skip("raw clone", "a tool follows the C library's fork only");
        return;
    }
    server = server_new(_i % 2 == 0 ? ENVOL_SUITE_AES_256_GCM : ENVOL_SUITE_AES_256_XTS);
    if (server == NULL)
        return;
    before = fake_kms_calls(server->f.kms, FAKE_ANY);
    volume_fixture_open(&server->f, ENVOL_OPEN_INHERIT, ENVOL_OK);
    volume_page_put(&server->f, 0, 0); /* with a lane in use */
    start_children(server, raw, pids);
    ck_assert(serve(server, CHILDREN));
    for (size_t i = 0; i < CHILDREN; i++) {
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_msg(status == 0, "child %zu: %d", i, status);
    }
    ck_assert_uint_eq(fake_kms_calls(server->f.kms, FAKE_UNWRAP), 2); /* create, open */
    ck_assert_uint_eq(fake_kms_calls(server->f.kms, FAKE_ANY), before + 1);
    for (uint64_t i = 0; i < (uint64_t)PROCESSES * PAGES; i++)
        volume_page_expect(&server->f, i, ROUNDS);
    if (server->f.gcm)
        check_nonces(server);
    volume_fixture_free(&server->f);
    munmap(server, sizeof(*server));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forked_volume");
    TCase *tcase = tcase_create("children");

    tcase_add_loop_test(tcase, children_write_at_once, 0, 4);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}

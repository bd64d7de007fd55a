/* SPDX-License-Identifier: BSD-2-Clause */
/* What kernels allocate: nothing call by call; and what OpenSSL's heap holds: no key between calls.
 */
#include "aes/kernels.h"
#include "aes_calls.h"
#include "base/memory.h"
#include "kernels.h"
#include "recorded_heap.h"
#include "reference_aes.h"
#include "support.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#if ENVOL_WITH_LIBCRYPTO
#include "children.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdatomic.h>
#endif

/* --- allocations --- */

static void *calls_in_a_thread(void *argument)
{
    uint64_t before = recorded_calls();

    for (int i = 0; i < 100; i++)
        call_all(argument);
    return (void *)(uintptr_t)(recorded_calls() - before);
}

START_TEST(recorder_counts)
{
    uint64_t before = recorded_calls();

#if ENVOL_WITH_LIBCRYPTO
    EVP_CIPHER_CTX_free(EVP_CIPHER_CTX_new());
    ck_assert_uint_gt(recorded_calls(), before);
#else
    ck_assert_uint_eq(recorded_calls(), before);
#endif
#if RECORDED_MALLOC
    before = recorded_calls();
    void *volatile memory = malloc(10);
    free(memory);
    ck_assert_uint_eq(recorded_calls(), before + 1);
#endif
}
END_TEST

/* From the first call of a thread on, once the kernel is chosen. */
START_TEST(calls_allocate_nothing)
{
    struct calls c = {.kernel = test_kernel(_i), .vault = vault_new(sizeof(struct vault))};
    pthread_t thread;
    void *allocations;

    if (c.kernel == NULL)
        return;
    ck_assert_ptr_null(calls_in_a_thread(&c));
    ck_assert_int_eq(pthread_create(&thread, NULL, calls_in_a_thread, &c), 0);
    ck_assert_int_eq(pthread_join(thread, &allocations), 0);
    ck_assert_ptr_null(allocations);
    ck_assert_uint_eq(c.failures, 0);
#if ENVOL_WITH_LIBCRYPTO
    ck_assert_uint_eq(ERR_peek_error(), 0);
#endif
}
END_TEST

#if ENVOL_WITH_LIBCRYPTO
/*
 * In a child that has no pool yet: the n-th allocation fails, later ones do not.  OpenSSL may do
 * without what it could not get (a cache, say), and then the pool is there all the same.
 * 0: as it should be; 1: n was never reached; more: which step went wrong.
 */
static int pool_without_memory(const struct envol_aes_kernel *kernel, struct vault *vault,
                               uint64_t n)
{
    struct calls c = {.kernel = kernel, .vault = vault};
    bool usable;

    recorded_fail(n);
    usable = kernel->usable();
    if (recorded_fail(0))
        return usable ? 1 : 2;
    if (ERR_peek_error() != 0)
        return 3;
    if (!kernel->usable())
        return 4;
    call_all(&c);
    return c.failures > 0 ? 5 : 0;
}

START_TEST(pool_survives_every_failed_allocation)
{
    struct vault *vault = vault_new(sizeof(struct vault));
    int status = 0;
    uint64_t n = 0;

    /* OpenSSL's own start is not ours to test; what makes the pool is. */
    EVP_CIPHER_free(EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL));
    do {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        n++;
        if (child == 0)
            _exit(pool_without_memory(&envol_aes_libcrypto, vault, n));
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status));
        ck_assert_msg(WEXITSTATUS(status) <= 1, "allocation %" PRIu64 ", step %d", n,
                      WEXITSTATUS(status));
    } while (WEXITSTATUS(status) == 0);
    ck_assert_uint_gt(n, 192);
}
END_TEST

/* --- more calls at once than the pool has contexts --- */

#define CROWD 96u

/*
 * A page of zeros that cannot be read yet: whoever does is halted in the middle of a call, by the
 * handler of the fault, and reads again once the pipe is closed.
 */
static struct {
    uint8_t *page;
    size_t bytes;
    int pipe[2];
    atomic_uint halted;
} gate;

static void halt(int signal_no, siginfo_t *fault, void *context)
{
    uintptr_t offset = (uintptr_t)fault->si_addr - (uintptr_t)gate.page;
    char byte;

    (void)context;
    if (offset >= gate.bytes) {
        signal(signal_no, SIG_DFL); /* another fault: it comes again, and ends the test */
        return;
    }
    atomic_fetch_add(&gate.halted, 1);
    while (read(gate.pipe[0], &byte, 1) < 0 && errno == EINTR)
        ;
}

static void gate_close(void)
{
    struct sigaction action = {.sa_sigaction = halt, .sa_flags = SA_SIGINFO};

    gate.bytes = (size_t)sysconf(_SC_PAGESIZE);
    gate.page = mmap(NULL, gate.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(gate.page, MAP_FAILED);
    ck_assert_int_eq(pipe(gate.pipe), 0);
    ck_assert_int_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void gate_open(void)
{
    ck_assert_int_eq(mprotect(gate.page, gate.bytes, PROT_READ), 0);
    close(gate.pipe[1]);
}

struct crowd {
    struct calls calls;
    uint8_t expected[16];
    atomic_uint right;
};

static void *seal_the_page(void *argument)
{
    struct crowd *crowd = argument;
    uint8_t out[4096], tag[16];
    struct envol_gcm_job job = {
        .nonce = crowd->calls.nonce, .in = gate.page, .out = out, .bytes = sizeof(out), .tag = tag};

    if (crowd->calls.kernel->gcm_seal(crowd->calls.vault->gcm_key, &job, 1) == ENVOL_OK &&
        memcmp(tag, crowd->expected, sizeof(tag)) == 0)
        atomic_fetch_add(&crowd->right, 1);
    return NULL;
}

static void crowd_gather(struct crowd *crowd, pthread_t threads[CROWD])
{
    static uint8_t text[4096];

    crowd->calls.kernel = test_kernel_named("libcrypto");
    crowd->calls.vault = vault_new(sizeof(struct vault));
    ck_assert(crowd->calls.kernel->usable());
    ck_assert_int_eq(
        crowd->calls.kernel->gcm_init(crowd->calls.vault->gcm_key, crowd->calls.vault->raw),
        ENVOL_OK);
    reference_gcm(crowd->calls.vault->raw, crowd->calls.nonce, NULL, 0, text, sizeof(text), text,
                  crowd->expected);
    for (size_t i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, seal_the_page, crowd), 0);
    while (atomic_load(&gate.halted) < CROWD)
        usleep(1000);
}

static void crowd_leave(struct crowd *crowd, const pthread_t threads[CROWD])
{
    gate_open();
    for (size_t i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(crowd->right, CROWD);
}

/* Each allocation for a context of a call's own fails in turn. */
static void own_context_without_memory(struct calls *c)
{
    struct envol_gcm_job job = {
        .nonce = c->nonce, .in = c->text, .out = c->text, .bytes = CALLS_TEXT_BYTES, .tag = c->tag};
    enum envol_status status;
    uint64_t n = 0;

    do {
        test_fill(c->text, sizeof(c->text));
        recorded_fail(++n);
        status = c->kernel->gcm_seal(c->vault->gcm_key, &job, 1);
        ck_assert(status == ENVOL_OK || status == ENVOL_E_NO_MEMORY);
        ck_assert_int_eq(envol_is_zero(c->text, sizeof(c->text)), status != ENVOL_OK);
        ck_assert_int_eq(envol_is_zero(c->tag, sizeof(c->tag)), status != ENVOL_OK);
        ck_assert_uint_eq(ERR_peek_error(), 0);
    } while (!recorded_fail(0));
    ck_assert_int_eq(status, ENVOL_OK);
    ck_assert_uint_gt(n, 2);
}

/* Contexts that threads of the parent were using are free here. */
static int calls_in_a_child(void *argument)
{
    struct calls *c = argument;
    uint64_t before = recorded_calls();

    call_all(c);
    child_expects(c->failures == 0);
    child_expects(recorded_calls() == before);
    return 0;
}

START_TEST(a_crowd_makes_contexts_of_its_own)
{
    struct crowd crowd = {.right = 0};
    pthread_t threads[CROWD];
    uint64_t before;

    gate_close();
    crowd_gather(&crowd, threads);
    before = recorded_calls();
    call_all(&crowd.calls);
    ck_assert_uint_gt(recorded_calls(), before);
    own_context_without_memory(&crowd.calls);
    ck_assert_int_eq(test_in_child(calls_in_a_child, &crowd.calls), 0);
    crowd_leave(&crowd, threads);
    before = recorded_calls();
    call_all(&crowd.calls);
    ck_assert_uint_eq(recorded_calls(), before);
    ck_assert_uint_eq(crowd.calls.failures, 0);
}
END_TEST

/* --- OpenSSL's heap under two keys --- */

/*
 * A tag is public, and the context that made or saw it last keeps it.  One bit of it is turned on
 * the way: see call_all.  Which context that is depends on the depth of the stack, so one that
 * earlier calls used may still keep their tag: all tags of the test go.
 */
static void blank_tag(uint8_t *image, size_t bytes, const uint8_t tag[16])
{
    for (size_t i = 0; i + 16 <= bytes; i++)
        if (memcmp(image + i + 1, tag + 1, 15) == 0)
            memset(image + i, 0, 16);
}

#define IMAGE_BYTES (8u << 20)

/* All live blocks of OpenSSL after the calls with one of two keys, and the tag of these calls. */
struct heap {
    uint8_t tag[16];
    size_t bytes;
    uint8_t image[IMAGE_BYTES];
};

/* Calls with the same key get the same text, and so the same tag. */
static void heap_after(struct calls *c, struct heap *heap)
{
    memset(c->text, 0, sizeof(c->text));
    call_all(c);
    memcpy(heap->tag, c->tag, sizeof(heap->tag));
    heap->bytes = recorded_image(heap->image, sizeof(heap->image));
}

static void swap_keys(struct calls *c)
{
    uint8_t raw[sizeof(c->vault->raw)];

    memcpy(raw, c->vault->raw, sizeof(raw));
    memcpy(c->vault->raw, c->vault->other, sizeof(raw));
    memcpy(c->vault->other, raw, sizeof(raw));
}

/* Whether the heap is the same after calls with one key and with the other, byte for byte.  The
 * context, if there is one, is given each key too. */
static bool is_same_heap(struct calls *c, EVP_CIPHER_CTX *keeper, struct heap heaps[2])
{
    for (size_t i = 0; i < 2; i++) {
        if (keeper != NULL)
            ck_assert_int_eq(EVP_EncryptInit_ex2(keeper, NULL, c->vault->raw, NULL, NULL), 1);
        heap_after(c, &heaps[i]);
        swap_keys(c);
    }
    ck_assert_uint_eq(heaps[0].bytes, heaps[1].bytes);
    for (size_t i = 0; i < 4; i++)
        blank_tag(heaps[i / 2].image, heaps[i / 2].bytes, heaps[i % 2].tag);
    return memcmp(heaps[0].image, heaps[1].image, heaps[0].bytes) == 0;
}

/* Round keys, GHASH tables and all. */
START_TEST(heap_does_not_depend_on_the_key)
{
    struct calls c = {.kernel = &envol_aes_libcrypto, .vault = vault_new(sizeof(struct vault))};
    struct heap *heaps =
        mmap(NULL, 2 * sizeof(*heaps), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EVP_CIPHER_CTX *keeper = EVP_CIPHER_CTX_new();

    ck_assert_ptr_ne(heaps, MAP_FAILED);
    ck_assert(c.kernel->usable());
    ck_assert_int_eq(EVP_EncryptInit_ex2(keeper, EVP_aes_256_gcm(), c.nonce, c.nonce, NULL), 1);
    call_all(&c); /* what OpenSSL makes at its first calls is there from now on */
    ck_assert(is_same_heap(&c, NULL, heaps));
    ck_assert_uint_gt(heaps[0].bytes, 100000);
    ck_assert(!is_same_heap(&c, keeper, heaps));
    ck_assert_uint_eq(c.failures, 0);
    EVP_CIPHER_CTX_free(keeper);
    munmap(heaps, 2 * sizeof(*heaps));
}
END_TEST
#endif

static Suite *suite(void)
{
    Suite *s = suite_create("aes_memory");
    TCase *heap = tcase_create("heap");

#if ENVOL_WITH_LIBCRYPTO
    tcase_add_test(heap, pool_survives_every_failed_allocation);
#endif
    tcase_add_test(heap, recorder_counts);
    tcase_add_loop_test(heap, calls_allocate_nothing, 0, test_all_kernel_count());
#if ENVOL_WITH_LIBCRYPTO
    tcase_add_test(heap, a_crowd_makes_contexts_of_its_own);
    tcase_add_test(heap, heap_does_not_depend_on_the_key);
#endif
    tcase_set_timeout(heap, 120);
    suite_add_tcase(s, heap);
    return s;
}

int main(void)
{
    if (!recorded_begin()) {
        fprintf(stderr, "OpenSSL's allocator cannot be watched\n");
        return 1;
    }
    return test_run(suite());
}

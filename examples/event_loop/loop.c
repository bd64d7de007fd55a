/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop: epoll, timerfd for libcurl's time-outs and the heartbeat, eventfd for threads. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct loop {
    CURLM *multi;
    int epoll;
    unsigned transfers;
    unsigned jobs;
    struct loop_watch timeout;
    struct loop_watch heartbeat;
    int64_t last_tick_ms;
    struct loop_pulse pulse;
};

static int watch(struct loop_watch *watched, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watched};

    return epoll_ctl(watched->loop->epoll, operation, watched->fd, &event);
}

/* Of a timerfd or eventfd, which are not blocking: 0 if it was not due after all. */
static uint64_t take_count(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof count) == (ssize_t)sizeof count ? count : 0;
}

/* --- Transfers ---------------------------------------------------------------------------------*/

/* A message does not outlive the removal of its handle, and done may start the next transfer. */
static void reap(struct loop *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        struct loop_transfer *transfer = NULL;
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        curl_multi_remove_handle(loop->multi, easy);
        loop->transfers--;
        transfer->done(transfer, result);
    }
}

static void socket_ready(struct loop_watch *watched, uint32_t events)
{
    struct loop *loop = watched->loop;
    int running, bits = 0;

    bits |= (events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0;
    bits |= (events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
    bits |= (events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0;
    curl_multi_socket_action(loop->multi, watched->fd, bits, &running);
    reap(loop);
}

static void timeout_ready(struct loop_watch *watched, uint32_t events)
{
    int running;

    (void)events;
    if (take_count(watched->fd) == 0)
        return;
    curl_multi_socket_action(watched->loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(watched->loop);
}

/* libcurl says which sockets it wants to hear of. */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct loop *loop = ctx;
    struct loop_watch *watched = known;
    uint32_t events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL)
            (void)watch(watched, EPOLL_CTL_DEL, 0);
        free(watched);
        return 0;
    }
    events |= (what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u;
    events |= (what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u;
    if (watched != NULL)
        return watch(watched, EPOLL_CTL_MOD, events);
    watched = malloc(sizeof *watched);
    if (watched == NULL)
        return -1;
    *watched = (struct loop_watch){socket_ready, loop, fd};
    if (watch(watched, EPOLL_CTL_ADD, events) != 0) {
        free(watched);
        return -1;
    }
    curl_multi_assign(loop->multi, fd, watched);
    return 0;
}

/* -1 disarms.  0 is due at once, but not in this call: libcurl must not be entered again from it.
 */
static int timeout_wanted(CURLM *multi, long timeout_ms, void *ctx)
{
    struct loop *loop = ctx;
    struct itimerspec due = {.it_value = {0, 0}};

    (void)multi;
    if (timeout_ms >= 0) {
        due.it_value.tv_sec = timeout_ms / 1000;
        due.it_value.tv_nsec = timeout_ms % 1000 * 1000000 + (timeout_ms == 0);
    }
    return timerfd_settime(loop->timeout.fd, 0, &due, NULL);
}

int loop_fetch(struct loop *loop, struct loop_transfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    if (curl_multi_add_handle(loop->multi, transfer->easy) != CURLM_OK)
        return -1;
    loop->transfers++;
    return 0;
}

/* --- Work in threads ---------------------------------------------------------------------------*/

static void *job_main(void *ctx)
{
    struct loop_job *job = ctx;
    const uint64_t one = 1;

    job->work(job);
    /* The first addition to an eventfd cannot fail. */
    (void)!write(job->watch.fd, &one, sizeof one);
    return NULL;
}

/* The thread has nothing left to do but to return. */
static void job_ready(struct loop_watch *watched, uint32_t events)
{
    struct loop_job *job = (struct loop_job *)watched;

    (void)events;
    if (take_count(watched->fd) == 0)
        return;
    pthread_join(job->thread, NULL);
    close(watched->fd);
    watched->loop->jobs--;
    job->done(job);
}

int loop_offload(struct loop *loop, struct loop_job *job)
{
    job->watch = (struct loop_watch){job_ready, loop, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (job->watch.fd < 0)
        return -1;
    if (watch(&job->watch, EPOLL_CTL_ADD, EPOLLIN) != 0 ||
        pthread_create(&job->thread, NULL, job_main, job) != 0) {
        close(job->watch.fd);
        return -1;
    }
    loop->jobs++;
    return 0;
}

/* --- The heartbeat -----------------------------------------------------------------------------*/

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Counts wake-ups: what the timer made up for after a pause is one. */
static void heartbeat_ready(struct loop_watch *watched, uint32_t events)
{
    struct loop *loop = watched->loop;
    int64_t now = now_ms();
    uint64_t pause = (uint64_t)(now - loop->last_tick_ms);

    (void)events;
    if (take_count(watched->fd) == 0)
        return;
    loop->last_tick_ms = now;
    loop->pulse.ticks++;
    loop->pulse.ticks_in_transfers += loop->transfers > 0;
    if (pause > loop->pulse.longest_pause_ms)
        loop->pulse.longest_pause_ms = pause;
}

const struct loop_pulse *loop_pulse(const struct loop *loop)
{
    return &loop->pulse;
}

/* --- The loop itself ---------------------------------------------------------------------------*/

static int add_timer(struct loop *loop, struct loop_watch *timer,
                     void (*ready)(struct loop_watch *, uint32_t))
{
    *timer = (struct loop_watch){ready, loop,
                                 timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    return timer->fd < 0 ? -1 : watch(timer, EPOLL_CTL_ADD, EPOLLIN);
}

struct loop *loop_open(void)
{
    const struct timespec tick = {.tv_nsec = LOOP_TICK_MS * 1000000L};
    const struct itimerspec beat = {.it_interval = tick, .it_value = tick};
    struct loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return NULL;
    loop->timeout.fd = loop->heartbeat.fd = -1;
    loop->multi = curl_multi_init();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->multi == NULL || loop->epoll < 0 ||
        add_timer(loop, &loop->timeout, timeout_ready) != 0 ||
        add_timer(loop, &loop->heartbeat, heartbeat_ready) != 0 ||
        timerfd_settime(loop->heartbeat.fd, 0, &beat, NULL) != 0) {
        loop_close(loop);
        return NULL;
    }
    loop->last_tick_ms = now_ms();
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, timeout_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    return loop;
}

/* Closes libcurl's connections, which are still watched, first. */
void loop_close(struct loop *loop)
{
    if (loop == NULL)
        return;
    curl_multi_cleanup(loop->multi);
    if (loop->timeout.fd >= 0)
        close(loop->timeout.fd);
    if (loop->heartbeat.fd >= 0)
        close(loop->heartbeat.fd);
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop);
}

/* One event at a time: what one callback frees cannot be in the rest of a batch. */
int loop_run(struct loop *loop)
{
    struct epoll_event event;

    while (loop->transfers + loop->jobs > 0) {
        int ready = epoll_wait(loop->epoll, &event, 1, -1);

        if (ready < 0 && errno != EINTR)
            return -1;
        if (ready == 1) {
            struct loop_watch *watched = event.data.ptr;
            watched->ready(watched, event.events);
        }
    }
    return 0;
}

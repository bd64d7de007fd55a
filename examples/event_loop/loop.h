/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An event loop on epoll: libcurl's transfers by its multi socket interface, work for a thread
 * where a call may wait (disks), and a heartbeat that shows that nothing else does.
 */
#ifndef EVENT_LOOP_LOOP_H
#define EVENT_LOOP_LOOP_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdint.h>

struct loop;

/* A descriptor that is waited for; whoever embeds it finds itself by its address. */
struct loop_watch {
    void (*ready)(struct loop_watch *watch, uint32_t events);
    struct loop *loop;
    int fd;
};

/* A transfer; its easy handle is the caller's, and free again when done is called. */
struct loop_transfer {
    CURL *easy;
    void (*done)(struct loop_transfer *transfer, CURLcode result);
};

/* work runs in a thread of its own, done afterwards on the loop. */
struct loop_job {
    struct loop_watch watch; /* first */
    pthread_t thread;
    void (*work)(struct loop_job *job);
    void (*done)(struct loop_job *job);
};

struct loop_pulse {
    uint64_t ticks;
    uint64_t ticks_in_transfers; /* while a transfer was going on */
    uint64_t longest_pause_ms;   /* between two ticks, LOOP_TICK_MS when all is well */
};

enum { LOOP_TICK_MS = 20 };

/* NULL if the system has no more descriptors or memory. */
struct loop *loop_open(void);
void loop_close(struct loop *loop);

/* Returns when nothing is under way any more; -1 if epoll failed. */
int loop_run(struct loop *loop);

/* Start something; -1 if that fails, and done is then not called.  Both are borrowed until done. */
int loop_fetch(struct loop *loop, struct loop_transfer *transfer);
int loop_offload(struct loop *loop, struct loop_job *job);

const struct loop_pulse *loop_pulse(const struct loop *loop);

#endif

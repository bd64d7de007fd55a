/* SPDX-License-Identifier: BSD-2-Clause */
/* The replaying half of the crash store: every image that a crash could have left. */
#include "crash_log.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR_BYTES = 512, COMBINED = 4, STORY_BYTES = 512 };

/* What became of a call that was not synced. */
enum fate_kind { LOST, DONE, FRONT, BACK };

/* FRONT: all before `edge` in the store is done; BACK: all from there on. */
struct fate {
    enum fate_kind kind;
    uint64_t edge;
};

/* A call that no successful sync covers, or that stands behind one. */
struct pending {
    const struct crash_call *call;
    size_t number;
    bool orphan; /* a sync failed to save it */
    bool synced;
    struct fate fate;
};

struct replay {
    const struct crash_store *crash;
    size_t sector_bytes, first_call;
    void (*check)(const struct crash_image *image, void *ctx);
    void *ctx;
    uint8_t *stable, *image; /* room bytes each */
    size_t stable_bytes, room;
    struct pending *pending; /* in order */
    size_t pendings, calls;
    struct pending **open; /* those whose fate is not decided */
    size_t opens;
    bool fresh; /* the last of them has just begun: that it was lost is the moment before */
    size_t images;
};

static void grow(uint8_t *image, size_t *bytes, uint64_t to)
{
    if (to > *bytes) {
        memset(image + *bytes, 0, (size_t)to - *bytes);
        *bytes = (size_t)to;
    }
}

static void apply_write(const struct crash_call *call, struct fate fate, uint8_t *image,
                        size_t *bytes)
{
    uint64_t from = call->offset, to = call->offset + call->bytes;

    if (fate.kind == FRONT && fate.edge < to)
        to = fate.edge;
    if (fate.kind == BACK && fate.edge > from)
        from = fate.edge;
    if (from >= to)
        return;
    grow(image, bytes, to);
    memcpy(image + from, call->data + (from - call->offset), (size_t)(to - from));
}

static void apply(const struct crash_call *call, struct fate fate, uint8_t *image, size_t *bytes)
{
    uint64_t end = call->offset + call->bytes;

    if (fate.kind == LOST)
        return;
    if (call->kind == CRASH_WRITE) {
        apply_write(call, fate, image, bytes);
    } else if (call->kind == CRASH_RESIZE) {
        grow(image, bytes, call->offset);
        *bytes = (size_t)call->offset;
    } else if (call->offset < *bytes) {
        memset(image + call->offset, 0, (size_t)((end < *bytes ? end : *bytes) - call->offset));
    }
}

static void tell(const struct replay *r, char story[STORY_BYTES])
{
    static const char *const names[] = {"lost", "done", "front of", "back of"};
    int at = snprintf(story, STORY_BYTES, "after call %zu:", r->calls);

    for (size_t i = 0; i < r->opens && at < STORY_BYTES - 64; i++) {
        const struct pending *p = r->open[i];
        at += snprintf(story + at, (size_t)(STORY_BYTES - at), " %zu %s", p->number,
                       names[p->fate.kind]);
        if (p->fate.kind == FRONT || p->fate.kind == BACK)
            at += snprintf(story + at, (size_t)(STORY_BYTES - at), " %llu",
                           (unsigned long long)p->fate.edge);
    }
}

static void show(struct replay *r)
{
    char story[STORY_BYTES];
    struct crash_image image = {.calls = r->calls, .story = story, .size = r->stable_bytes};

    memcpy(r->image, r->stable, r->stable_bytes);
    for (size_t i = 0; i < r->pendings; i++)
        apply(r->pending[i].call, r->pending[i].fate, r->image, &image.size);
    tell(r, story);
    image.bytes = r->image;
    r->check(&image, r->ctx);
    r->images++;
}

/* The sector edge in the middle of a write, or the next; not within it: it lies in one sector. */
static uint64_t middle(const struct replay *r, const struct crash_call *call)
{
    uint64_t edge = (call->offset + call->bytes / 2) / r->sector_bytes * r->sector_bytes;

    return edge > call->offset ? edge : edge + r->sector_bytes;
}

static unsigned fates_of(const struct replay *r, const struct pending *p)
{
    bool tears =
        p->call->kind == CRASH_WRITE && middle(r, p->call) < p->call->offset + p->call->bytes;

    return tears ? 4 : 2;
}

/* Every combination of the four fates. */
static void show_combined(struct replay *r, size_t from)
{
    struct pending *p;

    if (from == r->opens) {
        show(r);
        return;
    }
    p = r->open[from];
    for (unsigned kind = r->fresh && from + 1 == r->opens ? DONE : LOST; kind < fates_of(r, p);
         kind++) {
        p->fate = (struct fate){(enum fate_kind)kind, middle(r, p->call)};
        show_combined(r, from + 1);
    }
}

static void set_fates(struct replay *r, size_t from, size_t to, enum fate_kind kind)
{
    for (size_t i = from; i < to; i++)
        r->open[i]->fate.kind = kind;
}

static void show_many(struct replay *r)
{
    set_fates(r, 0, r->opens, LOST);
    show(r);
    for (size_t i = 0; i < r->opens; i++) {
        set_fates(r, 0, r->opens, DONE);
        r->open[i]->fate.kind = LOST;
        show(r);
        set_fates(r, 0, r->opens, LOST);
        r->open[i]->fate.kind = DONE;
        show(r);
        set_fates(r, 0, i, DONE);
        show(r);
    }
    set_fates(r, 0, r->opens, DONE);
    show(r);
}

/* The last call torn at each sector edge within it. */
static void show_torn(struct replay *r)
{
    struct pending *last = r->open[r->opens - 1];
    uint64_t end = last->call->offset + last->call->bytes;

    if (last->call->kind != CRASH_WRITE)
        return;
    for (unsigned others = LOST; others <= (r->opens > 1 ? DONE : LOST); others++) {
        uint64_t edge = (last->call->offset / r->sector_bytes + 1) * r->sector_bytes;
        set_fates(r, 0, r->opens - 1, (enum fate_kind)others);
        for (; edge < end; edge += r->sector_bytes)
            for (unsigned kind = FRONT; kind <= BACK; kind++) {
                last->fate = (struct fate){(enum fate_kind)kind, edge};
                show(r);
            }
    }
}

static void find_open(struct replay *r)
{
    r->opens = 0;
    for (size_t i = 0; i < r->pendings; i++) {
        if (!r->pending[i].synced)
            r->open[r->opens++] = &r->pending[i];
        else
            r->pending[i].fate.kind = DONE;
    }
}

static void show_moment(struct replay *r)
{
    find_open(r);
    if (r->calls < r->first_call)
        return;
    if (r->opens == 0) {
        show(r);
        return;
    }
    if (r->opens <= COMBINED)
        show_combined(r, 0);
    else
        show_many(r);
    if (r->fresh)
        show_torn(r);
}

static bool covers(const struct crash_call *over, const struct crash_call *under)
{
    return over->kind == CRASH_WRITE && under->kind == CRASH_WRITE &&
           over->offset <= under->offset &&
           over->offset + over->bytes >= under->offset + under->bytes;
}

/* What was written over in the meantime, by something stable, is of no consequence any more. */
static bool is_moot(const struct replay *r, size_t i)
{
    for (size_t j = i + 1; j < r->pendings; j++)
        if (r->pending[j].synced && covers(r->pending[j].call, r->pending[i].call))
            return true;
    return false;
}

/* In order: a call that may be lost keeps what came after it from becoming part of the base. */
static void settle(struct replay *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->pendings; i++)
        r->pending[i].synced |= !r->pending[i].orphan;
    for (size_t i = 0; i < r->pendings; i++) {
        const struct pending *p = &r->pending[i];
        if (!p->synced && is_moot(r, i))
            continue;
        if (p->synced && kept == 0)
            apply(p->call, (struct fate){.kind = DONE}, r->stable, &r->stable_bytes);
        else
            r->pending[kept++] = *p;
    }
    r->pendings = kept;
}

static void step(struct replay *r, const struct crash_call *call)
{
    r->calls++;
    r->fresh = false;
    if (call->kind == CRASH_SYNC) {
        settle(r);
    } else if (call->kind == CRASH_FAILED_SYNC) {
        for (size_t i = 0; i < r->pendings; i++)
            r->pending[i].orphan |= !r->pending[i].synced;
    } else if (call->kind != CRASH_WRITE || call->bytes > 0) {
        r->pending[r->pendings++] = (struct pending){.call = call, .number = r->calls};
        r->fresh = true;
    }
    /* A failed sync adds no image, but to what was promised before it. */
    if (call->kind != CRASH_WRITE || call->bytes > 0)
        show_moment(r);
}

static size_t largest(const struct crash_store *crash)
{
    uint64_t most = crash->base_bytes;

    for (size_t i = 0; i < crash->count; i++) {
        uint64_t end = crash->calls[i].offset + crash->calls[i].bytes;
        if (crash->calls[i].kind != CRASH_DISCARD && end > most)
            most = end;
    }
    return (size_t)most;
}

size_t crash_store_replay(struct crash_store *crash, const struct crash_options *options,
                          void (*check)(const struct crash_image *image, void *ctx), void *ctx)
{
    struct replay r = {.crash = crash, .check = check, .ctx = ctx, .room = largest(crash)};

    r.sector_bytes =
        options != NULL && options->sector_bytes > 0 ? options->sector_bytes : SECTOR_BYTES;
    r.first_call = options != NULL ? options->first_call : 0;
    r.stable = crash_alloc(r.room);
    r.image = crash_alloc(r.room);
    r.pending = crash_alloc((crash->count + 1) * sizeof(*r.pending));
    r.open = crash_alloc((crash->count + 1) * sizeof(struct pending *));
    memcpy(r.stable, crash->base, crash->base_bytes);
    r.stable_bytes = crash->base_bytes;
    show_moment(&r);
    for (size_t i = 0; i < crash->count; i++)
        step(&r, &crash->calls[i]);
    free(r.open);
    free(r.pending);
    free(r.image);
    free(r.stable);
    return r.images;
}

unsigned crash_store_sample(unsigned valgrind, unsigned tsan, unsigned other)
{
    const char *tool = test_tool();

    if (tool == NULL)
        return 1;
    return strcmp(tool, "valgrind") == 0 ? valgrind : strcmp(tool, "tsan") == 0 ? tsan : other;
}

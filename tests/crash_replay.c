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

/* One file: what is stable of it, and what a moment made of it. */
struct replayed {
    const char *name;        /* "": it is not there; file 0 always is */
    uint8_t *stable, *image; /* room bytes each */
    size_t stable_bytes, image_bytes, room;
    bool held; /* a call that may be lost stands before those to come */
};

struct replay {
    const struct crash_store *crash;
    size_t sector_bytes, first_call;
    void (*check)(const struct crash_image *image, void *ctx);
    void *ctx;
    struct replayed *files;
    struct crash_image_file *shown;
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

static void show_files(const struct replay *r, struct crash_image *image)
{
    for (size_t i = 1; i < r->crash->file_count; i++) {
        const struct replayed *file = &r->files[i];

        if (*file->name != '\0')
            r->shown[image->file_count++] =
                (struct crash_image_file){file->name, file->image, file->image_bytes};
    }
    image->files = r->shown;
    image->bytes = r->files[0].image;
    image->size = r->files[0].image_bytes;
}

static void show(struct replay *r)
{
    char story[STORY_BYTES];
    struct crash_image image = {.calls = r->calls, .story = story};

    for (size_t i = 0; i < r->crash->file_count; i++) {
        struct replayed *file = &r->files[i];

        memcpy(file->image, file->stable, file->stable_bytes);
        file->image_bytes = file->stable_bytes;
    }
    for (size_t i = 0; i < r->pendings; i++) {
        struct replayed *file = &r->files[r->pending[i].call->file];

        apply(r->pending[i].call, r->pending[i].fate, file->image, &file->image_bytes);
    }
    tell(r, story);
    show_files(r, &image);
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
    return over->file == under->file && over->kind == CRASH_WRITE && under->kind == CRASH_WRITE &&
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
static void settle(struct replay *r, size_t number)
{
    struct replayed *file = &r->files[number];
    size_t kept = 0;

    for (size_t i = 0; i < r->pendings; i++)
        r->pending[i].synced |= r->pending[i].call->file == number && !r->pending[i].orphan;
    file->held = false;
    for (size_t i = 0; i < r->pendings; i++) {
        const struct pending *p = &r->pending[i];
        bool mine = p->call->file == number;

        if (mine && !p->synced && is_moot(r, i))
            continue;
        if (mine && p->synced && !file->held) {
            apply(p->call, (struct fate){.kind = DONE}, file->stable, &file->stable_bytes);
            continue;
        }
        file->held |= mine;
        r->pending[kept++] = *p;
    }
    r->pendings = kept;
}

/* What becomes of a file without a name shows in no image. */
static void rename_file(struct replay *r, const struct crash_call *call)
{
    size_t kept = 0;

    r->files[call->file].name = call->data != NULL ? (const char *)call->data : "";
    if (call->data != NULL)
        return;
    for (size_t i = 0; i < r->pendings; i++)
        if (r->pending[i].call->file != call->file)
            r->pending[kept++] = r->pending[i];
    r->pendings = kept;
}

static bool is_nothing(const struct replay *r, const struct crash_call *call)
{
    if (call->kind == CRASH_NAME)
        return false;
    return (call->kind == CRASH_WRITE && call->bytes == 0) ||
           (call->file > 0 && *r->files[call->file].name == '\0');
}

static void step(struct replay *r, const struct crash_call *call)
{
    r->calls++;
    r->fresh = false;
    if (is_nothing(r, call))
        return;
    if (call->kind == CRASH_SYNC) {
        settle(r, call->file);
    } else if (call->kind == CRASH_FAILED_SYNC) {
        for (size_t i = 0; i < r->pendings; i++)
            r->pending[i].orphan |= !r->pending[i].synced && r->pending[i].call->file == call->file;
    } else if (call->kind == CRASH_NAME) {
        rename_file(r, call);
    } else {
        r->pending[r->pendings++] = (struct pending){.call = call, .number = r->calls};
        r->fresh = true;
    }
    /* A failed sync adds no image, but to what was promised before it. */
    show_moment(r);
}

static size_t largest(const struct crash_store *crash, const struct crash_file *file)
{
    uint64_t most = file->base_bytes;

    for (size_t i = 0; i < crash->count; i++) {
        const struct crash_call *call = &crash->calls[i];
        uint64_t end = call->offset + call->bytes;

        if (call->file == file->number && call->kind <= CRASH_RESIZE && end > most)
            most = end;
    }
    return (size_t)most;
}

static void begin_files(struct replay *r)
{
    r->files = crash_alloc(r->crash->file_count * sizeof(*r->files));
    r->shown = crash_alloc(r->crash->file_count * sizeof(*r->shown));
    for (size_t i = 0; i < r->crash->file_count; i++) {
        const struct crash_file *from = r->crash->files[i];
        struct replayed *file = &r->files[i];

        file->name = from->base_name;
        file->room = largest(r->crash, from);
        file->stable = crash_alloc(file->room);
        file->image = crash_alloc(file->room);
        memcpy(file->stable, from->base, from->base_bytes);
        file->stable_bytes = from->base_bytes;
    }
}

static void end_files(struct replay *r)
{
    for (size_t i = 0; i < r->crash->file_count; i++) {
        free(r->files[i].image);
        free(r->files[i].stable);
    }
    free(r->shown);
    free(r->files);
}

size_t crash_store_replay(struct crash_store *crash, const struct crash_options *options,
                          void (*check)(const struct crash_image *image, void *ctx), void *ctx)
{
    struct replay r = {.crash = crash, .check = check, .ctx = ctx};

    r.sector_bytes =
        options != NULL && options->sector_bytes > 0 ? options->sector_bytes : SECTOR_BYTES;
    r.first_call = options != NULL ? options->first_call : 0;
    r.pending = crash_alloc((crash->count + 1) * sizeof(*r.pending));
    r.open = crash_alloc((crash->count + 1) * sizeof(struct pending *));
    begin_files(&r);
    show_moment(&r);
    for (size_t i = 0; i < crash->count; i++)
        step(&r, &crash->calls[i]);
    end_files(&r);
    free(r.open);
    free(r.pending);
    return r.images;
}

unsigned crash_store_sample(unsigned valgrind, unsigned tsan, unsigned other)
{
    const char *tool = test_tool();

    if (tool == NULL)
        return 1;
    return strcmp(tool, "valgrind") == 0 ? valgrind : strcmp(tool, "tsan") == 0 ? tsan : other;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests and claims of runs of pages. */
#include "volume/hot.h"

bool envol_hot_init(struct envol_hot *hot)
{
    *hot = (struct envol_hot){.first = 0};
    if (pthread_mutex_init(&hot->lock, NULL) != 0)
        return false;
    if (pthread_cond_init(&hot->changed, NULL) == 0)
        return true;
    pthread_mutex_destroy(&hot->lock);
    return false;
}

void envol_hot_destroy(struct envol_hot *hot)
{
    pthread_cond_destroy(&hot->changed);
    pthread_mutex_destroy(&hot->lock);
}

static bool overlaps(uint64_t first, uint64_t end, uint64_t other_first, uint64_t other_end)
{
    return first < other_end && other_first < end;
}

static bool is_at(const struct envol_hot *hot, const struct envol_hot_guest *guest)
{
    return overlaps(guest->first, guest->end, hot->first, hot->end);
}

enum envol_status envol_hot_enter(struct envol_hot *hot, struct envol_hot_guest *guest,
                                  uint64_t first, uint64_t end, bool reads)
{
    enum envol_status status = ENVOL_OK;

    *guest = (struct envol_hot_guest){.first = first, .end = end, .reads = reads};
    pthread_mutex_lock(&hot->lock);
    while (!hot->stuck && is_at(hot, guest) && !(reads && hot->is_shared))
        pthread_cond_wait(&hot->changed, &hot->lock);
    if (hot->stuck && (end == UINT64_MAX || is_at(hot, guest))) {
        status = ENVOL_E_IO;
    } else {
        guest->inside = true;
        if (reads && is_at(hot, guest))
            guest->copy = hot->copy;
        guest->next = hot->guests;
        guest->link = &hot->guests;
        if (guest->next != NULL)
            guest->next->link = &guest->next;
        hot->guests = guest;
    }
    pthread_mutex_unlock(&hot->lock);
    return status;
}

void envol_hot_leave(struct envol_hot *hot, struct envol_hot_guest *guest)
{
    if (!guest->inside)
        return;
    pthread_mutex_lock(&hot->lock);
    *guest->link = guest->next;
    if (guest->next != NULL)
        guest->next->link = guest->link;
    if (guest->copy.records != NULL || is_at(hot, guest))
        pthread_cond_broadcast(&hot->changed);
    pthread_mutex_unlock(&hot->lock);
    guest->inside = false;
}

/* Whom the claim's owner waits for.  Those who read a copy may be at a run that was claimed. */
typedef bool is_awaited(const struct envol_hot *hot, const struct envol_hot_guest *guest);

static bool writes_here(const struct envol_hot *hot, const struct envol_hot_guest *guest)
{
    return !guest->reads && is_at(hot, guest);
}

static bool is_at_store(const struct envol_hot *hot, const struct envol_hot_guest *guest)
{
    return guest->copy.records == NULL && is_at(hot, guest);
}

static bool reads_copy(const struct envol_hot *hot, const struct envol_hot_guest *guest)
{
    (void)hot;
    return guest->copy.records != NULL;
}

static bool has_guest(const struct envol_hot *hot, is_awaited *is)
{
    for (const struct envol_hot_guest *guest = hot->guests; guest != NULL; guest = guest->next)
        if (is(hot, guest))
            return true;
    return false;
}

/* Holds the lock. */
static void await(struct envol_hot *hot, is_awaited *is)
{
    while (has_guest(hot, is))
        pthread_cond_wait(&hot->changed, &hot->lock);
}

static void claim(struct envol_hot *hot, uint64_t first, uint64_t end, bool is_shared)
{
    pthread_mutex_lock(&hot->lock);
    hot->first = first;
    hot->end = end;
    hot->is_shared = is_shared;
    hot->stuck = false;
    await(hot, is_shared ? writes_here : is_at);
    pthread_mutex_unlock(&hot->lock);
}

void envol_hot_claim(struct envol_hot *hot, uint64_t first, uint64_t end)
{
    claim(hot, first, end, false);
}

void envol_hot_claim_writes(struct envol_hot *hot, uint64_t first, uint64_t end)
{
    claim(hot, first, end, true);
}

void envol_hot_serve(struct envol_hot *hot, const uint8_t *records)
{
    pthread_mutex_lock(&hot->lock);
    hot->copy = (struct envol_hot_copy){records, hot->first, hot->end};
    await(hot, is_at_store);
    pthread_mutex_unlock(&hot->lock);
}

/* Whoever comes from here on is given no copy. */
static void end_claim(struct envol_hot *hot, bool stuck)
{
    pthread_mutex_lock(&hot->lock);
    if (!stuck)
        hot->first = hot->end = 0;
    hot->stuck = stuck;
    hot->is_shared = false;
    hot->copy = (struct envol_hot_copy){.records = NULL};
    pthread_cond_broadcast(&hot->changed);
    await(hot, reads_copy);
    pthread_mutex_unlock(&hot->lock);
}

void envol_hot_release(struct envol_hot *hot)
{
    end_claim(hot, false);
}

void envol_hot_keep(struct envol_hot *hot)
{
    end_claim(hot, true);
}

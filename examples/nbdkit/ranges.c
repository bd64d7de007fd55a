/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks on ranges of pages: a list of the requests in progress, which nbdkit's threads bound. */
#include "ranges.h"

#include <stddef.h>

static bool conflict(const struct range *a, const struct range *b)
{
    return (a->alone || b->alone) && a->first <= b->last && b->first <= a->last;
}

/* Whether one that came before is in the way.  First come, first served: nobody is passed by. */
static bool has_to_wait(const struct ranges *ranges, const struct range *range)
{
    for (const struct range *other = ranges->list; other != range; other = other->next) {
        if (conflict(other, range))
            return true;
    }
    return false;
}

void ranges_take(struct ranges *ranges, struct range *range)
{
    struct range **end = &ranges->list;

    pthread_mutex_lock(&ranges->lock);
    while (*end != NULL)
        end = &(*end)->next;
    range->next = NULL;
    *end = range;
    while (has_to_wait(ranges, range))
        pthread_cond_wait(&ranges->changed, &ranges->lock);
    pthread_mutex_unlock(&ranges->lock);
}

void ranges_give(struct ranges *ranges, struct range *range)
{
    struct range **at = &ranges->list;

    pthread_mutex_lock(&ranges->lock);
    while (*at != range)
        at = &(*at)->next;
    *at = range->next;
    pthread_cond_broadcast(&ranges->changed);
    pthread_mutex_unlock(&ranges->lock);
}

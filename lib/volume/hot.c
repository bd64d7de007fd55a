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

enum envol_status envol_hot_enter(struct envol_hot *hot, struct envol_hot_guest *guest,
                                  uint64_t first, uint64_t end)
{
    enum envol_status status = ENVOL_OK;

    *guest = (struct envol_hot_guest){.first = first, .end = end};
    pthread_mutex_lock(&hot->lock);
    while (!hot->stuck && overlaps(first, end, hot->first, hot->end))
        pthread_cond_wait(&hot->changed, &hot->lock);
    if (hot->stuck && (end == UINT64_MAX || overlaps(first, end, hot->first, hot->end))) {
        status = ENVOL_E_IO;
    } else {
        guest->inside = true;
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
    if (overlaps(guest->first, guest->end, hot->first, hot->end))
        pthread_cond_broadcast(&hot->changed);
    pthread_mutex_unlock(&hot->lock);
    guest->inside = false;
}

static bool has_guests(const struct envol_hot *hot)
{
    for (const struct envol_hot_guest *guest = hot->guests; guest != NULL; guest = guest->next)
        if (overlaps(guest->first, guest->end, hot->first, hot->end))
            return true;
    return false;
}

void envol_hot_claim(struct envol_hot *hot, uint64_t first, uint64_t end)
{
    pthread_mutex_lock(&hot->lock);
    hot->first = first;
    hot->end = end;
    hot->stuck = false;
    while (has_guests(hot))
        pthread_cond_wait(&hot->changed, &hot->lock);
    pthread_mutex_unlock(&hot->lock);
}

void envol_hot_release(struct envol_hot *hot)
{
    pthread_mutex_lock(&hot->lock);
    hot->first = hot->end = 0;
    hot->stuck = false;
    pthread_cond_broadcast(&hot->changed);
    pthread_mutex_unlock(&hot->lock);
}

void envol_hot_keep(struct envol_hot *hot)
{
    pthread_mutex_lock(&hot->lock);
    hot->stuck = true;
    pthread_cond_broadcast(&hot->changed);
    pthread_mutex_unlock(&hot->lock);
}

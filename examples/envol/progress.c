/* SPDX-License-Identifier: BSD-2-Clause */
/* The progress bar: on standard error, on a terminal only, drawn ten times a second at most. */
#include "command.h"

#include <time.h>
#include <unistd.h>

enum { BAR_CELLS = 30 };

static const double redraw_s = 0.1;
static const double mebibyte = 1048576.0;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void progress_start(struct progress *progress, const char *verb, uint64_t total_bytes)
{
    *progress = (struct progress){
        .verb = verb,
        .total_bytes = total_bytes,
        .started_s = now_s(),
        .on_terminal = isatty(STDERR_FILENO) == 1,
    };
}

static void draw_bar(double share)
{
    int full = (int)(share * BAR_CELLS);

    fputs(" [", stderr);
    for (int i = 0; i < BAR_CELLS; i++)
        fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3d %%", (int)(share * 100));
}

/* Hours only where there are some. */
static void draw_left(double left_s)
{
    unsigned long s = (unsigned long)(left_s + 0.5);

    if (s >= 3600)
        fprintf(stderr, "  %lu:%02lu:%02lu left", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(stderr, "  %lu:%02lu left", s / 60, s % 60);
}

static void draw(struct progress *progress, double now)
{
    double elapsed_s = now - progress->started_s;
    double done = (double)progress->done_bytes;
    double here = done - (double)progress->skipped_bytes;
    double rate = elapsed_s > 0 ? here / elapsed_s : 0; /* bytes/s */
    double share = progress->total_bytes == 0 ? 0 : done / (double)progress->total_bytes;

    fprintf(stderr, "\r%s", progress->verb);
    if (progress->total_bytes != 0)
        draw_bar(share < 1 ? share : 1);
    fprintf(stderr, "  %.1f MiB  %.1f MiB/s", done / mebibyte, rate / mebibyte);
    if (rate > 0 && done < (double)progress->total_bytes)
        draw_left(((double)progress->total_bytes - done) / rate);
    fputs("\033[K", stderr);
    fflush(stderr);
    progress->drawn_s = now;
    progress->drawn = true;
}

void progress_skip(struct progress *progress, uint64_t bytes)
{
    progress->done_bytes = progress->skipped_bytes = bytes;
}

void progress_add(struct progress *progress, uint64_t bytes)
{
    double now;

    progress->done_bytes += bytes;
    if (!progress->on_terminal)
        return;
    now = now_s();
    if (!progress->drawn || now - progress->drawn_s >= redraw_s)
        draw(progress, now);
}

void progress_hide(struct progress *progress)
{
    if (!progress->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->drawn = false;
}

void progress_done(struct progress *progress)
{
    if (!progress->on_terminal)
        return;
    draw(progress, now_s());
    fputc('\n', stderr);
}

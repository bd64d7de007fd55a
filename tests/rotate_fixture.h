/* SPDX-License-Identifier: BSD-2-Clause */
/* The calls of a rotation on the volume of a slot fixture, recorded. */
#ifndef ENVOL_TESTS_ROTATE_FIXTURE_H
#define ENVOL_TESTS_ROTATE_FIXTURE_H

#include "slot_fixture.h"

#include <envol/rotate.h>

enum envol_status rotate_begin_with(struct slot_fixture *s, const struct envol_cmk *cmks, size_t n,
                                    uint32_t flags, const struct envol_volume_options *options);
/* With the first CMK alone. */
enum envol_status rotate_begin(struct slot_fixture *s);
enum envol_status rotate_step(struct slot_fixture *s, uint64_t pages);
enum envol_status rotate_run(struct slot_fixture *s);
enum envol_status rotate_finish(struct slot_fixture *s, uint32_t flags);
struct envol_rotation rotate_status(struct slot_fixture *s);
/* A static struct. */
const struct envol_ledger *rotate_ledger(struct slot_fixture *s);

/* Every page is as the fixture wrote it. */
void rotate_expect_all(struct slot_fixture *s);

#endif

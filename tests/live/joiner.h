/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Consumers that join a queue and leave it, again and again, each in a process of its own without rights, while the
 * daemon is killed. Some go without a word, others say goodbye, and some stop halfway; meanwhile they take frames, give
 * them back or keep them, and send.
 *
 *     struct joiners *joiners = joiners_start(daemon, random);
 *     ...
 *     joiners_stop(joiners);
 *
 * On `near` queue 0, which is shared, in its group `split` and as taps, and on `left` queue 1, which is exclusive. Frames
 * are those of witness_traffic().
 */
#ifndef TESTS_LIVE_JOINER_H
#define TESTS_LIVE_JOINER_H

#include <stdint.h>

struct instance;
struct joiners;

struct joiners *joiners_start(const struct instance *daemon, uint64_t seed);

/*
 * They end. Tells what they did, and fails the test if one joined never, or for a reason that no kill explains, or got a
 * frame twice or before one that was sent earlier.
 */
void joiners_stop(struct joiners *joiners);

#endif

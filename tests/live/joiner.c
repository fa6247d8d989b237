// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/joiner.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "tests/live/child.h"
#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/protocol.h"
#include "tests/live/random.h"
#include "tests/live/witness.h"

#define JOINERS	 4 /* the last one is that of the exclusive queue */
#define PATIENCE 30000

/* In memory that it shares with the test. */
struct joiner {
	struct protocol_target target;
	bool exclusive;
	uint64_t random;
	int stop;
	uint64_t joins, failures, received, sent;
	uint64_t again; /* frames that it had, or that should have come before others */
	int strange;	/* -errno that no kill of the daemon explains */
};

struct joiners {
	struct joiner joiner[JOINERS];
	struct child *child[JOINERS];
};

/* ---- in a joiner's process ---- */

/* The frames of a flow come in their order; those of a tap may be overwritten by now. */
static void look_at(struct joiner *joiner, const struct protocol *protocol,
		    const struct xdp_desc *frames, uint32_t count, uint64_t next[WITNESS_FLOWS])
{
	for (uint32_t i = 0; i < count && !protocol_is_tap(protocol); i++) {
		uint64_t number, *due;

		memcpy(&number, protocol->umem + frames[i].addr + PACKET_UDP_PAYLOAD,
		       sizeof(number));
		number = be64toh(number);
		due = &next[number % WITNESS_FLOWS];
		if (number < *due)
			joiner->again++;
		*due = number + 1;
	}
}

/* Over any number of kills, until it has had enough. */
static void stay_a_while(struct joiner *joiner, struct protocol *protocol)
{
	uint64_t next[WITNESS_FLOWS] = {};

	for (uint32_t left = random_below(&joiner->random, 60); left; left--) {
		struct xdp_desc frames[32];
		const uint32_t count = protocol_take(protocol, frames, 32, 1);

		joiner->received += count;
		look_at(joiner, protocol, frames, count, next);
		if (count && random_below(&joiner->random, 20))
			protocol_give_back(protocol, frames, count);
		if (protocol->tx.size && random_below(&joiner->random, 4) == 0)
			joiner->sent += protocol_transmit(protocol);
		if (protocol_is_shared(protocol) && random_below(&joiner->random, 8) == 0)
			protocol_ring(protocol);
	}
}

static void choose_target(struct joiner *joiner)
{
	struct protocol_target *target = &joiner->target;

	target->transmit = random_below(&joiner->random, 2);
	if (joiner->exclusive)
		return;
	target->flags = random_below(&joiner->random, 4) ? XDPD_ATTACH_HOLD : XDPD_ATTACH_TAP;
	(void)snprintf(target->group, sizeof(target->group), "%s",
		       target->flags == XDPD_ATTACH_TAP ? "" : "split");
}

static int join(struct joiner *joiner)
{
	static const enum protocol_step steps[] = {
		PROTOCOL_CONNECTED,  PROTOCOL_WELCOMED, PROTOCOL_ATTACH_SENT, PROTOCOL_GRANTED,
		PROTOCOL_READY_SENT, PROTOCOL_STARTED,	PROTOCOL_STARTED,     PROTOCOL_STARTED,
		PROTOCOL_STARTED,    PROTOCOL_STARTED,
	};
	const enum protocol_step step =
		steps[random_below(&joiner->random, sizeof(steps) / sizeof(steps[0]))];
	cleanup_protocol struct protocol protocol;
	int r;

	choose_target(joiner);
	protocol_init(&protocol, &joiner->target);
	r = protocol_go(&protocol, step);
	if (r == 0 && step == PROTOCOL_STARTED) {
		joiner->joins++;
		stay_a_while(joiner, &protocol);
		if (random_below(&joiner->random, 2))
			(void)protocol_say(&protocol, XDPD_DETACH);
	}
	return r;
}

/* An exclusive queue is busy until the one before has been seen to leave. */
static bool is_explained(const struct joiner *joiner, int code)
{
	return code == -ECONNRESET || code == -EPIPE || code == -ECANCELED || code == -ENOTCONN ||
	       code == -ESHUTDOWN || (joiner->exclusive && code == -EBUSY);
}

static int join_again_and_again(void *argument)
{
	struct joiner *joiner = argument;

	while (!__atomic_load_n(&joiner->stop, __ATOMIC_ACQUIRE)) {
		const int r = join(joiner);

		if (r == 0)
			continue;
		joiner->failures++;
		if (!is_explained(joiner, r))
			joiner->strange = r;
		(void)usleep(500);
	}
	return 0;
}

/* ---- in the test's ---- */

struct joiners *joiners_start(const struct instance *daemon, uint64_t seed)
{
	struct joiners *joiners = live_shared(sizeof(*joiners));
	const char *socket = instance_socket(daemon);

	for (int i = 0; i < JOINERS; i++) {
		struct joiner *joiner = &joiners->joiner[i];

		*joiner = (struct joiner){.exclusive = i == JOINERS - 1,
					  .random = seed + (uint64_t)i};
		joiner->target = joiner->exclusive ? protocol_target(socket, "left", 1, "guest")
						   : protocol_target(socket, "near", 0, "joiner");
		assert_ok(child_start(&joiners->child[i],
				      &(struct child_options){.call = join_again_and_again,
							      .argument = joiner,
							      .uid = CHILD_NOBODY}));
	}
	return joiners;
}

static void stop(struct joiner *joiner, struct child *child)
{
	__atomic_store_n(&joiner->stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(child_wait(child, PATIENCE), 0);
	(void)child_end(child);
	print_message("# %s: %" PRIu64 " joins, %" PRIu64 " attempts ended by a kill; %" PRIu64
		      " frames received, %" PRIu64 " sent\n",
		      joiner->target.name, joiner->joins, joiner->failures, joiner->received,
		      joiner->sent);
	if (joiner->strange)
		fail_msg("a join ended with %s", strerrorname_np(-joiner->strange));
	assert_true(joiner->joins > 0);
	assert_int_equal(joiner->again, 0);
}

void joiners_stop(struct joiners *joiners)
{
	for (int i = 0; i < JOINERS; i++)
		stop(&joiners->joiner[i], joiners->child[i]);
}

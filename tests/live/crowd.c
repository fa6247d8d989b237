// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tests/live/hostile.h"

#define BURST	 64
#define HELD_MAX 256

const char *const crowd_groups[CROWD_GROUPS] = {"split", "split", "pair", "free-0", "free-1", ""};

struct seat {
	struct protocol protocol;
	bool holds;	 /* keeps what it gets for now */
	const char *lie; /* how it broke the rules; NULL: it has not */
	struct xdp_desc held[HELD_MAX];
	uint32_t n_held;
};

static struct {
	struct crowd *crowd;
	struct seat seats[CROWD_SEATS];
	uint64_t random;
} all;

static uint32_t below(uint32_t limit)
{
	all.random ^= all.random << 13;
	all.random ^= all.random >> 7;
	all.random ^= all.random << 17;
	return (uint32_t)(all.random >> 16) % limit;
}

static bool is_seated(const struct seat *seat)
{
	return seat->protocol.step != PROTOCOL_CLOSED;
}

static void fail(const struct seat *seat, const char *what, int code)
{
	if (!all.crowd->failure[0])
		(void)snprintf(all.crowd->failure, sizeof(all.crowd->failure),
			       "%.32s: %.64s: %.32s: %.100s", seat->protocol.target.name, what,
			       strerror(code), seat->protocol.reason);
}

static void clear(struct seat *seat)
{
	protocol_close(&seat->protocol);
	seat->n_held = 0;
	seat->holds = false;
	seat->lie = NULL;
}

/* ---- how it ends for other reasons than its own ---- */

static void note_end(struct seat *seat)
{
	if (seat->lie && strstr(seat->protocol.reason, "EPROTO"))
		all.crowd->told++;
	else if (strstr(seat->protocol.reason, "EPROTO"))
		fail(seat, "told of a violation that was none", EPROTO);
	else
		all.crowd->revoked++;
	clear(seat);
}

/* Takes in what the daemon says to whom it says something. */
static void listen_to_all(void)
{
	struct pollfd fds[CROWD_SEATS];

	for (int i = 0; i < CROWD_SEATS; i++)
		fds[i] = (struct pollfd){.fd = all.seats[i].protocol.fd, .events = POLLIN};
	if (poll(fds, CROWD_SEATS, 0) <= 0)
		return;
	for (int i = 0; i < CROWD_SEATS; i++) {
		struct protocol_message message;
		int got;

		/* Whoever is on the way reads its answers itself. */
		if (!fds[i].revents || all.seats[i].protocol.step < PROTOCOL_STARTED)
			continue;
		do
			got = protocol_receive(&all.seats[i].protocol, &message, 0);
		while (got == XDPD_EVENT);
		if (got == XDPD_REVOKE || got == -ECONNRESET)
			note_end(&all.seats[i]);
		else if (got != -ETIMEDOUT && got != -EAGAIN)
			fail(&all.seats[i], "unexpected message", got < 0 ? -got : EPROTO);
	}
}

/* ---- what it gets ---- */

static void serve(struct seat *seat)
{
	struct protocol *protocol = &seat->protocol;
	struct xdp_desc frames[BURST];
	uint32_t count = protocol_take(protocol, frames, BURST, 0), kept = 0;

	all.crowd->received += count;
	if (seat->holds && !protocol_is_tap(protocol)) {
		while (kept < count && seat->n_held < HELD_MAX)
			seat->held[seat->n_held++] = frames[kept++];
	}
	if (count > kept)
		protocol_give_back(protocol, frames + kept, count - kept);
}

static void serve_all(void)
{
	for (int i = 0; i < CROWD_SEATS; i++)
		if (all.seats[i].protocol.step == PROTOCOL_STARTED && !all.seats[i].lie)
			serve(&all.seats[i]);
}

/* ---- coming ---- */

static void choose_target(struct seat *seat)
{
	static const uint32_t modes[] = {0, 0, XDPD_ATTACH_HOLD, XDPD_ATTACH_TAP};
	struct protocol_target target = all.crowd->target;

	(void)snprintf(target.name, sizeof(target.name), "%.16s-%d", all.crowd->target.name,
		       (int)(seat - all.seats));
	(void)snprintf(target.group, sizeof(target.group), "%s", crowd_groups[below(CROWD_GROUPS)]);
	target.flags = modes[below(4)];
	target.transmit = below(2);
	protocol_init(&seat->protocol, &target);
}

/* What the config and the quotas may say, and an administrator; of the end of one half-way only that may be seen. */
static bool is_refusal(const struct seat *seat, int code)
{
	return code == -EUSERS || code == -EACCES || code == -ECANCELED ||
	       (seat->protocol.step >= PROTOCOL_GRANTED && (code == -EPIPE || code == -ECONNRESET));
}

static void go(struct seat *seat, enum protocol_step step)
{
	int r = protocol_go(&seat->protocol, step);

	if (r < 0) {
		if (is_refusal(seat, r))
			all.crowd->refused++;
		else
			fail(seat, "on its way", -r);
		clear(seat);
		return;
	}
	if (seat->protocol.step == PROTOCOL_STARTED)
		all.crowd->joins++;
	else
		all.crowd->halves++;
}

static void come(struct seat *seat)
{
	static const enum protocol_step steps[] = {PROTOCOL_WELCOMED, PROTOCOL_ATTACH_SENT,
						   PROTOCOL_GRANTED, PROTOCOL_MAPPED,
						   PROTOCOL_READY_SENT};

	choose_target(seat);
	go(seat, below(4) ? PROTOCOL_STARTED : steps[below(5)]);
}

/* ---- going ---- */

static void leave(struct seat *seat)
{
	int r = protocol_say(&seat->protocol, XDPD_DETACH);

	if (r == 0)
		r = protocol_await_end(&seat->protocol);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		fail(seat, "leaving", -r);
	all.crowd->leaves++;
	clear(seat);
}

static void hang_up(struct seat *seat)
{
	all.crowd->cuts++;
	clear(seat);
}

/* A lie for which it has the ring; a tap that does not send has none. */
static void break_the_rules(struct seat *seat)
{
	const struct hostile_lie *lie = &hostile_lies[below(hostile_n_lies)];
	const bool sends = strncmp(lie->violation, "tx_", 3) == 0;

	if (!lie->at_once || !(sends ? seat->protocol.tx.size : seat->protocol.fill.size))
		return;
	lie->tell(&seat->protocol);
	seat->lie = lie->name;
	all.crowd->violations++;
}

/* At one move of the index: between two, the frame could be received again and rightly be given back again. */
static void give_back_twice(struct seat *seat)
{
	const struct xdp_desc twice[] = {seat->held[0], seat->held[0]};

	if (!seat->n_held || xdpd_ring_room(&seat->protocol.fill, 2) < 2)
		return;
	protocol_give_back(&seat->protocol, twice, 2);
	protocol_ring(&seat->protocol);
	seat->lie = "returns a frame twice at once";
	all.crowd->violations++;
}

/* ---- staying ---- */

static void give_all_back(struct seat *seat)
{
	protocol_give_back(&seat->protocol, seat->held, seat->n_held);
	seat->n_held = 0;
	seat->holds = false;
}

static void say_that_it_sleeps(struct seat *seat)
{
	__atomic_store_n(seat->protocol.rx.flags, XDP_RING_NEED_WAKEUP, __ATOMIC_RELAXED);
}

static void stay(struct seat *seat)
{
	switch (below(5)) {
	case 0:
		seat->holds = true;
		break;
	case 1:
		give_all_back(seat);
		break;
	case 2:
		say_that_it_sleeps(seat);
		break;
	default:
		if (seat->protocol.tx.size)
			all.crowd->sent += protocol_transmit(&seat->protocol);
	}
}

static void step_with(struct seat *seat)
{
	if (!is_seated(seat)) {
		come(seat);
	} else if (seat->lie) {
		/* It is told; what it says is seen when all are listened to. */
		if (protocol_await_end(&seat->protocol) < 0)
			fail(seat, seat->lie, ETIME);
		note_end(seat);
	} else if (seat->protocol.step < PROTOCOL_STARTED) {
		below(2) ? hang_up(seat) : go(seat, PROTOCOL_STARTED);
	} else {
		switch (below(16)) {
		case 0 ... 3:
			leave(seat);
			break;
		case 4 ... 6:
			hang_up(seat);
			break;
		case 7 ... 8:
			break_the_rules(seat);
			break;
		case 9:
			give_back_twice(seat);
			break;
		default:
			stay(seat);
		}
	}
}

/* What a member does while it stays is none. */
static void publish_steps(void)
{
	const struct crowd *crowd = all.crowd;

	__atomic_store_n(&all.crowd->steps,
			 crowd->joins + crowd->halves + crowd->refused + crowd->leaves +
				 crowd->cuts + crowd->violations,
			 __ATOMIC_RELEASE);
}

int crowd_run(void *argument)
{
	const struct protocol_target nowhere = {};

	all.crowd = argument;
	all.random = all.crowd->seed * 0x9e3779b97f4a7c15ull + 1;
	for (int i = 0; i < CROWD_SEATS; i++)
		protocol_init(&all.seats[i].protocol, &nowhere);
	while (!__atomic_load_n(&all.crowd->stop, __ATOMIC_ACQUIRE) && !all.crowd->failure[0]) {
		step_with(&all.seats[below(CROWD_SEATS)]);
		serve_all();
		listen_to_all();
		publish_steps();
	}
	for (int i = 0; i < CROWD_SEATS; i++)
		clear(&all.seats[i]);
	return all.crowd->failure[0] != '\0';
}

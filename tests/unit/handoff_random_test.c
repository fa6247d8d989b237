// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shared delivery under millions of random operations of the kernel, of members, honest and wild, and of who joins and
 * leaves, in random configurations. After each operation every frame is in one place, and a simple model that knows
 * only who may have which frame agrees on what was done:
 *
 *     a frame's holders, its sender, its sequence; what was meant for a member and what it was given.
 *
 * HANDOFF_SEED and HANDOFF_OPERATIONS in the environment say what to run; a failure says its seed and where it was.
 */
#include <inttypes.h>

#include "tests/unit/handoff_fixture.h"

#define OPERATIONS   3000000u
#define CONFIG_LASTS 16384u /* operations */
#define MEMBERS_MAX  8u
#define GROUPS	     4u
#define NOBODY	     0xff
#define ORPHAN	     0xfe

struct actor {
	struct player *player; /* NULL: the slot is free */
	struct player_options options;
	uint32_t group;
	uint64_t key;
	bool wild; /* it has begun to break the rules */

	uint64_t given[FRAMES_MAX]; /* by RX index: the frames of its last entries */
	uint64_t mine[FRAMES_MAX];  /* read and neither given back nor on its way out */
	uint32_t n_mine;
	uint64_t meant, dropped;
	uint32_t completed; /* completions that it is owed and that were there */
};

/* Indices and counters before an operation of the loop. */
struct before {
	uint32_t fill, rx, tx, completion, queued, with_kernel, turn;
	uint64_t serving, unclaimed, left;
	struct {
		uint32_t fill, rx, tx, completion, held;
		struct member_counters counters;
	} member[ROSTER_MEMBERS];
};

static struct rig rig;
static struct rig_options config;
static struct actor actors[ROSTER_MEMBERS];
static uint32_t n_actors;
static bool slow; /* the kernel transmits late */
static struct before before;

/* the model */
static uint64_t holders[FRAMES_MAX];
static uint8_t senders[FRAMES_MAX];
static uint32_t sequences[FRAMES_MAX];

static uint64_t seed, configuration, operation;
static bool ended;

#define EACH(slot, mask)                                                                   \
	(uint64_t rest_ = (mask); rest_ && ((slot) = (uint32_t)__builtin_ctzll(rest_), 1); \
	 rest_ &= rest_ - 1)

static uint32_t power_below(uint32_t limit)
{
	uint32_t power = 1u << below(10);

	return power < limit ? power : limit;
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

static uint64_t members(void)
{
	return rig.next.members;
}

static uint64_t serving(void)
{
	return rig.handoff.serving;
}

static enum violation violation_of(uint32_t slot)
{
	return actors[slot].player->member.violation;
}

static bool is_insane(const struct line *line)
{
	return line->producer - line->consumer > line->in.size;
}

/* ---- what the loop did, against the model ---- */

static void remember(void)
{
	const struct handoff *h = &rig.handoff;
	const uint32_t out = h->lent + h->forwarded;
	uint32_t slot;

	before.fill = rig.fill.producer;
	before.rx = rig.rx.consumer;
	before.tx = rig.tx.producer;
	before.completion = rig.completion.consumer;
	before.queued = h->queue_tail - h->queue_head;
	before.with_kernel = h->with_kernel;
	before.turn = h->turn;
	before.serving = h->serving;
	before.unclaimed = h->counters.unclaimed;
	before.left = h->lendable - out;
	for
		EACH(slot, members())
		{
			const struct player *player = actors[slot].player;

			before.member[slot].fill = player->fill.consumer;
			before.member[slot].rx = player->rx.producer;
			before.member[slot].tx = player->tx.consumer;
			before.member[slot].completion = player->completion.producer;
			before.member[slot].held = player->member.held;
			before.member[slot].counters = player->member.counters;
		}
}

/* Frames new in the fill ring: nobody has them, and taps are told. */
static uint32_t check_filled(void)
{
	for (uint32_t i = before.fill; i != rig.fill.producer; i++) {
		const uint64_t address = *xdpd_ring_address(&rig.fill.out, i);

		assert_int_equal(address % FRAME_SIZE, 0);
		assert_int_equal(holders[address / FRAME_SIZE], 0);
		assert_int_equal(senders[address / FRAME_SIZE], NOBODY);
		if (rig.next.taps)
			sequences[address / FRAME_SIZE]++;
	}
	return rig.fill.producer - before.fill;
}

static bool is_good_return(uint32_t slot, uint64_t address)
{
	const uint64_t frame = address / FRAME_SIZE;

	return frame < rig.handoff.receive_frames && holders[frame] & BIT(slot) &&
	       senders[frame] != slot;
}

/* What it said by an entry: so many addresses, or what is wrong with it. */
static enum violation read_return(uint32_t slot, uint64_t entry, uint64_t *addresses, uint32_t *n)
{
	const struct actor *actor = &actors[slot];
	const uint32_t age = actor->player->rx.producer - xdpd_run_first(entry);
	uint32_t kept = 1;

	while (kept < rig.handoff.receive_frames)
		kept *= 2;
	*n = 0;
	if (!xdpd_is_run(entry)) {
		if (entry / FRAME_SIZE >= rig.handoff.receive_frames)
			return VIOLATION_RETURN_FOREIGN;
		addresses[(*n)++] = entry;
		return VIOLATION_NONE;
	}
	if (xdpd_run_count(entry) < 1 || xdpd_run_count(entry) > XDPD_RUN_MAX ||
	    xdpd_run_count(entry) > age || age > kept ||
	    age > actor->player->member.counters.receive_packets)
		return VIOLATION_RETURN_RUN;
	while (*n < xdpd_run_count(entry)) {
		addresses[*n] = actor->given[(xdpd_run_first(entry) + *n) % kept];
		++*n;
	}
	return VIOLATION_NONE;
}

/* Of one entry; returns what is wrong with it, after the frames before that were taken. */
static enum violation take_return(uint32_t slot, uint64_t entry, uint32_t *taken)
{
	uint64_t addresses[XDPD_RUN_MAX];
	uint32_t n;
	const enum violation violation = read_return(slot, entry, addresses, &n);

	for (uint32_t i = 0; i < n; i++) {
		if (!is_good_return(slot, addresses[i]))
			return VIOLATION_RETURN_NOT_HELD;
		holders[addresses[i] / FRAME_SIZE] &= ~BIT(slot);
		++*taken;
	}
	return violation;
}

static void check_returns_of(uint32_t slot)
{
	const struct player *player = actors[slot].player;
	const uint32_t first = before.member[slot].fill, end = player->fill.producer;
	enum violation expected = VIOLATION_NONE;
	uint32_t taken = 0;

	if (before.serving & BIT(slot) && end - first > player->fill.in.size) {
		expected = VIOLATION_FILL_INDEX;
	} else if (before.serving & BIT(slot)) {
		for (uint32_t i = first; i != end && expected == VIOLATION_NONE; i++)
			expected =
				take_return(slot, *xdpd_ring_address(&player->fill.out, i), &taken);
		assert_int_equal(player->member.counters.invalid_returns,
				 expected != VIOLATION_NONE);
		if (expected == VIOLATION_NONE)
			assert_int_equal(player->fill.consumer, end);
	}
	if (before.serving & BIT(slot))
		assert_int_equal(violation_of(slot), expected);
	assert_int_equal(player->member.counters.returned,
			 before.member[slot].counters.returned + taken);
}

static void collect(void)
{
	uint32_t slot;

	handoff_collect(&rig.handoff);
	for
		EACH(slot, members() & ~rig.next.taps)
	check_returns_of(slot);
	if (check_filled())
		assert_int_equal(rig.next.taps, 0);
}

static void stock(void)
{
	const struct handoff *h = &rig.handoff;
	uint32_t expected = rig.fill.in.size - (rig.fill.producer - rig.fill.consumer);
	const uint32_t wanted = h->stock > before.with_kernel ? h->stock - before.with_kernel : 0;

	expected = expected < wanted ? expected : wanted;
	expected = expected < before.queued ? expected : before.queued;
	handoff_stock(&rig.handoff);
	assert_int_equal(check_filled(), expected);
	if (rig.next.taps && expected)
		assert_true(h->with_kernel <= h->receive_frames / 2);
}

/* Who gets a frame, by its mark and who is there; what has no taker is counted. */
static uint64_t takers_of(uint64_t address, uint64_t *unclaimed)
{
	const struct roster *roster = &rig.next;
	uint64_t takers = 0;
	struct xdpd_metadata mark;

	memcpy(&mark, rig.umem + address - sizeof(mark), sizeof(mark));
	if (!roster->classified || mark.epoch != roster->epoch) {
		takers = roster->unmarked & before.serving;
		*unclaimed += !takers;
		return takers;
	}
	*unclaimed += !(mark.groups & roster->groups);
	for (uint32_t group = 0; group < XDPD_GROUPS_MAX; group++) {
		uint64_t bit;

		if (!(mark.groups & roster->groups & 1u << group))
			continue;
		bit = BIT(roster->choice[group][mark.hash % ROSTER_BUCKETS]);
		takers |= bit & before.serving;
		*unclaimed += !(bit & before.serving);
	}
	return takers;
}

static void remember_given(struct actor *actor, uint32_t index, uint64_t address)
{
	uint32_t kept = 1;

	while (kept < rig.handoff.receive_frames)
		kept *= 2;
	actor->given[index % kept] = address;
}

/* It got the beginning of what was meant for it; what it did not get had a reason. */
static void check_received_by(uint32_t slot, const struct xdp_desc *meant, uint32_t n_meant,
			      uint64_t *passed_over)
{
	struct actor *actor = &actors[slot];
	const struct player *player = actor->player;
	const struct member_counters *counters = &player->member.counters,
				     *old = &before.member[slot].counters;
	const uint32_t got = player->rx.producer - before.member[slot].rx;
	const uint64_t no_room = counters->dropped_ring_full - old->dropped_ring_full;
	const uint64_t no_quota = counters->dropped_quota - old->dropped_quota;
	const uint32_t held = player->member.held;
	const uint64_t left = rig.handoff.lendable - rig.handoff.lent - rig.handoff.forwarded;
	const bool is_tap = rig.next.taps & BIT(slot);

	assert_true(got <= n_meant);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *desc =
			xdpd_ring_desc(&player->rx.out, before.member[slot].rx + i);
		const uint64_t frame = desc->addr / FRAME_SIZE;

		assert_int_equal(desc->addr, meant[i].addr);
		assert_int_equal(desc->len, meant[i].len);
		assert_int_equal(desc->options, is_tap ? sequences[frame] : 0);
		if (is_tap)
			continue;
		assert_false(holders[frame] & BIT(slot));
		holders[frame] |= BIT(slot);
		remember_given(actor, before.member[slot].rx + i, desc->addr);
	}
	actor->meant += n_meant;
	actor->dropped += no_room + no_quota;
	assert_int_equal(counters->receive_packets, old->receive_packets + got);
	if ((before.serving & ~serving()) & BIT(slot)) {
		assert_int_equal(violation_of(slot), VIOLATION_RX_INDEX);
		assert_true(player->rx.producer - player->rx.consumer > player->rx.in.size);
		assert_int_equal(got, 0);
		*passed_over += n_meant - no_room;
		actor->meant -= n_meant - no_room;
		return;
	}
	assert_int_equal(got + no_room + no_quota, n_meant);
	if (is_tap)
		assert_int_equal(got, n_meant);
	if (no_room)
		assert_int_equal(player->rx.producer - player->rx.consumer, player->rx.in.size);
	/* Of a burst that there is not enough left for, only the first frames are lent to whoever may have them. */
	if (no_quota && before.left >= HANDOFF_BURST)
		assert_true(held >= player->member.quota || held >= left);
	if (got && !is_tap)
		assert_true(held <= player->member.quota && held <= before.left);
}

static void receive(void)
{
	static struct xdp_desc meant[ROSTER_MEMBERS][HANDOFF_BURST];
	uint32_t n_meant[ROSTER_MEMBERS] = {}, slot;
	const uint32_t waiting = rig.rx.producer - before.rx;
	const uint32_t until_end = rig.rx.in.size - (before.rx & rig.rx.in.mask);
	uint32_t expected = waiting < until_end ? waiting : until_end;
	uint64_t unclaimed = before.unclaimed, passed_over = 0;

	expected = expected < HANDOFF_BURST ? expected : HANDOFF_BURST;
	assert_int_equal(handoff_receive(&rig.handoff), expected);
	assert_int_equal(rig.rx.consumer - before.rx, expected);
	for (uint32_t i = before.rx; i != rig.rx.consumer; i++) {
		const struct xdp_desc *desc = xdpd_ring_desc(&rig.rx.out, i);

		for
			EACH(slot, takers_of(desc->addr, &unclaimed))
		meant[slot][n_meant[slot]++] = *desc;
	}
	for
		EACH(slot, members())
	check_received_by(slot, meant[slot], n_meant[slot], &passed_over);
	/* What would have been for a member that broke the rules in this burst has no taker, or others. */
	assert_in_range(rig.handoff.counters.unclaimed, unclaimed, unclaimed + passed_over);
}

/* The next entry of its completion ring is this one. */
static void check_completed(uint32_t slot, uint64_t address)
{
	struct actor *actor = &actors[slot];
	const struct line *line = &actor->player->completion;

	if (actor->wild)
		return;
	assert_int_equal(*xdpd_ring_address(&line->out, START + actor->completed), address);
	actor->completed++;
	assert_true(line->producer - START >= actor->completed);
}

static void complete(void)
{
	handoff_complete(&rig.handoff);
	for (uint32_t i = before.completion; i != rig.completion.consumer; i++) {
		const uint64_t address = *xdpd_ring_address(&rig.completion.out, i);
		const uint64_t frame = address / FRAME_SIZE;
		const uint8_t slot = frame < rig.handoff.receive_frames ? senders[frame] : NOBODY;

		if (frame >= rig.handoff.receive_frames)
			continue;
		assert_int_not_equal(slot, NOBODY);
		senders[frame] = NOBODY;
		if (slot != ORPHAN && serving() & BIT(slot))
			check_completed(slot, address);
	}
}

static enum violation judge(uint32_t slot, const struct xdp_desc *desc)
{
	const uint64_t frame = desc->addr / FRAME_SIZE, frames = rig.handoff.frames;

	if (desc->options)
		return VIOLATION_TX_OPTIONS;
	if (desc->len < 1 || desc->len > FRAME_SIZE ||
	    (desc->addr % FRAME_SIZE + desc->len - 1) / FRAME_SIZE)
		return VIOLATION_TX_LENGTH;
	if (frame >= frames)
		return frame < frames + OWN_FRAMES ? VIOLATION_NONE : VIOLATION_TX_ADDRESS;
	return frame < rig.handoff.receive_frames && holders[frame] & BIT(slot) &&
			       senders[frame] != slot
		       ? VIOLATION_NONE
		       : VIOLATION_TX_ADDRESS;
}

static bool goes_as_it_is(const struct xdp_desc *desc)
{
	const uint64_t frame = desc->addr / FRAME_SIZE;

	return config.writable && frame < rig.handoff.frames && senders[frame] == NOBODY;
}

static void check_packet(uint32_t slot, const struct xdp_desc *desc, const struct xdp_desc *wire)
{
	const uint64_t end = (uint64_t)rig.handoff.frames * FRAME_SIZE;
	const unsigned char *from = desc->addr < end
					    ? rig.umem + desc->addr
					    : actors[slot].player->own + (desc->addr - end);

	assert_int_equal(judge(slot, desc), VIOLATION_NONE);
	assert_int_equal(wire->len, desc->len);
	assert_int_equal(wire->options, 0);
	if (goes_as_it_is(desc)) {
		assert_int_equal(wire->addr, desc->addr);
		senders[desc->addr / FRAME_SIZE] = (uint8_t)slot;
		return;
	}
	assert_int_equal(wire->addr % FRAME_SIZE, 0);
	assert_true(wire->addr / FRAME_SIZE >= rig.handoff.receive_frames);
	assert_true(memcmp(rig.umem + wire->addr, from, desc->len) == 0);
	check_completed(slot, desc->addr);
}

static void check_transmission_violation(uint32_t slot)
{
	const struct player *player = actors[slot].player;
	const struct xdp_desc next = *xdpd_ring_desc(&player->tx.out, player->tx.consumer);

	switch (violation_of(slot)) {
	case VIOLATION_TX_INDEX:
		/* Or it was so when it was last looked at, at the end of the member's last turn. */
		assert_true(is_insane(&player->tx) || actors[slot].wild);
		break;
	case VIOLATION_COMPLETION_INDEX:
		assert_true(is_insane(&player->completion));
		break;
	default:
		assert_int_equal(violation_of(slot), judge(slot, &next));
		assert_int_equal(player->member.counters.transmit_invalid, 1);
	}
}

static void transmit(void)
{
	uint32_t wire = before.tx;

	handoff_transmit(&rig.handoff);
	for (uint32_t k = 0; k < ROSTER_MEMBERS; k++) {
		const uint32_t slot = (before.turn + k) % ROSTER_MEMBERS;
		const struct player *player = actors[slot].player;
		uint32_t i;

		if (!player || !player->tx.in.size)
			continue;
		for (i = before.member[slot].tx; i != player->tx.consumer; i++)
			check_packet(slot, xdpd_ring_desc(&player->tx.out, i),
				     xdpd_ring_desc(&rig.tx.out, wire++));
		assert_true((before.serving & BIT(slot)) || i == before.member[slot].tx);
		if (before.serving & ~serving() & BIT(slot))
			check_transmission_violation(slot);
	}
	assert_int_equal(wire, rig.tx.producer);
}

/* ---- sleep ---- */

static bool has_to_send(uint32_t slot)
{
	const struct player *player = actors[slot].player;
	const struct line *completion = &player->completion;
	const uint32_t used = completion->producer - completion->consumer;
	struct xdp_desc next;

	if (!player->tx.in.size || player->tx.producer == player->tx.consumer)
		return false;
	if (used + player->member.in_flight >= completion->in.size)
		return false;
	next = *xdpd_ring_desc(&player->tx.out, player->tx.consumer);
	return rig.handoff.stacked || judge(slot, &next) != VIOLATION_NONE || goes_as_it_is(&next);
}

static bool has_to_do(void)
{
	const bool sends = config.tx && rig.tx.producer - rig.tx.consumer < rig.tx.in.size;
	const bool few = rig.handoff.with_kernel < rig.handoff.stock / 2;
	uint32_t slot;

	if (rig.rx.producer != rig.rx.consumer ||
	    (config.tx && rig.completion.producer != rig.completion.consumer))
		return true;
	for
		EACH(slot, serving())
		{
			const struct player *player = actors[slot].player;

			if (sends && has_to_send(slot))
				return true;
			if (few && !(rig.next.taps & BIT(slot)) &&
			    player->fill.producer != player->fill.consumer)
				return true;
		}
	return false;
}

static bool anyone_is_wild(void)
{
	uint32_t slot;

	for
		EACH(slot, members())
	if (actors[slot].wild)
		return true;
	return false;
}

static void doze(void)
{
	const bool expected = !has_to_do();
	const bool actual = handoff_doze(&rig.handoff);
	uint32_t slot;

	/* What a wild one says of its rings may be anything. */
	if (!anyone_is_wild())
		assert_int_equal(actual, expected);
	handoff_awake(&rig.handoff);
	for
		EACH(slot, serving())
		{
			assert_int_equal(actors[slot].player->tx.flags, 0);
			assert_int_equal(actors[slot].player->fill.flags, 0);
		}
}

/* ---- members ---- */

static void read_frames(struct actor *actor)
{
	for (uint32_t n = below(16) + 1; n; n--) {
		const uint64_t address = player_read(actor->player);

		if (address == NO_FRAME)
			return;
		if (!actor->options.tap)
			actor->mine[actor->n_mine++] = address;
	}
}

/* Looks at some and gives them back at once. */
static void go_through(struct actor *actor)
{
	const uint32_t most = one_in(4) ? 64 : below(16) + 1;
	uint32_t count = 0;

	while (count < most && player_read(actor->player) != NO_FRAME)
		count++;
	if (count)
		player_return_run(actor->player, count, count);
}

static uint64_t pick_mine(struct actor *actor)
{
	const uint32_t i = one_in(2) ? 0 : below(actor->n_mine);
	const uint64_t address = actor->mine[i];

	actor->mine[i] = actor->mine[--actor->n_mine];
	return address;
}

static void return_frames(struct actor *actor)
{
	for (uint32_t n = below(one_in(4) ? 64 : 8) + 1; n && actor->n_mine; n--) {
		const uint64_t address = pick_mine(actor);

		player_return(actor->player, address - address % FRAME_SIZE + below(FRAME_SIZE));
	}
}

static void send_one(struct actor *actor)
{
	uint32_t offset = below(FRAME_SIZE);
	uint64_t address = own_address(&rig, below(OWN_FRAMES));

	if (!xdpd_ring_room(&actor->player->tx.in, 1))
		return;
	if (actor->n_mine && one_in(2))
		address = pick_mine(actor);
	else
		memset(actor->player->own + below(sizeof(actor->player->own) - 64), (int)below(256),
		       64);
	address -= address % FRAME_SIZE;
	if (one_in(2))
		offset = 0;
	player_send(actor->player, address + offset,
		    one_in(4) ? FRAME_SIZE - offset : below(FRAME_SIZE - offset) % 128 + 1);
}

static void send_packets(struct actor *actor)
{
	for (uint32_t n = below(one_in(8) ? 80 : 8) + 1; actor->options.transmits && n; n--)
		send_one(actor);
}

static void take_completions(struct actor *actor)
{
	uint64_t address;

	if (!actor->options.transmits)
		return;
	for (uint32_t n = below(32); n && line_take_address(&actor->player->completion, &address);
	     n--)
		if (address < own_address(&rig, 0))
			actor->mine[actor->n_mine++] = address;
}

/* Of a frame that it holds, read or not, or, if there is one, that it is sending. */
static uint64_t held_address(const struct actor *actor, bool sent)
{
	const uint32_t slot = (uint32_t)(actor - actors);
	const uint32_t n = rig.handoff.receive_frames, start = below(n);
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint32_t frame = (start + i) % n;

		if (holders[frame] & BIT(slot))
			found = frame;
		if (senders[frame] == slot && sent)
			break;
	}
	return (uint64_t)found * FRAME_SIZE + below(FRAME_SIZE);
}

static uint64_t random_run(const struct actor *actor)
{
	const uint32_t count = one_in(8) ? below(UINT32_MAX) : below(XDPD_RUN_MAX + 2);

	return xdpd_run(actor->player->rx.producer - below(FRAMES_MAX + 8), count);
}

static uint64_t random_address(const struct actor *actor)
{
	switch (below(10)) {
	case 8:
		return random_run(actor);
	case 9:
		return xdpd_run(actor->player->rx.out.own - 1, 1);
	case 0:
	case 1:
		return held_address(actor, one_in(2));
	case 2:
		return below(FRAMES_MAX * FRAME_SIZE);
	case 3:
		return own_address(&rig, below(OWN_FRAMES)) + below(FRAME_SIZE);
	case 4:
		return (uint64_t)below(UINT32_MAX) << below(33);
	case 5:
		return UINT64_MAX - below(3 * FRAME_SIZE);
	case 6:
		return (uint64_t)below(rig.handoff.receive_frames) * FRAME_SIZE;
	default:
		/* The first that it may not use, of frames and of its own memory. */
		return one_in(2) ? (uint64_t)rig.handoff.receive_frames * FRAME_SIZE
				 : own_address(&rig, OWN_FRAMES);
	}
}

static uint32_t random_step(uint32_t size)
{
	switch (below(4)) {
	case 0:
		return below(UINT32_MAX);
	case 1:
		return -below(size + 2);
	default:
		return below(size + 2);
	}
}

static struct xdp_desc random_desc(const struct actor *actor)
{
	struct xdp_desc desc = {.addr = random_address(actor), .options = one_in(16)};

	switch (below(4)) {
	case 0:
		desc.len = below(UINT32_MAX);
		break;
	case 1:
		/* To the frame's end, or one byte less or more. */
		desc.len = FRAME_SIZE - desc.addr % FRAME_SIZE + below(3) - 1;
		break;
	default:
		desc.len = below(64);
	}
	return desc;
}

static void scribble(struct line *line, const struct actor *actor, bool descs)
{
	for (uint32_t n = below(8); n; n--) {
		const uint32_t i = below(line->in.size);

		if (descs)
			line->descs[i] = random_desc(actor);
		else
			line->addresses[i] = random_address(actor);
	}
}

/* In rings that are in order otherwise. */
static void cheat(struct actor *actor)
{
	if (actor->options.transmits && one_in(2))
		(void)line_put_desc(&actor->player->tx, random_desc(actor));
	else if (!actor->options.tap)
		(void)line_put_address(&actor->player->fill, random_address(actor));
}

/* Whatever it can write. */
static void go_wild(struct actor *actor)
{
	struct player *player = actor->player;

	scribble(&player->rx, actor, true);
	player->rx.flags = below(UINT32_MAX);
	if (one_in(3))
		player->rx.consumer += random_step(player->rx.in.size);
	if (!actor->options.tap) {
		scribble(&player->fill, actor, false);
		player->fill.flags = below(UINT32_MAX);
		if (one_in(3))
			player->fill.producer += random_step(player->fill.in.size);
	}
	if (!actor->options.transmits)
		return;
	scribble(&player->tx, actor, true);
	scribble(&player->completion, actor, false);
	player->tx.flags = below(UINT32_MAX);
	if (one_in(3))
		player->tx.producer += random_step(player->tx.in.size);
	if (one_in(3))
		player->completion.consumer += random_step(player->completion.in.size);
}

static void act(struct actor *actor)
{
	if (actor->wild || one_in(1000)) {
		actor->wild = true;
		if (one_in(4))
			cheat(actor);
		else if (one_in(64))
			go_wild(actor);
		return;
	}
	switch (below(9)) {
	case 0:
	case 1:
	case 2:
		read_frames(actor);
		break;
	case 8:
		if (!actor->options.tap)
			go_through(actor);
		break;
	case 3:
	case 4:
		return_frames(actor);
		break;
	case 5:
	case 6:
		send_packets(actor);
		break;
	default:
		take_completions(actor);
	}
	if (one_in(64))
		actor->player->rx.flags ^= XDP_RING_NEED_WAKEUP;
	if (one_in(256))
		actor->player->member.quota = below(rig.handoff.receive_frames) + 1;
}

static uint32_t random_slot(uint64_t mask)
{
	uint32_t slot;

	do
		slot = below(ROSTER_MEMBERS);
	while (!(mask & BIT(slot)));
	return slot;
}

/* ---- rosters ---- */

static void make_groups(void)
{
	struct roster_candidate candidates[MEMBERS_MAX];
	uint32_t slot;

	rig.next.groups = 0;
	rig.next.unmarked = 0;
	for (uint32_t group = 0; group < GROUPS; group++) {
		uint32_t n = 0;

		for
			EACH(slot, members())
		if (actors[slot].group == group)
			candidates[n++] = (struct roster_candidate){.slot = (uint8_t)slot,
								    .key = actors[slot].key};
		if (n == 0)
			continue;
		/* Numbers of groups are far apart. */
		roster_choose(rig.next.choice[group * 10], candidates, n);
		rig.next.groups |= 1u << group * 10;
		if (n == 1)
			rig.next.unmarked |= BIT(candidates[0].slot);
	}
}

static void adopt(void)
{
	make_groups();
	remember();
	rig_adopt(&rig);
	rig.handoff.violated = rig.handoff.wake = 0;
}

static void join(uint32_t slot)
{
	static uint64_t last_key;
	struct actor *actor = &actors[slot];
	const bool transmits = below(3) != 0, tap = one_in(4);
	uint32_t fill = 1;

	while (fill < config.frames)
		fill *= 2;
	*actor = (struct actor){
		.options = {.rx = tap ? 128u << below(2) : power_below(128),
			    .fill = fill,
			    .tx = power_below(128),
			    .completion = one_in(2) ? power_below(64) : 512,
			    .quota = one_in(2) ? 0 : below(config.receive_frames) + 1,
			    .tap = tap,
			    .transmits = transmits},
		.group = below(GROUPS),
		.key = ++last_key,
	};
	actor->player = rig_add(&rig, slot, &actor->options);
	n_actors++;
}

static struct player *leave(uint32_t slot)
{
	struct actor *actor = &actors[slot];
	const struct member_counters *counters = &actor->player->member.counters;
	const bool is_tap = rig.next.taps & BIT(slot);

	/* All that was meant for it is accounted for. */
	assert_int_equal(counters->receive_packets + actor->dropped, actor->meant);
	assert_int_equal(counters->dropped_ring_full + counters->dropped_quota, actor->dropped);
	if (!is_tap)
		assert_int_equal(counters->returned + actor->player->member.held,
				 counters->receive_packets);
	for (uint32_t frame = 0; frame < rig.handoff.receive_frames; frame++) {
		holders[frame] &= ~BIT(slot);
		if (senders[frame] == slot)
			senders[frame] = ORPHAN;
	}
	actor->player = NULL;
	n_actors--;
	return rig_remove(&rig, slot);
}

static void come_and_go(void)
{
	struct player *left = NULL;
	uint32_t slot;

	if (n_actors && (n_actors == MEMBERS_MAX || one_in(2))) {
		slot = random_slot(members());
		left = leave(slot);
		/* At times another has the slot at once. */
		if (one_in(3))
			join(slot);
	} else {
		join(random_slot(~members()));
	}
	if (one_in(4))
		rig.next.classified = !rig.next.classified;
	if (one_in(4))
		rig.next.epoch++;
	adopt();
	free(left);
}

/* ---- the kernel ---- */

static void arrive(void)
{
	for (uint32_t n = below(one_in(4) ? 80 : 8) + 1; n; n--) {
		const struct packet packet = {
			.length = 60 + below(100),
			.metadata = {.epoch = rig.next.epoch - one_in(16),
				     .groups = one_in(16) ? below(UINT32_MAX)
							  : (1u << 10 * below(GROUPS)) |
								    (1u << 10 * below(GROUPS)),
				     .hash = below(UINT32_MAX)},
		};

		if (rig_arrives(&rig, &packet) == NO_FRAME)
			return;
	}
}

static void move_kernel(void)
{
	switch (below(5)) {
	case 0:
		rig_take_fill(&rig, below(64));
		break;
	case 1:
	case 2:
		arrive();
		break;
	case 3:
		rig_take_tx(&rig, below(32));
		break;
	default:
		if (!slow || one_in(16))
			rig_complete_tx(&rig, below(32));
	}
}

/* ---- all of it ---- */

static void move_loop(void)
{
	static void (*const parts[])(void) = {collect, stock, receive, complete, transmit, doze};

	remember();
	parts[below(6)]();
}

static void check(void)
{
	const uint32_t n = rig.handoff.receive_frames;

	rig_check(&rig);
	assert_true(rig.handoff.lent + rig.handoff.forwarded <= n - n / 4);
	assert_memory_equal(rig.handoff.holders, holders, n * sizeof(*holders));
	assert_memory_equal(rig.handoff.senders, senders, n);
	assert_memory_equal(rig.sequences, sequences, n * sizeof(*sequences));
}

static void one_operation(void)
{
	const uint32_t what = below(64);

	if (what == 0 && one_in(8))
		come_and_go();
	else if (what < 20)
		move_kernel();
	else if (what < 40 && n_actors)
		act(&actors[random_slot(members())]);
	else
		move_loop();
	check();
}

static void make(void)
{
	const uint32_t received = below(120) + 4, transmitted = below(one_in(4) ? 120 : 32);

	config = (struct rig_options){
		.frames = received + transmitted,
		.receive_frames = received,
		.rx = power_below(128),
		.fill = power_below(128),
		.tx = one_in(8) ? 0 : power_below(64),
		.completion = 256,
		.filled = 0,
		.writable = one_in(2),
	};
	config.filled = below((received < config.fill ? received : config.fill) + 1);
	rig_make(&rig, &config);
	rig.shuffles = one_in(2);
	slow = one_in(2);
	memset(actors, 0, sizeof(actors));
	memset(holders, 0, sizeof(holders));
	memset(senders, NOBODY, sizeof(senders));
	memset(sequences, 0, sizeof(sequences));
	n_actors = 0;
	rig.next.classified = one_in(2);
	for (uint32_t n = below(MEMBERS_MAX); n; n--)
		join(random_slot(~members()));
	adopt();
	check();
}

/* All leave, the kernel finishes: every frame is there to be received into or sent from. */
static void end(void)
{
	uint32_t slot, places[XDPD_PLACE_COUNT];

	for
		EACH(slot, members())
	free(leave(slot));
	adopt();
	while (config.tx &&
	       (rig_take_tx(&rig, 64) || rig_complete_tx(&rig, 64) || rig.handoff.forwarded ||
		rig.completion.producer != rig.completion.consumer)) {
		remember();
		complete();
	}
	check();
	handoff_places(&rig.handoff, places);
	assert_int_equal(places[XDPD_PLACE_KERNEL] + places[XDPD_PLACE_FREE], config.frames);
	rig_end(&rig);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void millions_of_random_operations_agree_with_a_simple_model(void **state)
{
	const uint64_t operations = setting("HANDOFF_OPERATIONS", OPERATIONS);

	(void)state;
	random_state = seed = setting("HANDOFF_SEED", 88172645463325252ull);
	for (operation = 0; operation < operations; configuration++) {
		make();
		for (uint32_t i = 0; i < CONFIG_LASTS; i++, operation++)
			one_operation();
		end();
	}
	ended = true;
}

static int say_where(void **state)
{
	(void)state;
	if (!ended)
		print_message("# HANDOFF_SEED=%" PRIu64 ": configuration %" PRIu64
			      ", operation %" PRIu64 "\n",
			      seed, configuration, operation);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(millions_of_random_operations_agree_with_a_simple_model,
					  say_where),
	};

	return cmocka_run_group_tests_name("handoff, at random", tests, NULL, NULL);
}

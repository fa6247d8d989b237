/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of daemon/handoff.h: the loop between two sides that the test plays. The kernel takes frames from the
 * fill ring, keeps some where nobody can read them, and gives them out at any place within the frame, in order or
 * not; it transmits late and completes in any order. Members are the other sides of their rings.
 *
 * All indices start a little before 2^32, so every test goes over the wrap.
 */
#ifndef TESTS_UNIT_HANDOFF_FIXTURE_H
#define TESTS_UNIT_HANDOFF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/handoff.h"

/* A test that copies all of it often says less before it includes this. */
#ifndef FRAMES_MAX
#define FRAMES_MAX 512
#define RING_MAX   512
#define FRAME_SIZE 2048u
#define OWN_FRAMES 16 /* of a member's own memory */
#endif
#define START	 0xffffff00u
#define HEADROOM 256u /* that the kernel keeps before each frame */
#define EPOCH	   7u
#define NO_FRAME   UINT64_MAX

#define BIT(slot) (UINT64_C(1) << (slot))

/* One ring and both of its sides. */
struct line {
	_Alignas(64) uint32_t producer;
	_Alignas(64) uint32_t consumer;
	_Alignas(64) uint32_t flags;
	_Alignas(64) union {
		struct xdp_desc descs[RING_MAX];
		uint64_t addresses[RING_MAX];
	};
	struct xdpd_ring in, out; /* the producer's and the consumer's side */
};

struct player {
	struct handoff_member member;
	struct line rx, fill, tx, completion;
	uint32_t received[FRAMES_MAX];
	unsigned char own[OWN_FRAMES * FRAME_SIZE];
};

struct rig {
	struct handoff handoff;
	struct roster rosters[2], next; /* `next` is edited, then adopted */
	unsigned int turn;
	struct player *player[ROSTER_MEMBERS]; /* by slot, in `next` */

	/* the kernel */
	struct line rx, fill, tx, completion;
	uint64_t hidden[FRAMES_MAX]; /* taken from the fill ring */
	uint32_t n_hidden;
	struct xdp_desc sending[FRAMES_MAX]; /* taken from the TX ring */
	uint32_t n_sending;
	bool shuffles;
	uint64_t serial; /* of the last frame that arrived: its first bytes */

	uint32_t sequences[FRAMES_MAX];
	unsigned char umem[FRAMES_MAX * FRAME_SIZE];
};

struct rig_options {
	uint32_t frames, receive_frames;
	uint32_t rx, fill, tx, completion; /* the kernel's rings; 0: 64, or none of the last two */
	uint32_t filled;		   /* frames that the kernel has from the start */
	bool writable;
	void *arrays; /* as in struct handoff_memory */
};

struct player_options {
	uint32_t rx, fill, tx, completion; /* 0: 64; fill: RING_MAX; no TX unless `transmits` */
	uint32_t quota;			   /* 0: all */
	bool tap, transmits;
};

/* xorshift64 */
static uint64_t random_state = 88172645463325252ull;

static inline uint32_t below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 11) % limit);
}

/* ---- rings ---- */

static inline void line_make(struct line *line, uint32_t size)
{
	memset(line, 0, sizeof(*line));
	line->producer = line->consumer = START;
	xdpd_ring_join(&line->in, line->descs, size, &line->producer, &line->consumer,
		       &line->flags);
	xdpd_ring_join(&line->out, line->descs, size, &line->consumer, &line->producer,
		       &line->flags);
}

static inline bool line_put_address(struct line *line, uint64_t address)
{
	if (!xdpd_ring_room(&line->in, 1))
		return false;
	*xdpd_ring_address(&line->in, line->in.own) = address;
	xdpd_ring_advance(&line->in, 1);
	return true;
}

static inline bool line_put_desc(struct line *line, struct xdp_desc desc)
{
	if (!xdpd_ring_room(&line->in, 1))
		return false;
	*xdpd_ring_desc(&line->in, line->in.own) = desc;
	xdpd_ring_advance(&line->in, 1);
	return true;
}

static inline bool line_take_address(struct line *line, uint64_t *ret)
{
	if (!xdpd_ring_available(&line->out, 1))
		return false;
	*ret = *xdpd_ring_address(&line->out, line->out.own);
	xdpd_ring_advance(&line->out, 1);
	return true;
}

static inline bool line_take_desc(struct line *line, struct xdp_desc *ret)
{
	if (!xdpd_ring_available(&line->out, 1))
		return false;
	*ret = *xdpd_ring_desc(&line->out, line->out.own);
	xdpd_ring_advance(&line->out, 1);
	return true;
}

/* ---- the rig ---- */

static inline uint32_t or_else(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static inline void rig_adopt(struct rig *rig)
{
	struct roster *roster = &rig->rosters[rig->turn++ % 2];

	*roster = rig->next;
	handoff_adopt(&rig->handoff, roster);
}

static inline struct handoff_memory rig_memory(struct rig *rig, const struct rig_options *options)
{
	return (struct handoff_memory){
		.umem = rig->umem,
		.sequences = rig->sequences,
		.frames = options->frames,
		.receive_frames = or_else(options->receive_frames, options->frames),
		.frame_size = FRAME_SIZE,
		.filled = options->filled,
		.writable = options->writable,
		.arrays = options->arrays,
	};
}

/* All of them empty. */
static inline void rig_make_rings(struct rig *rig, const struct rig_options *options)
{
	line_make(&rig->rx, or_else(options->rx, 64));
	line_make(&rig->fill, or_else(options->fill, 64));
	line_make(&rig->tx, or_else(options->tx, 1));
	line_make(&rig->completion, or_else(options->completion, options->tx ? RING_MAX : 1));
}

static inline void rig_make(struct rig *rig, const struct rig_options *options)
{
	const struct xdpd_ring none = {};
	const struct handoff_memory memory = rig_memory(rig, options);

	assert_true(options->frames <= FRAMES_MAX);
	memset(rig, 0, offsetof(struct rig, umem));
	rig_make_rings(rig, options);
	for (uint32_t frame = 0; frame < options->filled; frame++)
		line_put_address(&rig->fill, (uint64_t)frame * FRAME_SIZE);
	assert_int_equal(handoff_init(&rig->handoff, &memory, &rig->rx.out, &rig->fill.in,
				      options->tx ? &rig->tx.in : &none,
				      options->tx ? &rig->completion.out : &none),
			 0);
	rig->next.epoch = EPOCH;
	rig_adopt(rig);
	handoff_stock(&rig->handoff);
}

/* Also where it has ended already. */
static inline void rig_end(struct rig *rig)
{
	handoff_clear(&rig->handoff);
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		free(rig->player[slot]);
		rig->player[slot] = NULL;
	}
}

static inline void player_make(struct player *player, const struct player_options *options)
{
	memset(player, 0, sizeof(*player));
	line_make(&player->rx, or_else(options->rx, 64));
	line_make(&player->fill, or_else(options->fill, RING_MAX));
	player->member.rx = player->rx.in;
	player->member.received = player->received;
	if (!options->tap)
		player->member.fill = player->fill.out;
	if (options->transmits) {
		line_make(&player->tx, or_else(options->tx, 64));
		line_make(&player->completion, or_else(options->completion, RING_MAX));
		player->member.tx = player->tx.out;
		player->member.completion = player->completion.in;
		player->member.transmit = player->own;
		player->member.transmit_size = sizeof(player->own);
	}
	player->member.quota = or_else(options->quota, FRAMES_MAX);
	player->member.socket_fd = -1;
}

/* A member in `next`; in a group of its own as far as unmarked frames go. */
static inline struct player *rig_add(struct rig *rig, uint32_t slot,
				     const struct player_options *options)
{
	struct player *player = aligned_alloc(64, sizeof(*player));

	assert_non_null(player);
	assert_null(rig->player[slot]);
	player_make(player, options);
	if (options->tap)
		rig->next.taps |= BIT(slot);
	rig->player[slot] = player;
	rig->next.member[slot] = &player->member;
	rig->next.members |= BIT(slot);
	rig->next.unmarked |= BIT(slot);
	return player;
}

/* All buckets of a group are one member's. */
static inline void rig_group(struct rig *rig, uint32_t group, uint32_t slot)
{
	rig->next.classified = true;
	rig->next.groups |= 1u << group;
	memset(rig->next.choice[group], (int)slot, ROSTER_BUCKETS);
}

/* Takes it out of `next`; the player is the caller's to free after the roster was adopted. */
static inline struct player *rig_remove(struct rig *rig, uint32_t slot)
{
	struct player *player = rig->player[slot];

	rig->player[slot] = NULL;
	rig->next.member[slot] = NULL;
	rig->next.members &= ~BIT(slot);
	rig->next.unmarked &= ~BIT(slot);
	rig->next.taps &= ~BIT(slot);
	return player;
}

static inline void rig_leave(struct rig *rig, uint32_t slot)
{
	struct player *player = rig_remove(rig, slot);

	rig_adopt(rig);
	free(player);
}

/* ---- the kernel ---- */

static inline uint32_t rig_take_fill(struct rig *rig, uint32_t count)
{
	uint32_t taken = 0;

	while (taken < count && line_take_address(&rig->fill, &rig->hidden[rig->n_hidden])) {
		rig->n_hidden++;
		taken++;
	}
	return taken;
}

struct packet {
	uint32_t length;
	struct xdpd_metadata metadata;
};

/* Returns the frame's address in the RX ring; NO_FRAME: the kernel had none, or no room, and lost it. */
static inline uint64_t rig_arrives(struct rig *rig, const struct packet *packet)
{
	const uint32_t length = or_else(packet->length, 64);
	uint64_t address;
	uint32_t i;

	rig_take_fill(rig, 1);
	if (!rig->n_hidden || !xdpd_ring_room(&rig->rx.in, 1))
		return NO_FRAME;
	i = rig->shuffles ? below(rig->n_hidden) : 0;
	address = rig->hidden[i];
	if (rig->shuffles)
		rig->hidden[i] = rig->hidden[rig->n_hidden - 1];
	else
		memmove(rig->hidden, rig->hidden + 1, (rig->n_hidden - 1) * sizeof(*rig->hidden));
	rig->n_hidden--;
	assert_int_equal(address % FRAME_SIZE, 0);
	address += HEADROOM + (rig->shuffles ? below(FRAME_SIZE - HEADROOM - length) & ~7u : 0);
	memcpy(rig->umem + address - sizeof(packet->metadata), &packet->metadata,
	       sizeof(packet->metadata));
	rig->serial++;
	memcpy(rig->umem + address, &rig->serial, sizeof(rig->serial));
	assert_true(
		line_put_desc(&rig->rx, (struct xdp_desc){.addr = address, .len = length}));
	return address;
}

/* Frames without a mark; returns how many the kernel could receive. */
static inline uint32_t rig_arrive(struct rig *rig, uint32_t count)
{
	uint32_t arrived = 0;

	while (arrived < count && rig_arrives(rig, &(struct packet){}) != NO_FRAME)
		arrived++;
	return arrived;
}

static inline uint64_t rig_arrives_marked(struct rig *rig, uint32_t groups, uint32_t hash)
{
	return rig_arrives(rig, &(struct packet){.metadata = {
							 .epoch = rig->next.epoch,
							 .groups = groups,
							 .hash = hash,
						 }});
}

static inline uint32_t rig_take_tx(struct rig *rig, uint32_t count)
{
	uint32_t taken = 0;

	while (taken < count && line_take_desc(&rig->tx, &rig->sending[rig->n_sending])) {
		rig->n_sending++;
		taken++;
	}
	return taken;
}

static inline uint32_t rig_complete_tx(struct rig *rig, uint32_t count)
{
	uint32_t done = 0;

	for (; done < count && rig->n_sending; done++) {
		uint32_t i = rig->shuffles ? below(rig->n_sending) : 0;

		if (!line_put_address(&rig->completion, rig->sending[i].addr))
			break;
		rig->n_sending--;
		memmove(rig->sending + i, rig->sending + i + 1,
			(rig->n_sending - i) * sizeof(*rig->sending));
	}
	return done;
}

/* ---- members ---- */

/* Reads the next frame; NO_FRAME: the ring is empty. */
static inline uint64_t player_read(struct player *player)
{
	struct xdp_desc desc;

	return line_take_desc(&player->rx, &desc) ? desc.addr : NO_FRAME;
}

static inline uint32_t player_read_all(struct player *player, uint64_t *addresses)
{
	uint32_t count = 0;

	while ((addresses[count] = player_read(player)) != NO_FRAME)
		count++;
	return count;
}

static inline void player_return(struct player *player, uint64_t address)
{
	assert_true(line_put_address(&player->fill, address));
}

/* Those that it read last but `ago`. */
static inline void player_return_run(struct player *player, uint32_t ago, uint32_t count)
{
	player_return(player, xdpd_run(player->rx.out.own - ago, count));
}

static inline void player_send(struct player *player, uint64_t address, uint32_t length)
{
	assert_true(line_put_desc(&player->tx, (struct xdp_desc){.addr = address, .len = length}));
}

/* The address of a frame in its own memory. */
static inline uint64_t own_address(const struct rig *rig, uint32_t frame)
{
	return (uint64_t)(rig->handoff.frames + frame) * FRAME_SIZE;
}

/* ---- what always holds ---- */

/* How often each frame is somewhere. */
struct census {
	uint8_t kernel[FRAMES_MAX], wire[FRAMES_MAX], spare[FRAMES_MAX];
	uint32_t in_kernel, on_wire, free;
};

static inline void census_take(const struct rig *rig, struct census *census)
{
	const struct handoff *h = &rig->handoff;

	memset(census, 0, sizeof(*census));
	census->in_kernel = (rig->fill.producer - rig->fill.consumer) + rig->n_hidden +
			    (rig->rx.producer - rig->rx.consumer);
	for (uint32_t i = rig->fill.consumer; i != rig->fill.producer; i++)
		census->kernel[*xdpd_ring_address(&rig->fill.out, i) / FRAME_SIZE]++;
	for (uint32_t i = 0; i < rig->n_hidden; i++)
		census->kernel[rig->hidden[i] / FRAME_SIZE]++;
	for (uint32_t i = rig->rx.consumer; i != rig->rx.producer; i++)
		census->kernel[xdpd_ring_desc(&rig->rx.out, i)->addr / FRAME_SIZE]++;

	census->on_wire = (rig->tx.producer - rig->tx.consumer) + rig->n_sending +
			  (rig->completion.producer - rig->completion.consumer);
	for (uint32_t i = rig->tx.consumer; i != rig->tx.producer; i++)
		census->wire[xdpd_ring_desc(&rig->tx.out, i)->addr / FRAME_SIZE]++;
	for (uint32_t i = 0; i < rig->n_sending; i++)
		census->wire[rig->sending[i].addr / FRAME_SIZE]++;
	for (uint32_t i = rig->completion.consumer; i != rig->completion.producer; i++)
		census->wire[*xdpd_ring_address(&rig->completion.out, i) / FRAME_SIZE]++;

	census->free = (h->queue_tail - h->queue_head) + h->stacked;
	for (uint32_t i = h->queue_head; i != h->queue_tail; i++)
		census->spare[h->queue[i & h->queue_mask]]++;
	for (uint32_t i = 0; i < h->stacked; i++)
		census->spare[h->stack[i]]++;
}

/* Each frame is in one place, the ledger says which, and all figures follow from that. */
static inline void rig_check(const struct rig *rig)
{
	const struct handoff *h = &rig->handoff;
	uint32_t held[ROSTER_MEMBERS] = {}, places[XDPD_PLACE_COUNT];
	uint32_t lent = 0, wrong = 0;
	struct census census;

	census_take(rig, &census);
	for (uint32_t frame = 0; frame < h->frames; frame++) {
		const bool receives = frame < h->receive_frames;
		const uint64_t holders = receives ? h->holders[frame] : 0;
		const bool sent = receives && h->senders[frame] != HANDOFF_NOBODY;
		const bool is_lent = holders && !sent;

		for (uint64_t rest = holders; rest; rest &= rest - 1)
			held[__builtin_ctzll(rest)]++;
		lent += is_lent;
		wrong += census.kernel[frame] + census.wire[frame] + census.spare[frame] +
				 is_lent !=
			 1;
		wrong += holders && (census.kernel[frame] || census.spare[frame]);
		wrong += receives ? sent != census.wire[frame] : census.kernel[frame];
	}
	assert_int_equal(wrong, 0);
	handoff_places(h, places);
	assert_int_equal(places[XDPD_PLACE_KERNEL], census.in_kernel);
	assert_int_equal(places[XDPD_PLACE_TRANSMIT], census.on_wire);
	assert_int_equal(places[XDPD_PLACE_FREE], census.free);
	assert_int_equal(places[XDPD_PLACE_LENT], lent);
	assert_int_equal(places[0] + places[1] + places[2] + places[3], h->frames);
	assert_true(lent <= h->lendable);
	for (uint32_t slot = 0; slot < ROSTER_MEMBERS; slot++) {
		const struct handoff_member *member = h->roster->member[slot];

		assert_int_equal(held[slot], member ? member->held : 0);
		if (member)
			assert_int_equal(member->counters.returned + member->held,
					 h->roster->taps & BIT(slot)
						 ? 0
						 : member->counters.receive_packets);
	}
}

#endif

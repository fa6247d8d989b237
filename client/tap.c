// SPDX-License-Identifier: BSD-2-Clause
/*
 * A tap: frames are copied while they may be overwritten, and handed out only if they were not.
 *
 *     xdpd's, read-only             the attachment's own
 *     RX ring, without end          RX ring of 64 entries  -> program -> fill ring
 *     UMEM                 copied   frames                                   |
 *     sequences                       ^-- stack of free ones  <--------------+
 *
 * The program's side of both rings is that of any attachment, so the inline functions know of no tap. When they
 * find the RX ring empty, xdpd_tap_take() fills it.
 *
 * What is whole is decided as readers of a seqlock do: the bytes, an acquire fence, then the word that the writer
 * changes before it writes anew. A fence orders nothing for plain accesses of memory that another one writes to
 * (they are no defined program at all): so all reads of xdpd's memory are relaxed atomics, word by word.
 */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define BURST 64
#define FRAMES_MAX \
	1024 /* to copy into. The stack hands out the last used first, which are still in the cache */

struct xdpd_tap {
	struct xdpd_tap_source source;
	uint32_t own;	      /* the next of xdpd's entries */
	uint32_t frame_shift; /* frame_size is 1 << this */
	uint32_t snap_length; /* UINT32_MAX: no limit */
	uint32_t frames;      /* to copy into: addresses [0, frames * frame_size) */
	uint64_t overrun;

	struct xdpd_ring rx, fill; /* the other side of those in struct xdpd */
	uint32_t rx_producer, rx_consumer, fill_producer, fill_consumer, flags;
	uint32_t n_free;
	uint32_t free[FRAMES_MAX];
	uint32_t full_length[FRAMES_MAX]; /* of the frame that was copied there */
	bool is_out[FRAMES_MAX];	  /* in the RX ring or with the program */
	struct xdp_desc rx_entries[BURST];
	uint64_t fill_entries[FRAMES_MAX];
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t xdpd_tap_frames(uint32_t umem_frames)
{
	uint32_t frames = 1;

	while (frames < FRAMES_MAX && frames * 2 <= umem_frames)
		frames *= 2;
	return frames;
}

struct xdpd_tap *xdpd_tap_new(const struct xdpd_tap_source *source, uint32_t snap_length,
			      struct xdpd *x)
{
	struct xdpd_tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return NULL;
	tap->source = *source;
	tap->own = __atomic_load_n(source->producer, __ATOMIC_ACQUIRE);
	tap->frame_shift = (uint32_t)__builtin_ctz(source->frame_size);
	tap->snap_length = snap_length ? snap_length : UINT32_MAX;
	tap->frames = xdpd_tap_frames(source->frames);
	while (tap->n_free < tap->frames) {
		tap->free[tap->n_free] = tap->frames - 1 - tap->n_free;
		tap->n_free++;
	}
	xdpd_ring_join(&tap->rx, tap->rx_entries, BURST, &tap->rx_producer, &tap->rx_consumer,
		       &tap->flags);
	xdpd_ring_join(&x->rx, tap->rx_entries, BURST, &tap->rx_consumer, &tap->rx_producer,
		       &tap->flags);
	xdpd_ring_join(&tap->fill, tap->fill_entries, tap->frames, &tap->fill_consumer,
		       &tap->fill_producer, &tap->flags);
	xdpd_ring_join(&x->fill, tap->fill_entries, tap->frames, &tap->fill_producer,
		       &tap->fill_consumer, &tap->flags);
	return tap;
}

/* ---- what the program gives back ---- */

/* Frames that are not out (given back twice, or none of ours) are let go. */
void xdpd_tap_collect(struct xdpd_client *client)
{
	struct xdpd_tap *tap = client->tap;
	struct xdpd *x = &client->x;
	uint32_t count = xdpd_ring_available(&tap->fill, tap->fill.size);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t address = *xdpd_ring_address(&tap->fill, tap->fill.own + i);
		uint64_t frame = address >> tap->frame_shift;

		if (address >= x->lent) {
			xdpd_shared_spare(x, address);
		} else if (frame < tap->frames && tap->is_out[frame]) {
			tap->is_out[frame] = false;
			tap->free[tap->n_free++] = (uint32_t)frame;
		}
	}
	xdpd_ring_advance(&tap->fill, count);
}

bool xdpd_tap_has_room(struct xdpd_client *client)
{
	xdpd_tap_collect(client);
	return client->tap->n_free != 0;
}

/* ---- copying ---- */

static uint32_t load_producer(const struct xdpd_tap *tap)
{
	return __atomic_load_n(tap->source.producer, __ATOMIC_ACQUIRE);
}

/* How far behind the producer an entry may be and still be whole. */
static uint32_t window(const struct xdpd_tap *tap)
{
	return tap->source.size - XDPD_TAP_BURST;
}

/* To an entry that will be safe for a while: a quarter of what there is comes before it is overwritten. */
static void skip_ahead(struct xdpd_tap *tap, uint32_t producer)
{
	uint32_t to = producer - (window(tap) - window(tap) / 4);

	tap->overrun += to - tap->own;
	tap->own = to;
}

static struct xdp_desc load_entry(const struct xdpd_tap *tap, uint32_t index)
{
	const struct xdp_desc *entry = &tap->source.entries[index & (tap->source.size - 1)];

	return (struct xdp_desc){
		.addr = __atomic_load_n(&entry->addr, __ATOMIC_RELAXED),
		.len = __atomic_load_n(&entry->len, __ATOMIC_RELAXED),
		.options = __atomic_load_n(&entry->options, __ATOMIC_RELAXED),
	};
}

/* Reads the next entries, at most `max` (not 0); 0 if they were lost, and the next ones are others. */
static uint32_t load_entries(struct xdpd_tap *tap, struct xdp_desc *ret, uint32_t max,
			     uint32_t producer)
{
	uint32_t count = smaller(max, producer - tap->own);

	if (producer - tap->own > window(tap)) {
		skip_ahead(tap, producer);
		return 0;
	}
	for (uint32_t i = 0; i < count; i++)
		ret[i] = load_entry(tap, tap->own + i);
	/* The entries are read before the index which says that they were not being written. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	producer = load_producer(tap);
	if (producer - tap->own > window(tap)) {
		skip_ahead(tap, producer);
		return 0;
	}
	tap->own += count;
	return count;
}

static bool is_still(const struct xdpd_tap *tap, uint64_t frame, uint32_t sequence)
{
	return __atomic_load_n(&tap->source.sequences[frame], __ATOMIC_RELAXED) == sequence;
}

static void copy_words(unsigned char *to, const unsigned char *from, uint32_t bytes)
{
	const uint64_t *source = (const uint64_t *)from;
	uint64_t *destination = (uint64_t *)to;

	XDPD_UNROLL
	for (uint32_t i = 0; i < bytes / sizeof(uint64_t); i++)
		destination[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
}

/*
 * Copies the frame of an entry to the same place within a free one; false if it is not, or not any longer, what
 * was received. Whole words, which lie within the frame as the packet does.
 */
static bool copy_frame(const struct xdpd_tap *tap, const struct xdp_desc *entry, unsigned char *to,
		       uint32_t length)
{
	const uint32_t frame_size = tap->source.frame_size;
	const uint64_t frame = entry->addr >> tap->frame_shift;
	const uint32_t offset = (uint32_t)entry->addr & (frame_size - 1);
	const uint32_t first = offset & ~7u, end = (offset + length + 7) & ~7u;

	if (frame >= tap->source.frames || entry->len > frame_size - offset ||
	    !is_still(tap, frame, entry->options))
		return false;
	copy_words(to + first, tap->source.umem + (frame << tap->frame_shift) + first, end - first);
	/* The bytes are read before the number which says that they were not overwritten. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return is_still(tap, frame, entry->options);
}

/* Copies what the entries name; returns how many frames were whole. */
static uint32_t copy_frames(struct xdpd_tap *tap, const struct xdpd *x,
			    const struct xdp_desc *entries, uint32_t count)
{
	const uint64_t frame_mask = tap->source.frame_size - 1;
	uint32_t whole = 0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t free = tap->free[tap->n_free - 1];
		const uint64_t address = (uint64_t)free << tap->frame_shift;
		const uint32_t length = smaller(entries[i].len, tap->snap_length);

		if (!copy_frame(tap, &entries[i], x->umem + address, length))
			continue;
		*xdpd_ring_desc(&tap->rx, tap->rx.own + whole++) = (struct xdp_desc){
			.addr = address + (entries[i].addr & frame_mask),
			.len = length,
		};
		tap->full_length[free] = entries[i].len;
		tap->is_out[free] = true;
		tap->n_free--;
	}
	tap->overrun += count - whole;
	return whole;
}

bool xdpd_tap_take(struct xdpd_client *client)
{
	struct xdpd_tap *tap = client->tap;
	struct xdpd *x = &client->x;
	struct xdp_desc entries[BURST];
	uint32_t whole = 0, producer;

	if (x->rx.own != tap->rx.own)
		return true;
	xdpd_tap_collect(client);
	for (producer = load_producer(tap); !whole && tap->n_free && producer != tap->own;
	     producer = load_producer(tap)) {
		uint32_t count = load_entries(tap, entries, smaller(BURST, tap->n_free), producer);

		whole = copy_frames(tap, x, entries, count);
	}
	if (whole)
		xdpd_ring_advance(&tap->rx, whole);
	__atomic_store_n(&x->account->overrun, tap->overrun, __ATOMIC_RELAXED);
	__atomic_store_n(&x->account->consumer, tap->own, __ATOMIC_RELAXED);
	return whole != 0;
}

/* ---- sending ---- */

/* Copies packets into frames of our own, up to one that does not lie within its frame; returns how many. */
static uint32_t copy_packets(const struct xdpd *x, struct xdp_desc *to, const struct xdp_desc *from,
			     uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = from[i].addr & ~x->frame_mask;

		if (from[i].len > x->frame_size - offset)
			return i;
		to[i].addr += offset;
		to[i].len = from[i].len;
		memcpy(xdpd_frame(x, to[i].addr), xdpd_frame(x, from[i].addr), from[i].len);
	}
	return count;
}

uint32_t xdpd_tap_forward(struct xdpd_client *client, const struct xdp_desc *frames, uint32_t count)
{
	struct xdpd *x = &client->x;
	uint32_t done = 0, want, sent;

	do {
		struct xdp_desc own[BURST];
		uint32_t n;

		want = smaller(count - done, BURST);
		n = xdpd_tx_alloc(x, own, want);
		sent = xdpd_tx_queue(x, own, copy_packets(x, own, frames + done, n));
		xdpd_tx_free(x, own + sent, n - sent);
		xdpd_release(x, frames + done, sent);
		done += sent;
	} while (sent == want && done < count);
	xdpd_tx_wake_sleeper(x);
	return done;
}

/* ---- figures ---- */

uint32_t xdpd_tap_waiting(const struct xdpd_tap *tap)
{
	return smaller(load_producer(tap) - tap->own, tap->source.size);
}

uint64_t xdpd_tap_overrun(const struct xdpd_tap *tap)
{
	return tap->overrun;
}

uint32_t xdpd_tap_full_length(const struct xdpd_tap *tap, const struct xdpd *x,
			      const struct xdp_desc *frame)
{
	uint64_t at = frame->addr >> tap->frame_shift;

	return frame->addr < x->lent && at < tap->frames ? tap->full_length[at] : frame->len;
}

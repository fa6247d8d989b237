// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "tests/live/hostile.h"

#define PATIENCE 5000 /* milliseconds for a frame to lie about */
#define LENGTH	 60

/* ---- giving back ---- */

static void give_back(struct protocol *protocol, uint64_t address)
{
	*xdpd_ring_address(&protocol->fill, protocol->fill.own) = address;
	xdpd_ring_advance(&protocol->fill, 1);
	protocol_ring(protocol);
}

static uint64_t borrow(struct protocol *protocol)
{
	struct xdp_desc frame = {};

	(void)protocol_take(protocol, &frame, 1, PATIENCE);
	return frame.addr;
}

static void return_twice(struct protocol *protocol)
{
	const uint64_t address = borrow(protocol);

	give_back(protocol, address);
	give_back(protocol, address);
}

/* It holds some of the frames at most; of the others somebody may. */
static void return_what_others_hold(struct protocol *protocol)
{
	for (uint32_t frame = 0; frame < protocol->grant.frames / 2; frame++)
		give_back(protocol, (uint64_t)frame * protocol->grant.frame_size);
}

static void return_from_beyond(struct protocol *protocol)
{
	give_back(protocol, protocol->grant.umem.length);
}

static void return_its_own_memory(struct protocol *protocol)
{
	give_back(protocol, protocol->grant.umem.length + protocol->grant.frame_size);
}

static void return_the_last_address(struct protocol *protocol)
{
	give_back(protocol, UINT64_MAX);
}

static void return_a_run_ahead(struct protocol *protocol)
{
	xdpd_ring_refresh(&protocol->rx);
	give_back(protocol, xdpd_run(protocol->rx.peer + 1000, 1));
}

static void return_a_run_twice(struct protocol *protocol)
{
	(void)borrow(protocol);
	give_back(protocol, xdpd_run(protocol->rx.own - 1, 1));
	give_back(protocol, xdpd_run(protocol->rx.own - 1, 1));
}

/* ---- indices ---- */

static void put_index(struct protocol *protocol, const struct xdpd_ring *ring, uint32_t index)
{
	__atomic_store_n(ring->shared_own, index, __ATOMIC_RELEASE);
	protocol_ring(protocol);
}

/* The daemon looks at some indices only when it has to: goes on until it does. */
static void go_on_with(struct protocol *protocol, const struct xdpd_ring *ring, uint32_t distance)
{
	struct protocol_message message;
	int told;

	do {
		struct xdp_desc frames[32];
		uint32_t count = protocol_take(protocol, frames, 32, 1);

		protocol_give_back(protocol, frames, count);
		if (ring == &protocol->completion) {
			/* What it is told of is sent again unseen. */
			protocol->unsent = protocol->grant.frames;
			protocol->completion.own = protocol->completion.peer;
			(void)protocol_transmit(protocol);
		}
		xdpd_ring_refresh((struct xdpd_ring *)ring);
		put_index(protocol, ring, ring->peer + distance);
		told = protocol_receive(protocol, &message, 0);
	} while (told >= 0 ? told != XDPD_REVOKE : told == -ETIMEDOUT);
}

/* Behind what the daemon has taken: before what it has not taken yet, an index may go back. */
static void put_behind(struct protocol *protocol, struct xdpd_ring *ring)
{
	xdpd_ring_refresh(ring);
	put_index(protocol, ring, ring->peer - 1);
}

static void fill_ahead(struct protocol *protocol)
{
	put_index(protocol, &protocol->fill, protocol->fill.own + protocol->fill.size + 1);
}

static void fill_backwards(struct protocol *protocol)
{
	give_back(protocol, borrow(protocol));
	put_behind(protocol, &protocol->fill);
}

static void transmit_ahead(struct protocol *protocol)
{
	put_index(protocol, &protocol->tx, protocol->tx.own + protocol->tx.size + 1);
}

static void transmit_backwards(struct protocol *protocol)
{
	put_behind(protocol, &protocol->tx);
}

static void receive_ahead(struct protocol *protocol)
{
	go_on_with(protocol, &protocol->rx, 1000);
}

static void receive_behind(struct protocol *protocol)
{
	go_on_with(protocol, &protocol->rx, -(protocol->rx.size + 1000));
}

static void complete_ahead(struct protocol *protocol)
{
	go_on_with(protocol, &protocol->completion, 1000);
}

static void complete_behind(struct protocol *protocol)
{
	go_on_with(protocol, &protocol->completion, -(protocol->completion.size + 1000));
}

/* ---- sending ---- */

static void send_desc(struct protocol *protocol, uint64_t address, uint32_t length,
		      uint32_t options)
{
	*xdpd_ring_desc(&protocol->tx, protocol->tx.own) =
		(struct xdp_desc){.addr = address, .len = length, .options = options};
	xdpd_ring_advance(&protocol->tx, 1);
	protocol_ring(protocol);
}

static uint64_t own_memory(const struct protocol *protocol)
{
	return protocol->grant.umem.length;
}

static void send_what_others_hold(struct protocol *protocol)
{
	for (uint32_t frame = 0; frame < 16; frame++)
		send_desc(protocol, (uint64_t)frame * 8 * protocol->grant.frame_size, LENGTH, 0);
}

static void send_what_it_gave_back(struct protocol *protocol)
{
	const uint64_t address = borrow(protocol);

	give_back(protocol, address);
	/* More than one round sends: what is given back before it is collected before the second. */
	for (int i = 0; i < 200; i++)
		send_desc(protocol, address, LENGTH, 0);
}

static void send_the_kernels(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol) - protocol->grant.frame_size, LENGTH, 0);
}

static void send_from_beyond(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol) + protocol->grant.transmit.length, LENGTH, 0);
}

static void send_the_last_frame(struct protocol *protocol)
{
	send_desc(protocol, UINT64_MAX - protocol->grant.frame_size + 1, LENGTH, 0);
}

static void send_over_the_end(struct protocol *protocol)
{
	send_desc(protocol, UINT64_MAX, LENGTH, 0);
}

static void send_nothing(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol), 0, 0);
}

static void send_hugely(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol), UINT32_MAX, 0);
}

static void send_one_too_long(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol), protocol->grant.frame_size + 1, 0);
}

static void send_across(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol) + protocol->grant.frame_size - LENGTH / 2, LENGTH,
		  0);
}

static void send_held_across(struct protocol *protocol)
{
	const uint64_t frame_mask = protocol->grant.frame_size - 1;

	send_desc(protocol, (borrow(protocol) & ~frame_mask) + frame_mask, LENGTH, 0);
}

static void send_continued(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol), LENGTH, 1u << 0 /* XDP_PKT_CONTD */);
}

static void send_with_metadata(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol) + 256, LENGTH, 1u << 1 /* XDP_TX_METADATA */);
}

static void send_with_all_options(struct protocol *protocol)
{
	send_desc(protocol, own_memory(protocol), LENGTH, UINT32_MAX);
}

const struct hostile_lie hostile_lies[] = {
	{"returns a frame twice", "return_not_held", return_twice, false},
	{"returns what others hold", "return_not_held", return_what_others_hold, true},
	{"returns an address beyond the UMEM", "return_foreign", return_from_beyond, true},
	{"returns its own memory", "return_foreign", return_its_own_memory, true},
	{"returns what is no run", "return_run", return_the_last_address, true},
	{"returns a run that it did not receive", "return_run", return_a_run_ahead, true},
	{"returns a run twice", "return_not_held", return_a_run_twice, false},
	{"fill index too far ahead", "fill_index", fill_ahead, true},
	{"fill index backwards", "fill_index", fill_backwards, false},
	{"TX index too far ahead", "tx_index", transmit_ahead, true},
	{"TX index backwards", "tx_index", transmit_backwards, true},
	{"RX index ahead", "rx_index", receive_ahead, false},
	{"RX index too far behind", "rx_index", receive_behind, false},
	{"completion index ahead", "completion_index", complete_ahead, false},
	{"completion index too far behind", "completion_index", complete_behind, false},
	{"sends what others hold", "tx_address", send_what_others_hold, true},
	{"sends what it gave back", "tx_address", send_what_it_gave_back, false},
	{"sends a frame of the kernel's", "tx_address", send_the_kernels, true},
	{"sends from beyond its memory", "tx_address", send_from_beyond, true},
	{"sends the last frame of all", "tx_address", send_the_last_frame, true},
	{"sends over the end of all addresses", "tx_length", send_over_the_end, true},
	{"sends nothing", "tx_length", send_nothing, true},
	{"sends 4 GB", "tx_length", send_hugely, true},
	{"sends a byte too much", "tx_length", send_one_too_long, true},
	{"sends across two frames", "tx_length", send_across, true},
	{"sends across two held frames", "tx_length", send_held_across, false},
	{"sends a part of a packet", "tx_options", send_continued, true},
	{"sends with metadata", "tx_options", send_with_metadata, true},
	{"sends with all options", "tx_options", send_with_all_options, true},
};

const uint32_t hostile_n_lies = sizeof(hostile_lies) / sizeof(hostile_lies[0]);

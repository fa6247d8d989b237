// SPDX-License-Identifier: BSD-2-Clause
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "client/xdpd_ring.h"

#define SIZE_MAX_TEST 1024

/* Both sides of one ring over plain memory. */
struct pair {
	_Alignas(64) uint32_t producer_word;
	_Alignas(64) uint32_t consumer_word;
	uint32_t flags;
	union {
		struct xdp_desc descriptors[SIZE_MAX_TEST];
		uint64_t addresses[SIZE_MAX_TEST];
	};
	struct xdpd_ring producer, consumer;
};

static void make_pair(struct pair *pair, uint32_t size, uint32_t index)
{
	memset(pair, 0, sizeof(*pair));
	pair->producer_word = pair->consumer_word = index;
	xdpd_ring_join(&pair->producer, pair->descriptors, size, &pair->producer_word,
		       &pair->consumer_word, &pair->flags);
	xdpd_ring_join(&pair->consumer, pair->descriptors, size, &pair->consumer_word,
		       &pair->producer_word, &pair->flags);
}

static uint32_t put(struct pair *pair, uint64_t first, uint32_t want)
{
	uint32_t count = xdpd_ring_room(&pair->producer, want);

	for (uint32_t i = 0; i < count; i++)
		*xdpd_ring_address(&pair->producer, pair->producer.own + i) = first + i;
	xdpd_ring_advance(&pair->producer, count);
	return count;
}

static uint32_t take(struct pair *pair, uint64_t first, uint32_t want)
{
	uint32_t count = xdpd_ring_available(&pair->consumer, want);

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(*xdpd_ring_address(&pair->consumer, pair->consumer.own + i),
				 first + i);
	xdpd_ring_advance(&pair->consumer, count);
	return count;
}

static void an_empty_ring_gives_nothing_and_a_full_one_takes_nothing(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 8, 0);
	assert_int_equal(take(&pair, 0, 8), 0);
	assert_int_equal(put(&pair, 100, 5), 5);
	assert_int_equal(put(&pair, 105, 5), 3);
	assert_int_equal(put(&pair, 0, 1), 0);
	assert_int_equal(take(&pair, 100, 6), 6);
	assert_int_equal(take(&pair, 106, 6), 2);
	assert_int_equal(take(&pair, 0, 1), 0);
	assert_int_equal(put(&pair, 200, 9), 8);
}

static void a_ring_of_one_entry_works(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 1, UINT32_MAX);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(put(&pair, i, 2), 1);
		assert_int_equal(put(&pair, i, 1), 0);
		assert_int_equal(take(&pair, i, 2), 1);
		assert_int_equal(take(&pair, i, 1), 0);
	}
}

static void indices_wrap_at_two_to_the_32_while_full_empty_and_between(void **state)
{
	struct pair pair;
	uint64_t next_in = 0, next_out = 0;

	(void)state;
	for (uint32_t before = 0; before <= 17; before++) {
		make_pair(&pair, 16, UINT32_MAX - before);
		next_in = next_out = 0;
		while (next_out < 64) {
			next_in += put(&pair, next_in, 16);
			assert_int_equal(next_in - next_out, 16);
			assert_true(xdpd_producer_peer_is_sane(&pair.producer));
			next_out += take(&pair, next_out, 5);
			assert_true(xdpd_consumer_peer_is_sane(&pair.consumer));
			next_out += take(&pair, next_out, 16);
			assert_int_equal(next_in, next_out);
		}
		assert_true(pair.producer.own < 64);
	}
}

static void a_live_ring_is_joined_at_its_indices(void **state)
{
	struct pair pair;
	struct xdpd_ring late;

	(void)state;
	make_pair(&pair, 8, UINT32_MAX - 2);
	put(&pair, 0, 7);
	take(&pair, 0, 4);
	xdpd_ring_join(&late, pair.descriptors, 8, &pair.consumer_word, &pair.producer_word,
		       &pair.flags);
	assert_int_equal(xdpd_ring_available(&late, 8), 3);
	assert_int_equal(*xdpd_ring_address(&late, late.own), 4);
	xdpd_ring_join(&late, pair.descriptors, 8, &pair.producer_word, &pair.consumer_word,
		       &pair.flags);
	assert_int_equal(xdpd_ring_room(&late, 8), 5);
}

/* The kernel publishes its consumption in batches: entries that it took still look taken up. */
static void a_peer_that_publishes_in_batches_makes_the_ring_look_full_until_it_does(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 4, 0);
	put(&pair, 0, 4);
	pair.consumer.own += 3;
	assert_int_equal(xdpd_ring_room(&pair.producer, 1), 0);
	xdpd_ring_advance(&pair.consumer, 0);
	assert_int_equal(xdpd_ring_room(&pair.producer, 4), 3);
}

static void the_peers_word_is_read_only_when_the_last_value_does_not_suffice(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 8, 0);
	put(&pair, 0, 4);
	assert_int_equal(xdpd_ring_available(&pair.consumer, 2), 2);
	pair.producer_word = 1000;
	assert_int_equal(xdpd_ring_available(&pair.consumer, 4), 4);
	assert_int_equal(pair.consumer.peer, 4);
	assert_int_equal(xdpd_ring_room(&pair.producer, 4), 4);
	pair.consumer_word = 1000;
	assert_int_equal(xdpd_ring_room(&pair.producer, 4), 4);
	assert_int_equal(pair.producer.peer, 0);
}

static void indices_that_no_honest_peer_publishes_are_insane_on_both_sides(void **state)
{
	static const uint32_t bases[] = {0, 5, UINT32_MAX - 3, 0x80000000u};
	struct pair pair;

	(void)state;
	for (size_t b = 0; b < sizeof(bases) / sizeof(*bases); b++)
		for (uint32_t entries = 0; entries <= 8; entries++) {
			uint32_t base = bases[b];

			make_pair(&pair, 8, base);
			put(&pair, 0, entries);
			/* A producer may have put 0 to 8 entries ahead of the consumer ... */
			for (uint32_t ahead = 0; ahead < 32; ahead++) {
				pair.producer_word = base + ahead;
				xdpd_ring_refresh(&pair.consumer);
				assert_int_equal(xdpd_consumer_peer_is_sane(&pair.consumer),
						 ahead <= 8);
			}
			/* ... and a consumer has taken some of what is in the ring. */
			for (uint32_t taken = 0; taken < 32; taken++) {
				pair.consumer_word = base + taken;
				xdpd_ring_refresh(&pair.producer);
				assert_int_equal(xdpd_producer_peer_is_sane(&pair.producer),
						 taken <= entries);
			}
			pair.producer_word = base - 1;
			xdpd_ring_refresh(&pair.consumer);
			assert_false(xdpd_consumer_peer_is_sane(&pair.consumer));
			pair.consumer_word = base - 9;
			xdpd_ring_refresh(&pair.producer);
			assert_false(xdpd_producer_peer_is_sane(&pair.producer));
		}
}

static void descriptors_keep_all_their_members(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 4, UINT32_MAX - 1);
	for (uint32_t i = 0; i < 4; i++)
		*xdpd_ring_desc(&pair.producer, pair.producer.own + i) =
			(struct xdp_desc){.addr = 1ull << (60 + i), .len = ~i, .options = i + 7};
	xdpd_ring_advance(&pair.producer, 4);
	assert_int_equal(xdpd_ring_available(&pair.consumer, 4), 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct xdp_desc *entry =
			xdpd_ring_desc(&pair.consumer, pair.consumer.own + i);

		assert_int_equal(entry->addr, 1ull << (60 + i));
		assert_int_equal(entry->len, ~i);
		assert_int_equal(entry->options, i + 7);
	}
}

static void a_side_that_sleeps_is_seen_by_the_other(void **state)
{
	struct pair pair;

	(void)state;
	make_pair(&pair, 4, 0);
	assert_false(xdpd_ring_needs_wakeup(&pair.producer));
	pair.flags = XDP_RING_NEED_WAKEUP | 0x80;
	assert_true(xdpd_ring_needs_wakeup(&pair.producer));
	pair.flags = 0x80;
	assert_false(xdpd_ring_needs_wakeup(&pair.producer));
}

/* xorshift64 */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* The model: a queue knows how many went in and out, and that they are numbered. */
static void millions_of_random_operations_agree_with_a_queue(void **state)
{
	static const uint32_t sizes[] = {1, 2, 64, SIZE_MAX_TEST};
	uint64_t random = 0x9e3779b97f4a7c15;

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		struct pair pair;
		uint64_t in = 0, out = 0;

		make_pair(&pair, sizes[s], UINT32_MAX - 1000);
		for (uint32_t i = 0; i < 500000; i++) {
			uint32_t want = (uint32_t)(next_random(&random) % (2 * sizes[s] + 1));
			uint32_t held = (uint32_t)(in - out);

			if (next_random(&random) & 1) {
				uint32_t room = sizes[s] - held;

				assert_int_equal(put(&pair, in, want), want < room ? want : room);
				in += want < room ? want : room;
			} else {
				uint32_t count = take(&pair, out, want);

				assert_int_equal(count, want < held ? want : held);
				out += count;
			}
		}
		assert_true(out > 10000);
	}
}

/* What goes round: RX and fill between a "kernel" and a consumer, of unequal sizes, entries of both kinds. */
#define CIRCLE_FRAMES 96

static void frames_go_round_rings_of_unequal_sizes_without_loss_or_copy(void **state)
{
	static const uint32_t sizes[][2] = {{128, 16}, {16, 128}, {128, 128}};
	uint64_t random = 88172645463325252ull;

	(void)state;
	for (size_t s = 0; s < 3; s++) {
		struct pair fill, rx;
		uint64_t kernel[CIRCLE_FRAMES], user[CIRCLE_FRAMES];
		uint32_t n_kernel = 0, n_user = CIRCLE_FRAMES;
		unsigned char seen[CIRCLE_FRAMES] = {};

		make_pair(&fill, sizes[s][0], UINT32_MAX - 1000);
		make_pair(&rx, sizes[s][1], UINT32_MAX - 500);
		for (uint32_t i = 0; i < CIRCLE_FRAMES; i++)
			user[i] = i;
		for (uint32_t i = 0; i < 200000; i++) {
			uint32_t want = (uint32_t)(next_random(&random) % 32), count;

			switch (next_random(&random) % 4) {
			case 0:
				count = xdpd_ring_room(&fill.producer,
						       want < n_user ? want : n_user);
				for (uint32_t k = 0; k < count; k++)
					*xdpd_ring_address(&fill.producer, fill.producer.own + k) =
						user[--n_user];
				xdpd_ring_advance(&fill.producer, count);
				break;
			case 1:
				count = xdpd_ring_available(&fill.consumer, want);
				for (uint32_t k = 0; k < count; k++)
					kernel[n_kernel++] = *xdpd_ring_address(
						&fill.consumer, fill.consumer.own + k);
				xdpd_ring_advance(&fill.consumer, count);
				break;
			case 2:
				count = xdpd_ring_room(&rx.producer,
						       want < n_kernel ? want : n_kernel);
				for (uint32_t k = 0; k < count; k++)
					*xdpd_ring_desc(&rx.producer, rx.producer.own + k) =
						(struct xdp_desc){.addr = kernel[--n_kernel]};
				xdpd_ring_advance(&rx.producer, count);
				break;
			default:
				count = xdpd_ring_available(&rx.consumer, want);
				for (uint32_t k = 0; k < count; k++)
					user[n_user++] =
						xdpd_ring_desc(&rx.consumer, rx.consumer.own + k)
							->addr;
				xdpd_ring_advance(&rx.consumer, count);
			}
		}
		/* Empty the rings, and every frame is there once. */
		for (uint32_t n = xdpd_ring_available(&fill.consumer, sizes[s][0]); n; n--)
			kernel[n_kernel++] =
				*xdpd_ring_address(&fill.consumer, fill.consumer.own++);
		for (uint32_t n = xdpd_ring_available(&rx.consumer, sizes[s][1]); n; n--)
			user[n_user++] = xdpd_ring_desc(&rx.consumer, rx.consumer.own++)->addr;
		assert_int_equal(n_kernel + n_user, CIRCLE_FRAMES);
		for (uint32_t i = 0; i < n_kernel; i++)
			seen[kernel[i]]++;
		for (uint32_t i = 0; i < n_user; i++)
			seen[user[i]]++;
		for (uint32_t i = 0; i < CIRCLE_FRAMES; i++)
			assert_int_equal(seen[i], 1);
	}
}

#define STRESS 2000000

static void *produce(void *context)
{
	struct pair *pair = context;
	uint64_t random = 1;

	for (uint64_t next = 0; next < STRESS;) {
		uint64_t want = next_random(&random) % 48 + 1;
		uint32_t count =
			put(pair, next, (uint32_t)(want < STRESS - next ? want : STRESS - next));

		next += count;
		if (!count)
			sched_yield();
	}
	return NULL;
}

static void two_threads_pass_every_entry_once_and_in_order(void **state)
{
	static struct pair pair;
	uint64_t random = 2, next = 0, wrong = 0;
	pthread_t thread;

	(void)state;
	make_pair(&pair, 64, UINT32_MAX - 1000000);
	assert_int_equal(pthread_create(&thread, NULL, produce, &pair), 0);
	while (next < STRESS) {
		uint32_t count = xdpd_ring_available(&pair.consumer,
						     (uint32_t)(next_random(&random) % 48 + 1));

		for (uint32_t i = 0; i < count; i++)
			wrong += *xdpd_ring_address(&pair.consumer, pair.consumer.own + i) !=
				 next + i;
		xdpd_ring_advance(&pair.consumer, count);
		next += count;
		if (!count)
			sched_yield();
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(xdpd_ring_available(&pair.consumer, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_ring_gives_nothing_and_a_full_one_takes_nothing),
		cmocka_unit_test(a_ring_of_one_entry_works),
		cmocka_unit_test(indices_wrap_at_two_to_the_32_while_full_empty_and_between),
		cmocka_unit_test(a_live_ring_is_joined_at_its_indices),
		cmocka_unit_test(
			a_peer_that_publishes_in_batches_makes_the_ring_look_full_until_it_does),
		cmocka_unit_test(the_peers_word_is_read_only_when_the_last_value_does_not_suffice),
		cmocka_unit_test(indices_that_no_honest_peer_publishes_are_insane_on_both_sides),
		cmocka_unit_test(descriptors_keep_all_their_members),
		cmocka_unit_test(a_side_that_sleeps_is_seen_by_the_other),
		cmocka_unit_test(millions_of_random_operations_agree_with_a_queue),
		cmocka_unit_test(frames_go_round_rings_of_unequal_sizes_without_loss_or_copy),
		cmocka_unit_test(two_threads_pass_every_entry_once_and_in_order),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

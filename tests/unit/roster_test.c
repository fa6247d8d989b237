// SPDX-License-Identifier: BSD-2-Clause
/* Which member of a group has which flows: daemon/roster.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/roster.h"

/* Slots as they may be given out, not in the order of the keys. */
static void make_members(struct roster_candidate *members, uint32_t n, uint64_t first_key)
{
	for (uint32_t i = 0; i < n; i++)
		members[i] = (struct roster_candidate){.slot = (uint8_t)(i * 37 % ROSTER_MEMBERS),
						       .key = first_key + i};
}

static uint32_t buckets_of(const uint8_t *choice, uint32_t slot)
{
	uint32_t count = 0;

	for (uint32_t bucket = 0; bucket < ROSTER_BUCKETS; bucket++)
		count += choice[bucket] == slot;
	return count;
}

static void a_member_alone_has_every_bucket(void **state)
{
	uint8_t choice[ROSTER_BUCKETS];

	(void)state;
	for (uint64_t key = 0; key < 100; key++) {
		roster_choose(choice, &(struct roster_candidate){.slot = 63, .key = key}, 1);
		assert_int_equal(buckets_of(choice, 63), ROSTER_BUCKETS);
	}
}

static void who_joins_takes_buckets_and_no_others_move(void **state)
{
	struct roster_candidate members[ROSTER_MEMBERS];
	uint8_t before[ROSTER_BUCKETS], after[ROSTER_BUCKETS];

	(void)state;
	make_members(members, ROSTER_MEMBERS, 1);
	roster_choose(before, members, 1);
	for (uint32_t n = 2; n <= ROSTER_MEMBERS; n++) {
		const uint32_t newcomer = members[n - 1].slot;
		uint32_t moved = 0;

		roster_choose(after, members, n);
		for (uint32_t bucket = 0; bucket < ROSTER_BUCKETS; bucket++) {
			if (after[bucket] == before[bucket])
				continue;
			assert_int_equal(after[bucket], newcomer);
			moved++;
		}
		/* Its share, give or take. */
		assert_in_range(moved, ROSTER_BUCKETS / n / 4, 2 * ROSTER_BUCKETS / n);
		memcpy(before, after, sizeof(before));
	}
}

static void who_leaves_gives_up_its_own_buckets_and_no_others_move(void **state)
{
	struct roster_candidate members[ROSTER_MEMBERS], others[ROSTER_MEMBERS];
	uint8_t before[ROSTER_BUCKETS], after[ROSTER_BUCKETS];
	static const uint32_t sizes[] = {2, 3, 8, 17, ROSTER_MEMBERS};

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (uint32_t leaver = 0; leaver < sizes[s]; leaver++) {
			const uint32_t n = sizes[s];

			make_members(members, n, 1000 * s);
			roster_choose(before, members, n);
			memcpy(others, members, leaver * sizeof(*members));
			memcpy(others + leaver, members + leaver + 1,
			       (n - leaver - 1) * sizeof(*members));
			roster_choose(after, others, n - 1);
			assert_int_equal(buckets_of(after, members[leaver].slot), 0);
			for (uint32_t bucket = 0; bucket < ROSTER_BUCKETS; bucket++)
				if (before[bucket] != members[leaver].slot)
					assert_int_equal(before[bucket], after[bucket]);
		}
}

/* What is balanced are buckets; flows are spread over them by their hash. */
static void members_have_about_as_many_buckets_each(void **state)
{
	struct roster_candidate members[ROSTER_MEMBERS];
	uint8_t choice[ROSTER_BUCKETS];

	(void)state;
	for (uint32_t n = 1; n <= ROSTER_MEMBERS; n++)
		for (uint64_t first_key = 1; first_key < 1000000; first_key = first_key * 7 + 1) {
			const uint32_t share = ROSTER_BUCKETS / n;
			uint32_t sum = 0;

			make_members(members, n, first_key);
			roster_choose(choice, members, n);
			for (uint32_t i = 0; i < n; i++) {
				const uint32_t count = buckets_of(choice, members[i].slot);

				/* Five standard deviations of a throw of the dice. */
				const uint32_t variance = share - share / n + 1;
				const uint32_t off = count > share ? count - share : share - count;

				assert_true(off * off <= 25 * variance + 25);
				sum += count;
			}
			assert_int_equal(sum, ROSTER_BUCKETS);
		}
}

static void the_choice_follows_from_keys_alone_in_any_order(void **state)
{
	struct roster_candidate members[ROSTER_MEMBERS], swap;
	uint8_t before[ROSTER_BUCKETS], after[ROSTER_BUCKETS];

	(void)state;
	for (uint32_t n = 1; n <= ROSTER_MEMBERS; n++) {
		make_members(members, n, 77);
		roster_choose(before, members, n);
		memset(after, 0xff, sizeof(after));
		roster_choose(after, members, n);
		assert_memory_equal(before, after, sizeof(before));
		for (uint32_t i = 0; i < n; i++) {
			const uint32_t other = i * 7919 % n;

			swap = members[i];
			members[i] = members[other];
			members[other] = swap;
		}
		roster_choose(after, members, n);
		assert_memory_equal(before, after, sizeof(before));
	}
}

/* A newcomer in the slot of one that left has a key of its own: its flows are not the other's. */
static void a_slots_next_member_has_other_buckets(void **state)
{
	struct roster_candidate members[8];
	uint8_t before[ROSTER_BUCKETS], after[ROSTER_BUCKETS];
	uint32_t kept = 0;

	(void)state;
	make_members(members, 8, 1);
	roster_choose(before, members, 8);
	members[3].key = 9;
	roster_choose(after, members, 8);
	for (uint32_t bucket = 0; bucket < ROSTER_BUCKETS; bucket++) {
		kept += before[bucket] == members[3].slot && after[bucket] == members[3].slot;
		if (before[bucket] != members[3].slot && after[bucket] != members[3].slot)
			assert_int_equal(before[bucket], after[bucket]);
	}
	assert_true(kept < ROSTER_BUCKETS / 8 / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_alone_has_every_bucket),
		cmocka_unit_test(who_joins_takes_buckets_and_no_others_move),
		cmocka_unit_test(who_leaves_gives_up_its_own_buckets_and_no_others_move),
		cmocka_unit_test(members_have_about_as_many_buckets_each),
		cmocka_unit_test(the_choice_follows_from_keys_alone_in_any_order),
		cmocka_unit_test(a_slots_next_member_has_other_buckets),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}

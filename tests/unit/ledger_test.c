// SPDX-License-Identifier: BSD-2-Clause
/* The memory of daemon/ledger.h: what is taken up and what is refused, the places in it, and a hand-off that goes on. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/handoff_fixture.h"

#include "daemon/ledger.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const struct handoff_memory memory = {
	.frames = 96, .receive_frames = 64, .frame_size = FRAME_SIZE};

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A second fd of a ledger whose first owner is gone. */
static int left_behind(void)
{
	struct ledger ledger;
	int fd;

	assert_int_equal(ledger_create(&ledger, &memory), 0);
	fd = dup(ledger.fd);
	ledger_close(&ledger);
	assert_int_equal(ledger.fd, -1);
	assert_null(ledger.content);
	return fd;
}

/* The fd is closed whatever it was. */
static void refuse(int fd, const struct handoff_memory *wanted, int error)
{
	struct ledger ledger = LEDGER_NONE;

	assert_int_equal(ledger_open(&ledger, fd, wanted), error);
	assert_false(is_open(fd));
	assert_int_equal(ledger.fd, -1);
	assert_null(ledger.content);
}

static int memfd_with(const void *bytes, size_t length, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void a_new_ledger_is_zero_but_for_what_it_says_of_itself(void **state)
{
	struct ledger ledger;
	const unsigned char *bytes;
	size_t sum = 0;

	(void)state;
	assert_int_equal(ledger_create(&ledger, &memory), 0);
	bytes = (const unsigned char *)&ledger.content->handoff;
	for (size_t i = 0; bytes + i < (unsigned char *)ledger.content + ledger.length; i++)
		sum += bytes[i];
	assert_int_equal(sum, 0);
	assert_int_equal(ledger.content->size, ledger.length);
	assert_ptr_equal((char *)ledger_arrays(&ledger) + handoff_arrays_size(&memory) +
				 LEDGER_MEMBERS * handoff_received_size(64),
			 (char *)ledger.content + ledger.length);
	assert_int_equal((uintptr_t)ledger_arrays(&ledger) % 64, 0);
	assert_true(fcntl(ledger.fd, F_GETFD) & FD_CLOEXEC);
	ledger_close(&ledger);
	ledger_close(&ledger);
}

static void a_ledger_for_the_same_frames_is_taken_up_as_it_was_left(void **state)
{
	struct ledger first, second;
	struct handoff_member *member;

	(void)state;
	assert_int_equal(ledger_create(&first, &memory), 0);
	member = ledger_reserve(&first);
	member->held = 7;
	assert_int_equal(ledger_open(&second, dup(first.fd), &memory), 0);
	ledger_close(&first);
	member = ledger_reclaim(&second, 0);
	assert_non_null(member);
	assert_int_equal(member->held, 7);
	ledger_close(&second);
}

static void a_ledger_for_other_frames_is_refused(void **state)
{
	struct handoff_memory other = memory;

	(void)state;
	other.frames++;
	refuse(left_behind(), &other, -EBADMSG);
	other = memory;
	other.receive_frames--;
	refuse(left_behind(), &other, -EBADMSG);
	other = memory;
	other.frame_size *= 2;
	refuse(left_behind(), &other, -EBADMSG);
}

static void a_ledger_of_another_layout_is_told_whatever_its_size(void **state)
{
	const struct {
		uint64_t magic;
		uint32_t layout, more;
	} foreign = {0x7265676c64706478ull, LEDGER_LAYOUT + 1, 0};
	struct ledger ledger;
	int fd;

	(void)state;
	refuse(memfd_with(&foreign, sizeof(foreign), SEALS), &memory, -EPROTONOSUPPORT);
	assert_int_equal(ledger_create(&ledger, &memory), 0);
	ledger.content->layout++;
	fd = dup(ledger.fd);
	ledger_close(&ledger);
	refuse(fd, &memory, -EPROTONOSUPPORT);
}

static void what_is_no_ledger_is_refused(void **state)
{
	struct ledger_content *content = calloc(1, sizeof(*content) + 65536);
	struct ledger ledger;
	size_t length;
	int fds[2];

	(void)state;
	assert_non_null(content);
	assert_int_equal(ledger_create(&ledger, &memory), 0);
	length = ledger.length;
	memcpy(content, ledger.content, length);
	ledger_close(&ledger);

	refuse(-1, &memory, -EBADMSG);
	refuse(open("/dev/null", O_RDWR | O_CLOEXEC), &memory, -EBADMSG);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	refuse(fds[0], &memory, -EBADMSG);
	refuse(fds[1], &memory, -EBADMSG);
	/* whole, but somebody could cut it off */
	refuse(memfd_with(content, length, 0), &memory, -EBADMSG);
	/* cut off, at each part of it */
	refuse(memfd_with(content, 0, SEALS), &memory, -EBADMSG);
	refuse(memfd_with(content, 8, SEALS), &memory, -EBADMSG);
	refuse(memfd_with(content, sizeof(*content), SEALS), &memory, -EBADMSG);
	refuse(memfd_with(content, length - 1, SEALS), &memory, -EBADMSG);
	refuse(memfd_with(content, length + 1, SEALS), &memory, -EBADMSG);
	content->size--;
	refuse(memfd_with(content, length, SEALS), &memory, -EBADMSG);
	content->magic++;
	refuse(memfd_with(content, length, SEALS), &memory, -EBADMSG);
	free(content);
}

static void places_are_reserved_until_none_is_left_and_come_back_zero(void **state)
{
	struct ledger ledger;

	(void)state;
	assert_int_equal(ledger_create(&ledger, &memory), 0);
	for (uint32_t i = 0; i < LEDGER_MEMBERS; i++) {
		struct handoff_member *member = ledger_reserve(&ledger);

		assert_non_null(member);
		assert_int_equal(ledger_place(&ledger, member), i);
		assert_int_equal((uintptr_t)member % 64, 0);
		member->joined = member->held = 1;
	}
	assert_null(ledger_reserve(&ledger));
	ledger_release(&ledger, &ledger.content->members[70]);
	assert_ptr_equal(ledger_reserve(&ledger), &ledger.content->members[70]);
	assert_int_equal(ledger.content->members[70].held, 0);
	assert_int_equal(ledger.content->members[70].joined, 0);
	assert_int_equal(ledger.content->members[71].held, 1);
	assert_null(ledger_reserve(&ledger));
	ledger_close(&ledger);
}

static void a_place_is_reclaimed_once_and_not_given_to_others(void **state)
{
	struct ledger ledger;
	struct handoff_member *member;

	(void)state;
	assert_int_equal(ledger_open(&ledger, left_behind(), &memory), 0);
	member = ledger_reclaim(&ledger, 1);
	assert_int_equal(ledger_place(&ledger, member), 1);
	assert_null(ledger_reclaim(&ledger, 1));
	assert_non_null(ledger_reclaim(&ledger, LEDGER_MEMBERS - 1));
	assert_null(ledger_reclaim(&ledger, LEDGER_MEMBERS));
	assert_null(ledger_reclaim(&ledger, UINT32_MAX));
	assert_int_equal(ledger_place(&ledger, ledger_reserve(&ledger)), 0);
	assert_int_equal(ledger_place(&ledger, ledger_reserve(&ledger)), 2);
	assert_null(ledger_reclaim(&ledger, 2));
	ledger_release(&ledger, member);
	assert_ptr_equal(ledger_reclaim(&ledger, 1), member);
	ledger_close(&ledger);
}

/* ---- a hand-off in it ---- */

static struct rig rig; /* the kernel's side */

static void adopt(struct handoff *handoff, struct roster *roster, struct handoff_member *member)
{
	*roster = (struct roster){.members = BIT(3), .unmarked = BIT(3), .epoch = EPOCH};
	roster->member[3] = member;
	handoff_adopt(handoff, roster);
}

static void a_hand_off_goes_on_in_another_mapping(void **state)
{
	static struct roster roster;
	static struct player player;
	const struct rig_options options = {.frames = 64};
	struct handoff_member *members[ROSTER_MEMBERS] = {};
	const struct xdpd_ring none = {};
	struct handoff_memory here = rig_memory(&rig, &options);
	struct ledger first, second;
	struct xdpd_ring rx, fill;
	struct handoff *handoff;

	(void)state;
	rig_make_rings(&rig, &options);
	assert_int_equal(ledger_create(&first, &here), 0);
	here.arrays = ledger_arrays(&first);
	assert_int_equal(handoff_init(&first.content->handoff, &here, &rig.rx.out, &rig.fill.in,
				      &none, &none),
			 0);
	player_make(&player, &(struct player_options){});
	*ledger_reserve(&first) = player.member;
	adopt(&first.content->handoff, &roster, &first.content->members[0]);
	handoff_stock(&first.content->handoff);
	assert_int_equal(rig_arrive(&rig, 5), 5);
	assert_int_equal(handoff_receive(&first.content->handoff), 5);
	assert_int_equal(rig_arrive(&rig, 2), 2);

	assert_int_equal(ledger_open(&second, dup(first.fd), &here), 0);
	ledger_close(&first);
	here.arrays = ledger_arrays(&second);
	handoff = &second.content->handoff;
	members[3] = ledger_reclaim(&second, 0);
	handoff_rejoin(&members[3]->rx, &player.rx.in);
	handoff_rejoin(&members[3]->fill, &player.fill.out);
	rx = rig.rx.out;
	xdpd_ring_join(&rx, rx.entries, rx.size, rx.shared_own, rx.shared_peer, rx.flags);
	fill = rig.fill.in;
	xdpd_ring_join(&fill, fill.entries, fill.size, fill.shared_own, fill.shared_peer,
		       fill.flags);
	assert_int_equal(
		handoff_recover(handoff, &here, &rx, &fill, &none, &none, false, members, BIT(3)),
		0);
	adopt(handoff, &roster, members[3]);
	assert_int_equal(members[3]->held, 5);
	assert_int_equal(handoff->lent, 5);
	assert_int_equal(handoff->with_kernel, 59);
	assert_int_equal(handoff_receive(handoff), 2);
	for (uint32_t i = 0; i < 7; i++)
		player_return(&player, player_read(&player));
	assert_int_equal(handoff_collect(handoff), 7);
	assert_int_equal(handoff->with_kernel, 64);
	assert_int_equal(members[3]->counters.returned, 7);
	ledger_close(&second);
}

static void a_ledger_that_nothing_was_begun_in_is_not_gone_on_with(void **state)
{
	const struct rig_options options = {.frames = 64};
	struct handoff_member *members[ROSTER_MEMBERS] = {};
	struct handoff_memory here = rig_memory(&rig, &options);
	const struct xdpd_ring none = {};
	struct ledger ledger;

	(void)state;
	rig_make_rings(&rig, &options);
	assert_int_equal(ledger_create(&ledger, &here), 0);
	here.arrays = ledger_arrays(&ledger);
	assert_int_equal(handoff_recover(&ledger.content->handoff, &here, &rig.rx.out, &rig.fill.in,
					 &none, &none, false, members, 0),
			 -EBADMSG);
	ledger_close(&ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_ledger_is_zero_but_for_what_it_says_of_itself),
		cmocka_unit_test(a_ledger_for_the_same_frames_is_taken_up_as_it_was_left),
		cmocka_unit_test(a_ledger_for_other_frames_is_refused),
		cmocka_unit_test(a_ledger_of_another_layout_is_told_whatever_its_size),
		cmocka_unit_test(what_is_no_ledger_is_refused),
		cmocka_unit_test(places_are_reserved_until_none_is_left_and_come_back_zero),
		cmocka_unit_test(a_place_is_reclaimed_once_and_not_given_to_others),
		cmocka_unit_test(a_hand_off_goes_on_in_another_mapping),
		cmocka_unit_test(a_ledger_that_nothing_was_begun_in_is_not_gone_on_with),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}

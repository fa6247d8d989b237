// SPDX-License-Identifier: BSD-2-Clause
/* What a member is granted: memory that nobody can take away or grow, cut up so that no part touches another. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/client.h"
#include "daemon/member.h"

#define FRAMES	   256u
#define FRAME_SIZE 2048u
#define NOBODY	   65534

enum { UMEM_FD, MEMBER_FD, BELL_FD, TAP_FD };

static const struct ring_sizes usual = {.rx = 128, .tx = 64, .fill = 64, .completion = 64};

static struct given {
	struct umem umem;
	struct member *member;
	struct xdpd_grant grant;
	int fds[MEMBER_FDS];
	size_t n_fds;
	int fds_before, mappings_before;
} given;

static int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "memfd:xdpd") != NULL;
	fclose(maps);
	return count;
}

static void give_with(bool tap, bool transmit, bool writable, const struct ring_sizes *rings)
{
	const struct member_options options = {
		.tap = tap,
		.transmit = transmit,
		.rings = rings,
		.frames = FRAMES,
		.frame_size = FRAME_SIZE,
		.quota = 100,
	};

	given = (struct given){.fds_before = count_fds(), .mappings_before = count_mappings()};
	assert_int_equal(umem_create(&given.umem, FRAMES, FRAME_SIZE, 0, true), 0);
	assert_int_equal(member_create(&given.member, &options), 0);
	given.n_fds =
		member_describe_grant(given.member, &given.umem, writable, &given.grant, given.fds);
}

static void give(bool tap, bool transmit)
{
	give_with(tap, transmit, false, &usual);
}

static void end(void)
{
	given.member = member_free(given.member, NULL);
	umem_close(&given.umem);
	assert_int_equal(count_fds(), given.fds_before);
	assert_int_equal(count_mappings(), given.mappings_before);
}

/* ---- seals ---- */

static void assert_sealed(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	assert_int_equal(seals, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, status.st_size + 4096), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void nobody_can_change_the_size_or_the_seals_of_its_memory(void **state)
{
	(void)state;
	give(true, true);
	assert_int_equal(given.n_fds, 4);
	assert_sealed(given.fds[UMEM_FD]);
	assert_sealed(given.fds[MEMBER_FD]);
	assert_sealed(given.fds[TAP_FD]);
	end();
}

static void assert_read_only(int fd)
{
	static char page[4096];

	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	assert_int_equal(errno, EACCES);
	assert_int_equal(write(fd, page, sizeof(page)), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
}

static void descriptions_to_read_can_not_be_written_through(void **state)
{
	(void)state;
	give(true, false);
	assert_read_only(given.fds[UMEM_FD]);
	assert_read_only(given.fds[TAP_FD]);
	end();
	give(false, true);
	assert_int_equal(given.n_fds, 3);
	assert_read_only(given.fds[UMEM_FD]);
	end();
}

/* As another user, with nothing but the fds. Returns 0, or a number for what could be done. */
static int try_as_nobody(const int *fds, size_t n)
{
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return 100;
	for (size_t i = 0; i < n; i++) {
		void *readable = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fds[i], 0);
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
		if (open(path, O_RDWR) >= 0 || open(path, O_WRONLY) >= 0)
			return 1;
		if (fchmod(fds[i], 0666) == 0)
			return 2;
		if (readable == MAP_FAILED)
			return 3;
		if (mprotect(readable, 4096, PROT_READ | PROT_WRITE) == 0)
			return 4;
		if (madvise(readable, 4096, MADV_REMOVE) == 0)
			return 5;
	}
	return 0;
}

static void another_user_can_not_open_what_it_may_read_for_writing(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
	give(true, false);
	pid = fork();
	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(try_as_nobody((const int[]){given.fds[UMEM_FD], given.fds[TAP_FD]}, 2));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	end();
}

/* ---- the layout ---- */

struct extent {
	uint32_t fd;
	uint64_t from, to;
};

static void add_extent(struct extent *extents, size_t *n, const struct xdpd_region *region)
{
	struct stat status;

	if (!region->length)
		return;
	assert_in_range(region->fd, 0, given.n_fds - 1);
	assert_int_equal(fstat(given.fds[region->fd], &status), 0);
	assert_int_equal(region->offset % (uint64_t)sysconf(_SC_PAGESIZE), 0);
	assert_true(region->offset + region->length <= (uint64_t)status.st_size);
	for (size_t i = 0; i < *n; i++)
		assert_false(extents[i].fd == region->fd && region->offset < extents[i].to &&
			     extents[i].from < region->offset + region->length);
	extents[(*n)++] =
		(struct extent){region->fd, region->offset, region->offset + region->length};
}

/* Its words each on a line of the cache of its own, and all entries within. */
static void add_ring(struct extent *extents, size_t *n, const struct xdpd_ring_place *place,
		     size_t entry)
{
	assert_int_equal(place->size != 0, place->region.length != 0);
	if (!place->size)
		return;
	assert_int_equal(place->size & (place->size - 1), 0);
	assert_true(place->consumer >= place->producer + 64);
	assert_true(place->flags >= place->consumer + 64);
	assert_true(place->entries >= place->flags + 64);
	assert_true(place->entries + place->size * entry <= place->region.length);
	add_extent(extents, n, &place->region);
}

static void check_layout(void)
{
	const struct xdpd_grant *grant = &given.grant;
	struct extent extents[16];
	size_t n = 0;

	add_extent(extents, &n, &grant->umem);
	add_extent(extents, &n, &grant->sequences);
	add_extent(extents, &n, &grant->account);
	add_extent(extents, &n, &grant->transmit);
	add_ring(extents, &n, &grant->rx, sizeof(struct xdp_desc));
	add_ring(extents, &n, &grant->tx, sizeof(struct xdp_desc));
	add_ring(extents, &n, &grant->fill, sizeof(uint64_t));
	add_ring(extents, &n, &grant->completion, sizeof(uint64_t));
}

static void no_two_parts_of_its_memory_touch_each_other(void **state)
{
	(void)state;
	for (int which = 0; which < 8; which++) {
		const struct ring_sizes sizes = {
			.rx = 1u << which * 2, .tx = 1u << which, .fill = 64, .completion = 64};

		give_with(which & 1, which & 2, which & 4, &sizes);
		check_layout();
		end();
	}
}

static void it_can_return_and_complete_all_that_it_can_ever_hold(void **state)
{
	(void)state;
	give(false, true);
	assert_true(given.grant.fill.size >= FRAMES);
	assert_true(given.grant.completion.size >= FRAMES + given.grant.transmit_frames);
	assert_int_equal(given.grant.transmit.length,
			 (uint64_t)given.grant.transmit_frames * FRAME_SIZE);
	assert_int_equal(given.grant.transmit_frames, usual.tx);
	assert_int_equal(given.grant.quota, 100);
	end();
}

static void a_taps_ring_leaves_time_to_read_however_small_it_was_asked_to_be(void **state)
{
	const struct ring_sizes least = {.rx = 2, .tx = 2, .fill = 2, .completion = 2};

	(void)state;
	give_with(true, false, true, &least);
	assert_true(given.grant.rx.size >= 4 * XDPD_TAP_BURST);
	assert_int_equal(given.grant.fill.size, 0);
	assert_int_equal(given.grant.quota, 0);
	assert_true(given.grant.rx.region.flags & XDPD_REGION_READ_ONLY);
	assert_true(given.grant.sequences.length / sizeof(uint32_t) >= FRAMES);
	/* A tap only reads, also where others may write. */
	assert_true(given.grant.umem.flags & XDPD_REGION_READ_ONLY);
	assert_false(given.grant.flags & XDPD_GRANT_WRITABLE);
	assert_read_only(given.fds[UMEM_FD]);
	end();
}

static void frames_can_be_written_to_only_where_the_queue_says_so(void **state)
{
	void *frames;

	(void)state;
	give_with(false, true, true, &usual);
	assert_int_equal(given.grant.flags, XDPD_GRANT_WRITABLE | XDPD_GRANT_RUNS);
	assert_int_equal(given.grant.umem.flags, 0);
	frames = mmap(NULL, given.grant.umem.length, PROT_READ | PROT_WRITE, MAP_SHARED,
		      given.fds[UMEM_FD], 0);
	assert_true(frames != MAP_FAILED);
	munmap(frames, given.grant.umem.length);
	end();
}

static void without_the_right_to_transmit_there_is_nothing_to_do_it_with(void **state)
{
	(void)state;
	give(false, false);
	assert_int_equal(given.grant.tx.size, 0);
	assert_int_equal(given.grant.completion.size, 0);
	assert_int_equal(given.grant.transmit_frames, 0);
	assert_int_equal(given.grant.transmit.length, 0);
	assert_int_equal(given.member->handoff->tx.size, 0);
	assert_int_equal(given.member->handoff->completion.size, 0);
	assert_int_equal(given.member->handoff->transmit_size, 0);
	end();
}

/* ---- both sides ---- */

/* What libxdpd makes of it: the fds are its own, as if they had come over a socket. */
static void map_as_client(struct xdpd_client *client)
{
	struct xdpd_received received = {.n_fds = (uint32_t)given.n_fds};

	memset(client, 0, sizeof(*client));
	xdpd_grant_none(client);
	memcpy(&received.grant, &given.grant, sizeof(given.grant));
	for (size_t i = 0; i < given.n_fds; i++)
		received.fds[i] = fcntl(given.fds[i], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(xdpd_grant_map(client, &received, 0), 0);
	xdpd_received_close_fds(&received);
}

static void the_library_takes_each_grant_and_finds_the_same_rings(void **state)
{
	struct xdpd_client client;
	struct xdp_desc desc;

	(void)state;
	for (int which = 0; which < 8; which++) {
		struct handoff_member *handoff;

		give_with(which & 1, which & 2, which & 4, &usual);
		handoff = given.member->handoff;
		map_as_client(&client);
		assert_int_equal(client.tap != NULL, which & 1);
		assert_int_equal(xdpd_may_transmit(&client.x), (which & 2) != 0);
		if (!(which & 1)) {
			*xdpd_ring_desc(&handoff->rx, handoff->rx.own) =
				(struct xdp_desc){.addr = 4711, .len = 60};
			xdpd_ring_advance(&handoff->rx, 1);
			assert_int_equal(xdpd_rx(&client.x, &desc, 1), 1);
			assert_int_equal(desc.addr, 4711);
			xdpd_release(&client.x, &desc, 1);
			assert_int_equal(xdpd_ring_available(&handoff->fill, 8), 1);
			assert_int_equal(*xdpd_ring_address(&handoff->fill, handoff->fill.own),
					 4711);
		}
		if (which & 2) {
			const uint64_t end = (uint64_t)FRAMES * FRAME_SIZE;

			assert_int_equal(xdpd_tx_alloc(&client.x, &desc, 1), 1);
			assert_true(desc.addr >= end);
			memcpy(xdpd_frame(&client.x, desc.addr), "packet", 7);
			assert_string_equal((const char *)handoff->transmit + (desc.addr - end),
					    "packet");
			assert_int_equal(xdpd_tx(&client.x, &desc, 1), 1);
			assert_int_equal(xdpd_ring_available(&handoff->tx, 8), 1);
		}
		xdpd_grant_unmap(&client);
		end();
	}
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static void its_bell_tells_the_worker_when_the_consumer_has_gone(void **state)
{
	int consumer;
	char byte;

	(void)state;
	give(false, false);
	consumer = fcntl(given.fds[BELL_FD], F_DUPFD_CLOEXEC, 0);
	member_handed_over(given.member);
	assert_int_equal(given.member->consumer_socket, -1);
	assert_int_equal(send(given.member->handoff->socket_fd, "", 1, MSG_DONTWAIT), 1);
	assert_true(is_readable(consumer));
	assert_int_equal(send(consumer, "", 1, MSG_DONTWAIT), 1);
	assert_true(is_readable(given.member->handoff->socket_fd));
	assert_int_equal(recv(given.member->handoff->socket_fd, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(consumer, &byte, 1, MSG_DONTWAIT), 1);
	close(consumer);
	assert_int_equal(recv(given.member->handoff->socket_fd, &byte, 1, MSG_DONTWAIT), 0);
	end();
}

static void a_tap_can_not_claim_to_have_lost_more_than_it_was_given(void **state)
{
	struct xdpd_account *account;

	(void)state;
	give(true, false);
	account = given.member->account;
	given.member->handoff->counters.receive_packets = 1000;
	account->overrun = 10;
	assert_int_equal(member_overrun(given.member), 10);
	account->overrun = UINT64_MAX;
	assert_int_equal(member_overrun(given.member), 1000);
	account->overrun = 3;
	assert_int_equal(member_overrun(given.member), 1000);
	end();
	give(false, false);
	given.member->handoff->counters.receive_packets = 1000;
	given.member->account->overrun = 10;
	assert_int_equal(member_overrun(given.member), 0);
	end();
}

static blkcnt_t blocks_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_blocks;
}

/* Also if somebody keeps the memfds. */
static void keep_two(int ret[2])
{
	give(true, true);
	ret[0] = fcntl(given.fds[MEMBER_FD], F_DUPFD_CLOEXEC, 0);
	ret[1] = fcntl(given.fds[TAP_FD], F_DUPFD_CLOEXEC, 0);
	memset(given.member->memory, 1, given.member->length);
	memset(given.member->tap_memory, 1, given.member->tap_length);
	assert_true(blocks_of(ret[0]) > 0 && blocks_of(ret[1]) > 0);
}

static void is_given_back(int kept[2])
{
	for (int i = 0; i < 2; i++) {
		assert_int_equal(blocks_of(kept[i]), 0);
		close(kept[i]);
	}
	end();
}

static void its_memory_is_given_back_when_it_ends(void **state)
{
	int kept[2];

	(void)state;
	keep_two(kept);
	given.member = member_free(given.member, NULL);
	is_given_back(kept);
}

static void what_it_may_be_reading_is_given_back_later(void **state)
{
	sd_event *event;
	int kept[2];

	(void)state;
	for (int ends = 0; ends < 2; ends++) {
		keep_two(kept);
		assert_int_equal(sd_event_new(&event), 0);
		given.member = member_free(given.member, event);
		assert_true(blocks_of(kept[0]) > 0 && blocks_of(kept[1]) > 0);
		/* In two seconds, or when nothing goes on. */
		for (int i = 0; !ends && i < 2; i++)
			assert_true(sd_event_run(event, 10000000) > 0);
		if (!ends)
			assert_true(blocks_of(kept[0]) == 0 && blocks_of(kept[1]) == 0);
		sd_event_unref(event);
		is_given_back(kept);
	}
}

/* So many fds can be had, and one more is needed. */
static void nothing_is_left_of_one_that_could_not_be_made(void **state)
{
	const struct member_options options = {.tap = true,
					       .transmit = true,
					       .rings = &usual,
					       .frames = FRAMES,
					       .frame_size = FRAME_SIZE};
	const int before = count_fds(), mappings = count_mappings();
	const int next = dup(0);
	struct rlimit limit, few;
	struct member *member = NULL;

	(void)state;
	close(next);
	if (getenv("MEMCHECK")) {
		print_message("skipped: valgrind keeps to no limit of fds\n");
		skip();
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int left = 0; left < 5; left++) {
		int r;

		few = (struct rlimit){(rlim_t)(next + left), limit.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		r = member_create(&member, &options);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_int_equal(r, -EMFILE);
		assert_null(member);
		assert_int_equal(count_fds(), before);
		assert_int_equal(count_mappings(), mappings);
	}
	assert_null(member_free(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_can_change_the_size_or_the_seals_of_its_memory),
		cmocka_unit_test(descriptions_to_read_can_not_be_written_through),
		cmocka_unit_test(another_user_can_not_open_what_it_may_read_for_writing),
		cmocka_unit_test(no_two_parts_of_its_memory_touch_each_other),
		cmocka_unit_test(it_can_return_and_complete_all_that_it_can_ever_hold),
		cmocka_unit_test(a_taps_ring_leaves_time_to_read_however_small_it_was_asked_to_be),
		cmocka_unit_test(frames_can_be_written_to_only_where_the_queue_says_so),
		cmocka_unit_test(without_the_right_to_transmit_there_is_nothing_to_do_it_with),
		cmocka_unit_test(the_library_takes_each_grant_and_finds_the_same_rings),
		cmocka_unit_test(its_bell_tells_the_worker_when_the_consumer_has_gone),
		cmocka_unit_test(a_tap_can_not_claim_to_have_lost_more_than_it_was_given),
		cmocka_unit_test(its_memory_is_given_back_when_it_ends),
		cmocka_unit_test(what_it_may_be_reading_is_given_back_later),
		cmocka_unit_test(nothing_is_left_of_one_that_could_not_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * The XDP program by packet fixtures: BPF_PROG_TEST_RUN gives it a frame, an interface and a receive queue,
 * and tells its verdict; the maps tell what it counted. Frames go nowhere.
 */
#include "tests/live/harness.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/xdpd_bpf.h"
#include "tests/live/child.h"
#include "tests/live/packet.h"
#include "xdpd.skel.h"
#include "xdpd_direct.skel.h"

#define QUEUES	   4
#define FRAME_SIZE 2048
#define FRAMES	   64
#define RING	   64

/* ---- the program ---- */

/* The same program three times: see bpf/xdpd.bpf.c. */
enum variant { DIRECT, FRAGS, LINEAR };

static const char *const program_names[] = {
	[DIRECT] = "xdpd_redirect",
	[FRAGS] = "xdpd_redirect",
	[LINEAR] = "xdpd_redirect_linear",
};

static struct bpf_map *map_of(const struct bpf_object *bpf, const char *name)
{
	return bpf_object__find_map_by_name(bpf, name);
}

struct fixture {
	struct bpf_object *bpf;
	int ifindex;
	int socket;
	void *umem;
	enum variant variant;
};

/* As the daemon loads it, with maps of `queues` slots. The interface has QUEUES. */
static int load_program(struct bpf_object **ret, uint32_t queues, enum variant variant)
{
	size_t size;
	const void *elf =
		variant == DIRECT ? xdpd_direct_bpf__elf_bytes(&size) : xdpd_bpf__elf_bytes(&size);
	struct bpf_object *bpf = bpf_object__open_mem(elf, size, NULL);
	struct bpf_program *program;
	int r;

	if (!bpf)
		return -errno;
	bpf_object__for_each_program(program, bpf)(void) bpf_program__set_autoload(
		program, !strcmp(bpf_program__name(program), program_names[variant]) ||
				 !strcmp(bpf_program__name(program), "xdpd_trace"));
	r = bpf_map__set_max_entries(map_of(bpf, "sockets"), queues);
	if (r == 0)
		r = bpf_map__set_max_entries(map_of(bpf, "queues"), queues);
	if (r == 0)
		r = bpf_map__set_max_entries(map_of(bpf, "counters"), queues * XDPD_VERDICT_COUNT);
	if (r == 0)
		r = bpf_object__load(bpf);
	if (r < 0) {
		bpf_object__close(bpf);
		return r;
	}
	*ret = bpf;
	return 0;
}

static int begin(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int r = fixture ? live_begin(state) : -ENOMEM;

	*state = fixture;
	if (r == 0)
		fixture->variant = FRAGS;
	if (r == 0)
		r = veth_add(
			&(struct veth_options){.name = "near", .peer = "far", .queues = QUEUES});
	if (r == 0)
		r = load_program(&fixture->bpf, QUEUES, fixture->variant);
	if (r < 0)
		return r;
	fixture->ifindex = (int)if_nametoindex("near");
	fixture->socket = -1;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	(void)close_fd(fixture->socket);
	if (fixture->umem)
		(void)munmap(fixture->umem, FRAMES * FRAME_SIZE);
	bpf_object__close(fixture->bpf);
	free(fixture);
	return live_end(state);
}

#define fixture_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

#define CAPACITY (FRAME_SIZE - 256) /* XDP_PACKET_HEADROOM */

/* Puts an AF_XDP socket, with as little as the kernel binds, into the queue's slot. */
static void fill_slot(struct fixture *fixture, uint32_t queue)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_COPY,
		.sxdp_ifindex = (uint32_t)fixture->ifindex,
		.sxdp_queue_id = queue,
	};
	struct xdp_umem_reg umem = {.len = FRAMES * FRAME_SIZE, .chunk_size = FRAME_SIZE};
	const int size = RING;

	fixture->umem = mmap(NULL, FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fixture->umem, MAP_FAILED);
	umem.addr = (uintptr_t)fixture->umem;
	fixture->socket = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fixture->socket < 0 ||
	    setsockopt(fixture->socket, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)) < 0 ||
	    setsockopt(fixture->socket, SOL_XDP, XDP_UMEM_FILL_RING, &size, sizeof(size)) < 0 ||
	    setsockopt(fixture->socket, SOL_XDP, XDP_UMEM_COMPLETION_RING, &size, sizeof(size)) <
		    0 ||
	    setsockopt(fixture->socket, SOL_XDP, XDP_RX_RING, &size, sizeof(size)) < 0 ||
	    bind(fixture->socket, (const struct sockaddr *)&address, sizeof(address)) < 0)
		fail_msg("no AF_XDP socket on queue %u: %s", queue, strerror(errno));
	assert_int_equal(bpf_map__update_elem(map_of(fixture->bpf, "sockets"), &queue,
					      sizeof(queue), &fixture->socket,
					      sizeof(fixture->socket), BPF_ANY),
			 0);
	assert_int_equal(bpf_map__update_elem(map_of(fixture->bpf, "queues"), &queue, sizeof(queue),
					      &(struct xdpd_bpf_queue){.capacity = CAPACITY,
								       .groups = UINT32_MAX},
					      sizeof(struct xdpd_bpf_queue), BPF_ANY),
			 0);
}

/* ---- fixtures ---- */

/* Shows the program a frame on a queue; its verdict, or -errno. */
static int show(const struct fixture *fixture, uint32_t queue, const void *frame, uint32_t length,
		int times)
{
	struct xdp_md where = {
		.data_end = length,
		.ingress_ifindex = (uint32_t)fixture->ifindex,
		.rx_queue_index = queue,
	};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = length,
		    .ctx_in = &where, .ctx_size_in = sizeof(where), .repeat = times);

	if (bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(
					   fixture->bpf, program_names[fixture->variant])),
				   &run) < 0)
		return -errno;
	return (int)run.retval;
}

static struct xdpd_bpf_counter *per_cpu(const struct fixture *fixture, uint32_t queue,
					enum xdpd_verdict verdict, int *ret_cpus)
{
	static struct xdpd_bpf_counter counters[1024];
	const uint32_t index = xdpd_bpf_counter_index(queue, verdict);
	int cpus = libbpf_num_possible_cpus();

	assert_in_range(cpus, 1, 1024);
	assert_int_equal(bpf_map__lookup_elem(map_of(fixture->bpf, "counters"), &index,
					      sizeof(index), counters,
					      (size_t)cpus * sizeof(*counters), 0),
			 0);
	*ret_cpus = cpus;
	return counters;
}

static void assert_counted(const struct fixture *fixture, uint32_t queue, enum xdpd_verdict verdict,
			   uint64_t packets, uint64_t bytes)
{
	struct xdpd_bpf_counter sum = {0};
	int cpus;
	const struct xdpd_bpf_counter *counters = per_cpu(fixture, queue, verdict, &cpus);

	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.packets += counters[cpu].packets;
		sum.bytes += counters[cpu].bytes;
	}
	if (sum.packets != packets || sum.bytes != bytes)
		fail_msg("queue %u, verdict %d: %llu packets of %llu bytes instead of %lu of %lu",
			 queue, verdict, sum.packets, sum.bytes, packets, bytes);
}

static void assert_nothing_else_counted(const struct fixture *fixture, uint32_t queue,
					enum xdpd_verdict verdict)
{
	for (uint32_t i = 0; i < QUEUES; i++) {
		for (enum xdpd_verdict other = 0; other < XDPD_VERDICT_COUNT; other++) {
			if (i != queue || other != verdict)
				assert_counted(fixture, i, other, 0, 0);
		}
	}
}

/* ---- what is redirected and what passes ---- */

static void a_frame_for_an_empty_slot_passes_and_is_counted(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[100];

	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 2, frame, sizeof(frame), 1), XDP_PASS);
	assert_counted(fixture, 2, XDPD_VERDICT_PASS, 1, sizeof(frame));
	assert_nothing_else_counted(fixture, 2, XDPD_VERDICT_PASS);
}

static void a_frame_for_a_filled_slot_is_redirected_and_counted(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[1514];

	fill_slot(fixture, 1);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 1, frame, sizeof(frame), 1), XDP_REDIRECT);
	assert_counted(fixture, 1, XDPD_VERDICT_REDIRECT, 1, sizeof(frame));
	assert_nothing_else_counted(fixture, 1, XDPD_VERDICT_REDIRECT);
}

static void a_filled_slot_is_no_concern_of_other_queues(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[60];

	fill_slot(fixture, 1);
	packet_udp(frame, sizeof(frame), NULL);
	for (uint32_t queue = 0; queue < QUEUES; queue++)
		assert_int_equal(show(fixture, queue, frame, sizeof(frame), 1),
				 queue == 1 ? XDP_REDIRECT : XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_PASS, 1, 60);
	assert_counted(fixture, 1, XDPD_VERDICT_REDIRECT, 1, 60);
	assert_counted(fixture, 3, XDPD_VERDICT_PASS, 1, 60);
}

static void a_slot_that_was_emptied_passes_again(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t queue = 0;
	uint8_t frame[60];

	fill_slot(fixture, queue);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, queue, frame, sizeof(frame), 1), XDP_REDIRECT);
	assert_int_equal(
		bpf_map__delete_elem(map_of(fixture->bpf, "sockets"), &queue, sizeof(queue), 0), 0);
	assert_int_equal(show(fixture, queue, frame, sizeof(frame), 1), XDP_PASS);
	assert_counted(fixture, queue, XDPD_VERDICT_REDIRECT, 1, 60);
	assert_counted(fixture, queue, XDPD_VERDICT_PASS, 1, 60);
}

static void a_socket_that_is_closed_empties_its_slot(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[60];

	fill_slot(fixture, 3);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 3, frame, sizeof(frame), 1), XDP_REDIRECT);
	fixture->socket = close_fd(fixture->socket);
	assert_becomes(show(fixture, 3, frame, sizeof(frame), 1) == XDP_PASS, 2000);
}

static void a_queue_beyond_the_maps_passes_uncounted(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[60];

	bpf_object__close(fixture->bpf);
	fixture->bpf = NULL;
	assert_ok(load_program(&fixture->bpf, 2, fixture->variant));
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 2, frame, sizeof(frame), 1), XDP_PASS);
	assert_int_equal(show(fixture, 3, frame, sizeof(frame), 1), XDP_PASS);
	for (uint32_t queue = 0; queue < 2; queue++) {
		for (enum xdpd_verdict verdict = 0; verdict < XDPD_VERDICT_COUNT; verdict++)
			assert_counted(fixture, queue, verdict, 0, 0);
	}
}

static void a_runt_is_treated_like_any_frame(void **state)
{
	static const uint8_t header[ETH_HLEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct fixture *fixture = *state;

	fill_slot(fixture, 0);
	assert_int_equal(show(fixture, 0, header, sizeof(header), 1), XDP_REDIRECT);
	assert_int_equal(show(fixture, 1, header, sizeof(header), 1), XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_REDIRECT, 1, ETH_HLEN);
	assert_counted(fixture, 1, XDPD_VERDICT_PASS, 1, ETH_HLEN);
}

/* ---- long frames ---- */

static void a_frame_longer_than_the_consumers_passes_with_all_its_bytes(void **state)
{
	struct fixture *fixture = *state;
	uint8_t frame[CAPACITY + 1];

	fill_slot(fixture, 0);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 0, frame, CAPACITY, 1), XDP_REDIRECT);
	assert_int_equal(show(fixture, 0, frame, CAPACITY + 1, 1), XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_REDIRECT, 1, CAPACITY);
	assert_counted(fixture, 0, XDPD_VERDICT_PASS_OVERSIZE, 1, CAPACITY + 1);
}

static void a_frame_of_several_buffers_passes_with_all_its_bytes(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t frame[9014];
	int verdict;

	fill_slot(fixture, 0);
	packet_udp(frame, sizeof(frame), NULL);
	verdict = show(fixture, 0, frame, sizeof(frame), 1);
	require(verdict != -EINVAL && verdict != -E2BIG,
		"no multi-buffer frames in test runs (Linux 5.18)");
	assert_int_equal(verdict, XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_PASS_OVERSIZE, 1, sizeof(frame));
	assert_nothing_else_counted(fixture, 0, XDPD_VERDICT_PASS_OVERSIZE);
}

static void redirects_passes_and_counts(struct fixture *fixture, enum variant variant)
{
	uint8_t frame[CAPACITY + 1];

	bpf_object__close(fixture->bpf);
	fixture->bpf = NULL;
	fixture->variant = variant;
	assert_ok(load_program(&fixture->bpf, QUEUES, variant));
	fill_slot(fixture, 0);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 0, frame, 200, 1), XDP_REDIRECT);
	assert_int_equal(show(fixture, 0, frame, CAPACITY + 1, 1), XDP_PASS);
	assert_int_equal(show(fixture, 1, frame, 200, 1), XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_REDIRECT, 1, 200);
	assert_counted(fixture, 0, XDPD_VERDICT_PASS_OVERSIZE, 1, CAPACITY + 1);
	assert_counted(fixture, 1, XDPD_VERDICT_PASS, 1, 200);
}

static void without_multi_buffer_it_does_the_same(void **state)
{
	redirects_passes_and_counts(*state, LINEAR);
}

static bool has_direct(void)
{
	struct bpf_object *bpf;

	if (load_program(&bpf, QUEUES, DIRECT) < 0)
		return false;
	bpf_object__close(bpf);
	return true;
}

static void without_the_helper_it_does_the_same(void **state)
{
	struct fixture *fixture = *state;
	static uint8_t frame[9014];

	require(has_direct(),
		"the kernel does not let an XDP program see its own struct (Linux 6.2)");
	redirects_passes_and_counts(fixture, DIRECT);
	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(show(fixture, 0, frame, sizeof(frame), 1), XDP_PASS);
	assert_counted(fixture, 0, XDPD_VERDICT_PASS_OVERSIZE, 2, CAPACITY + 1 + sizeof(frame));
}

/* ---- counting ---- */

static void every_run_is_counted_on_the_cpu_that_it_ran_on(void **state)
{
	struct fixture *fixture = *state;
	cpu_set_t before, only;
	uint8_t frame[60];

	packet_udp(frame, sizeof(frame), NULL);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&only);
		CPU_SET(cpu, &only);
		assert_int_equal(sched_setaffinity(0, sizeof(only), &only), 0);
		assert_int_equal(show(fixture, 0, frame, sizeof(frame), 1000 + cpu), XDP_PASS);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);

	int cpus;
	const struct xdpd_bpf_counter *counters = per_cpu(fixture, 0, XDPD_VERDICT_PASS, &cpus);

	for (int cpu = 0; cpu < cpus; cpu++) {
		uint64_t runs = CPU_ISSET(cpu, &before) ? 1000 + (uint64_t)cpu : 0;

		assert_int_equal(counters[cpu].packets, runs);
		assert_int_equal(counters[cpu].bytes, runs * 60);
	}
}

/* ---- loading ---- */

static void the_verifier_accepts_it_for_1_and_for_4096_queues(void **state)
{
	static const uint32_t queues[] = {1, 4096};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (enum variant variant = FRAGS; variant <= LINEAR; variant++) {
			struct bpf_object *bpf;

			assert_ok(load_program(&bpf, queues[i], variant));
			assert_int_equal(bpf_map__max_entries(map_of(bpf, "sockets")), queues[i]);
			assert_int_equal(bpf_map__max_entries(map_of(bpf, "counters")),
					 queues[i] * XDPD_VERDICT_COUNT);
			bpf_object__close(bpf);
		}
	}
}

static int load_it(void *unused)
{
	struct bpf_object *bpf;
	int r = load_program(&bpf, QUEUES, FRAGS);

	(void)unused;
	if (r < 0) {
		fprintf(stderr, "%s\n", strerror(-r));
		return 1;
	}
	bpf_object__close(bpf);
	return 0;
}

static void the_verifier_accepts_it_from_an_ordinary_user_with_the_daemons_capabilities(
	void **state)
{
	cleanup_ran struct ran ran = {};

	(void)state;
	assert_ok(child_run(&ran,
			    &(struct child_options){.call = load_it,
						    .uid = CHILD_NOBODY,
						    .capabilities = 1ull << CAP_BPF |
								    1ull << CAP_NET_ADMIN |
								    1ull << CAP_NET_RAW},
			    10000));
	if (ran.status)
		fail_msg("%s", ran.errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_frame_for_an_empty_slot_passes_and_is_counted),
		fixture_test(a_frame_for_a_filled_slot_is_redirected_and_counted),
		fixture_test(a_filled_slot_is_no_concern_of_other_queues),
		fixture_test(a_slot_that_was_emptied_passes_again),
		fixture_test(a_socket_that_is_closed_empties_its_slot),
		fixture_test(a_queue_beyond_the_maps_passes_uncounted),
		fixture_test(a_runt_is_treated_like_any_frame),
		fixture_test(a_frame_longer_than_the_consumers_passes_with_all_its_bytes),
		fixture_test(a_frame_of_several_buffers_passes_with_all_its_bytes),
		fixture_test(without_multi_buffer_it_does_the_same),
		fixture_test(without_the_helper_it_does_the_same),
		fixture_test(every_run_is_counted_on_the_cpu_that_it_ran_on),
		fixture_test(the_verifier_accepts_it_for_1_and_for_4096_queues),
		fixture_test(
			the_verifier_accepts_it_from_an_ordinary_user_with_the_daemons_capabilities),
	};

	return live_run("xdp program", tests, 60);
}

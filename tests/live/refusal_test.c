// SPDX-License-Identifier: BSD-2-Clause
/* What can't be had says why, what to do about it, and is had as soon as the reason has gone. */
#include "tests/live/harness.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/umem.h"
#include "daemon/xsk.h"
#include "tests/live/consumer.h"
#include "tests/live/instance.h"
#include "tests/live/instructions.h"
#include "tests/live/packet.h"
#include "tests/live/protocol.h"

#define PATIENCE 10000

#define FOR_NOBODY "access: { attach: { users: [nobody] } }\n"
#define NEAR	   FOR_NOBODY "interfaces: [{ name: near, queues: [{ id: 0, frames: 256 }] }]\n"

static void add_pair(uint32_t queues)
{
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = queues}));
}

static bool is_in(const struct instance *daemon, const char *device, enum xdpd_queue_state state,
		  const char *text, struct xdpd_queue_record *ret)
{
	return protocol_find_queue(instance_socket(daemon), device, 0, ret) == 0 &&
	       ret->state == state && strstr(ret->reason, text);
}

/* Queue 0 comes into this state, with `text` in its reason. */
static void becomes(const struct instance *daemon, const char *device, enum xdpd_queue_state state,
		    const char *text)
{
	struct xdpd_queue_record record = {};

	if (!wait_until(is_in(daemon, device, state, text, &record), PATIENCE))
		fail_msg("%s queue 0 is in state %u (`%s`) instead of %d (`... %s ...`)", device,
			 record.state, record.reason, (int)state, text);
}

/* A consumer attaches to queue 0 and gets a few frames. */
static void works(const struct instance *daemon)
{
	struct consumer_report report;
	struct consumer *consumer;
	cleanup_fd int far = (int)assert_ok(packet_open("far"));

	assert_ok(packet_choose_queue(far, "far", 0));
	becomes(daemon, "near", XDPD_QUEUE_READY, "");
	consumer = consumer_start(&(struct consumer_options){
		.instance = daemon, .device = "near", .length = 80, .count = 10});
	for (uint64_t i = 0; i < 10; i++) {
		uint8_t frame[80];

		consumer_frame(frame, sizeof(frame), i);
		assert_ok(packet_send(far, frame, sizeof(frame)));
	}
	consumer_awaits(consumer, 10);
	report = consumer_stop(consumer);
	consumer_got_all(&report, 10);
}

/* ---- attaching ---- */

static void an_attach_that_cannot_be_had_says_why(void **state)
{
	struct instance *daemon;
	struct consumer *holder;
	char taken[64];

	(void)state;
	add_pair(2);
	daemon = instance_start(FOR_NOBODY
				"interfaces:\n"
				"  - { name: near, queues: [{ id: [0, 5], frames: 64 },\n"
				"      { id: 1, frames: 64, attach: { users: [root] } }] }\n"
				"  - { name: ghost, queues: [{ id: 0, frames: 64 }] }\n");
	const struct consumer_options nobody = {.instance = daemon, .device = "near"};
	struct consumer_options other = nobody;

	other.device = "eth7";
	consumer_is_refused(&other, ENODEV,
			    "eth7: not an interface of xdpd's (ENODEV); it has: near, ghost");
	other.device = "ghost";
	consumer_is_refused(&other, ENETDOWN, "ghost queue 0: there is no such interface now");
	other = nobody;
	other.queue = 3;
	consumer_is_refused(&other, ENOENT, "near queue 3: not a queue of xdpd's (ENOENT)");
	other.queue = 5;
	consumer_is_refused(&other, ENOENT,
			    "near queue 5: the interface has only queues 0 to 1 (ENOENT)");
	other.queue = 1;
	consumer_is_refused(&other, EACCES, "near queue 1: uid 65534 may not attach (EACCES)");
	other = nobody;
	other.uid = 12345;
	consumer_is_refused(&other, EACCES, "near queue 0: uid 12345 may not attach (EACCES)");
	other = nobody;
	other.name = "the second";
	consumer_is_refused(&other, EINVAL, "");

	other.name = "holder";
	holder = consumer_start(&other);
	(void)snprintf(taken, sizeof(taken),
		       "taken by consumer `holder`, uid 65534, pid %d (EBUSY)",
		       consumer_pid(holder));
	consumer_is_refused(&nobody, EBUSY, taken);
	(void)consumer_stop(holder);
	works(daemon);
	instance_stop(daemon);
}

static void a_link_that_goes_ends_its_consumer_and_refuses_the_next(void **state)
{
	struct consumer_report report;
	struct instance *daemon;
	struct consumer *consumer;

	(void)state;
	add_pair(1);
	daemon = instance_start(NEAR);
	const struct consumer_options options = {.instance = daemon, .device = "near"};

	consumer = consumer_start(&options);
	assert_ok(device_delete("near"));
	/* By the daemon's word, or by the socket's, whichever is seen first. */
	report = consumer_ends(consumer, "the interface is gone");
	assert_true(report.ended == -ECANCELED || report.ended == -ENETDOWN ||
		    report.ended == -ENXIO);
	becomes(daemon, "near", XDPD_QUEUE_WAITING, "there is no such interface now");
	consumer_is_refused(&options, ENETDOWN, "near queue 0: there is no such interface now");
	add_pair(1);
	works(daemon);
	instance_stop(daemon);
}

/* ---- others on the interface ---- */

static int load_intruder(void)
{
	const struct bpf_insn program[] = {MOVE_IMM(0, XDP_PASS), EXIT()};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "intruder", "GPL", program, 2, NULL);
}

static uint32_t id_of(int program)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	assert_ok(bpf_obj_get_info_by_fd(program, &info, &length));
	return info.id;
}

/* By a link of its own, or by netlink as `ip link set dev near xdp` does. */
static void meet_intruder(bool by_link, uint32_t mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
	const int near = (int)if_nametoindex("near");
	cleanup_fd int program = (int)assert_ok(load_intruder());
	cleanup_fd int link = -1;
	struct instance *daemon;
	char told[128];

	if (by_link)
		link = (int)assert_ok(bpf_link_create(program, near, BPF_XDP, &options));
	else
		assert_ok(bpf_xdp_attach(near, program, mode, NULL));
	daemon = instance_start(NEAR);
	(void)snprintf(told, sizeof(told),
		       "another XDP program is attached, `intruder`, id %u (EBUSY)",
		       id_of(program));
	becomes(daemon, "near", XDPD_QUEUE_FAILED, told);
	consumer_is_refused(&(struct consumer_options){.instance = daemon, .device = "near"}, EBUSY,
			    told);
	if (by_link)
		link = close_fd(link);
	else
		assert_ok(bpf_xdp_detach(near, mode, NULL));
	works(daemon);
	instance_stop(daemon);
}

static void another_xdp_program_is_named_and_followed_when_it_is_detached_from_native_mode(
	void **state)
{
	(void)state;
	add_pair(1);
	meet_intruder(false, XDP_FLAGS_DRV_MODE);
}

static void another_xdp_program_is_named_and_followed_when_it_is_detached_from_generic_mode(
	void **state)
{
	(void)state;
	add_pair(1);
	meet_intruder(false, XDP_FLAGS_SKB_MODE);
}

static void another_xdp_program_is_named_and_followed_when_its_link_is_closed(void **state)
{
	(void)state;
	add_pair(1);
	meet_intruder(true, XDP_FLAGS_DRV_MODE);
}

static void another_xdp_program_is_named_and_followed_when_its_generic_link_is_closed(void **state)
{
	(void)state;
	add_pair(1);
	meet_intruder(true, XDP_FLAGS_SKB_MODE);
}

/* Another program's AF_XDP socket on the queue. */
static int hold_queue(void *argument)
{
	int *held = argument;
	const struct ring_sizes sizes = {.rx = 64, .tx = 64, .fill = 64, .completion = 64};
	struct umem umem;
	struct xsk xsk;
	int r = umem_create(&umem, 64, 4096, 0, false);

	if (r == 0)
		r = xsk_open(&xsk, &umem, &sizes, true);
	if (r == 0)
		r = xsk_bind(&xsk, (int)if_nametoindex("near"), 0, XDPD_BIND_COPY, true);
	stepper_write(held, r < 0 ? r : 1);
	return r < 0 ? 1 : pause();
}

static void another_programs_socket_makes_the_queue_busy_until_it_ends(void **state)
{
	int *held = live_shared(sizeof(*held));
	struct instance *daemon;
	struct child *holder;

	(void)state;
	add_pair(1);
	assert_ok(child_start(&holder,
			      &(struct child_options){.call = hold_queue, .argument = held}));
	assert_becomes(stepper_read(held), PATIENCE);
	assert_ok(stepper_read(held));
	daemon = instance_start(NEAR);
	becomes(daemon, "near", XDPD_QUEUE_BUSY,
		"near queue 0: another program's AF_XDP socket has the queue (EBUSY)");
	consumer_is_refused(&(struct consumer_options){.instance = daemon, .device = "near"}, EBUSY,
			    "another program's AF_XDP socket has the queue");
	(void)child_end(holder);
	works(daemon);
	instance_stop(daemon);
}

/* ---- rights and limits ---- */

#define BPF	  (1ULL << CAP_BPF)
#define NET_ADMIN (1ULL << CAP_NET_ADMIN)
#define NET_RAW	  (1ULL << CAP_NET_RAW)

static struct instance *start_with(uint64_t capabilities)
{
	return instance_start_as(
		NEAR, &(struct child_options){.uid = 4711, .capabilities = capabilities});
}

static void three_capabilities_are_enough_for_an_ordinary_user(void **state)
{
	struct instance *daemon;

	(void)state;
	add_pair(1);
	daemon = start_with(BPF | NET_ADMIN | NET_RAW);
	works(daemon);
	works(daemon);
	instance_stop(daemon);
}

static void lacks(uint64_t capabilities, const char *name)
{
	struct instance *daemon;

	add_pair(1);
	daemon = start_with(capabilities);
	becomes(daemon, "near", XDPD_QUEUE_FAILED, "(EPERM)");
	becomes(daemon, "near", XDPD_QUEUE_FAILED, name);
	consumer_is_refused(&(struct consumer_options){.instance = daemon, .device = "near"}, EPERM,
			    name);
	instance_stop(daemon);
}

static void a_lack_of_cap_bpf_is_told(void **state)
{
	(void)state;
	lacks(NET_ADMIN | NET_RAW, "CAP_BPF");
}

static void a_lack_of_cap_net_admin_is_told(void **state)
{
	(void)state;
	lacks(BPF | NET_RAW, "CAP_NET_ADMIN");
}

static void a_lack_of_cap_net_raw_is_told(void **state)
{
	(void)state;
	lacks(BPF | NET_ADMIN, "CAP_NET_RAW");
}

static void a_limit_on_locked_memory_that_is_too_low_is_told(void **state)
{
	const struct rlimit low = {512 * 1024, 512 * 1024};
	struct instance *daemon;

	(void)state;
	add_pair(1);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &low), 0);
	daemon = start_with(BPF | NET_ADMIN | NET_RAW);
	becomes(daemon, "near", XDPD_QUEUE_FAILED,
		"256 frames of 4096 bytes exceed the locked-memory limit (ENOBUFS); raise "
		"LimitMEMLOCK=");
	instance_write_config(daemon, FOR_NOBODY
			      "interfaces: [{ name: near, queues: [{ id: 0, frames: 64 }] }]\n");
	instance_reload(daemon);
	works(daemon);
	instance_stop(daemon);
}

/* ---- what the interface has not ---- */

static void native_mode_on_a_driver_without_it_is_told_and_auto_takes_generic(void **state)
{
	struct xdpd_interface_record record;
	struct instance *daemon;

	(void)state;
	daemon = instance_start(
		"interfaces: [{ name: lo, mode: native, queues: [{ id: 0, frames: 64 }] }]\n");
	becomes(daemon, "lo", XDPD_QUEUE_FAILED,
		"lo: the driver has no native XDP mode (EOPNOTSUPP); set `mode: auto`");
	instance_write_config(daemon,
			      "interfaces: [{ name: lo, queues: [{ id: 0, frames: 64 }] }]\n");
	instance_reload(daemon);
	becomes(daemon, "lo", XDPD_QUEUE_READY, "");
	assert_ok(protocol_find_interface(instance_socket(daemon), "lo", &record));
	assert_int_equal(record.mode, XDPD_MODE_GENERIC);
	assert_int_equal(record.wanted_mode, XDPD_MODE_AUTO);
	instance_stop(daemon);
}

static void native_mode_that_the_number_of_queues_forbids_is_told_and_followed_when_it_is_allowed(
	void **state)
{
	struct instance *daemon;

	(void)state;
	add_pair(2);
	assert_ok(device_set_channels("near", 1));
	daemon = instance_start(FOR_NOBODY "interfaces: [{ name: near, mode: native,\n"
					   "    queues: [{ id: 0, frames: 64 }] }]\n");
	becomes(daemon, "near", XDPD_QUEUE_FAILED,
		"near: the driver refuses an XDP program in native mode as the interface is "
		"configured (ENOSPC)");
	becomes(daemon, "near", XDPD_QUEUE_FAILED, "number of queues; or set `mode: generic`");
	assert_ok(device_set_channels("near", 2));
	works(daemon);
	instance_stop(daemon);
}

static void zero_copy_on_a_driver_without_it_is_told_with_the_next_step(void **state)
{
	struct instance *daemon;

	(void)state;
	add_pair(1);
	daemon = instance_start(
		FOR_NOBODY
		"interfaces: [{ name: near, bind: zero-copy, queues: [{ id: 0, frames: 64 }] }]\n");
	becomes(daemon, "near", XDPD_QUEUE_FAILED,
		"near queue 0: the driver has no zero-copy (EOPNOTSUPP); set `bind: copy` or "
		"`auto`");
	consumer_is_refused(&(struct consumer_options){.instance = daemon, .device = "near"},
			    EOPNOTSUPP, "set `bind: copy` or `auto`");
	instance_write_config(
		daemon, FOR_NOBODY
		"interfaces: [{ name: near, bind: copy, queues: [{ id: 0, frames: 64 }] }]\n");
	instance_reload(daemon);
	works(daemon);
	instance_stop(daemon);
}

/* ---- starting ---- */

static void a_user_that_does_not_exist_keeps_xdpd_from_starting(void **state)
{
	cleanup_ran struct ran ran = {};

	(void)state;
	instance_start_fails("access: { attach: { users: [nobody, no-such-user] } }\n", &ran);
	assert_int_equal(ran.status, 78);
	assert_non_null(strstr(ran.errors, "xdpd.yaml:3:37: there is no user `no-such-user`"));
}

/* A second xdpd, started by hand with a config of one's own. */
static void start_second(const char *path, struct child **ret)
{
	const char *variable = getenv("XDPD");
	const char *const argv[] = {variable ? variable : built("xdpd"), "--config", path, NULL};

	assert_ok(child_start(ret, &(struct child_options){.argv = argv}));
}

static void second_fails(const char *path, const char *text)
{
	struct child *child;
	cleanup_free char *errors = NULL;

	start_second(path, &child);
	assert_int_equal(child_wait(child, PATIENCE), 1);
	errors = child_errors(child);
	if (!strstr(errors, text))
		fail_msg("`%s` instead of `... %s ...`", errors, text);
	(void)child_end(child);
}

static void a_control_socket_in_use_is_refused_and_a_stale_one_taken_over(void **state)
{
	struct instance *daemon;
	struct child *next;

	(void)state;
	add_pair(1);
	daemon = instance_start(NEAR);
	second_fails(instance_config(daemon),
		     "xdpd.sock: another xdpd, or another program, listens there (EADDRINUSE); stop it");
	works(daemon);
	child_kill(instance_child(daemon));
	assert_int_equal(access(instance_socket(daemon), F_OK), 0);
	start_second(instance_config(daemon), &next);
	works(daemon); /* at the same socket */
	assert_int_equal(
		instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason", "left"), 1);
	assert_ok(child_signal(next, SIGTERM));
	assert_int_equal(child_wait(next, PATIENCE), 0);
	(void)child_end(next);
	assert_int_equal(access(instance_socket(daemon), F_OK), -1);
	assert_int_equal(access(instance_metrics_socket(daemon), F_OK), -1);
	instance_kill(daemon);
}

static void a_metrics_address_in_use_is_told(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	cleanup_fd int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(address);
	cleanup_file FILE *file = NULL;
	char path[128], told[128];

	(void)state;
	assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &length), 0);
	(void)snprintf(path, sizeof(path), "%s/taken.yaml", live_folder());
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fprintf(file,
			    "socket: { path: %s/x.sock }\nmetrics: { listen: \"127.0.0.1:%u\" }\n",
			    live_folder(), ntohs(address.sin_port)) > 0);
	assert_int_equal(fflush(file), 0);
	(void)snprintf(told, sizeof(told),
		       "metrics: can't listen on 127.0.0.1:%u: Address already in use",
		       ntohs(address.sin_port));
	second_fails(path, told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(an_attach_that_cannot_be_had_says_why),
		live_test(a_link_that_goes_ends_its_consumer_and_refuses_the_next),
		live_test(
			another_xdp_program_is_named_and_followed_when_it_is_detached_from_native_mode),
		live_test(
			another_xdp_program_is_named_and_followed_when_it_is_detached_from_generic_mode),
		live_test(another_xdp_program_is_named_and_followed_when_its_link_is_closed),
		live_test(
			another_xdp_program_is_named_and_followed_when_its_generic_link_is_closed),
		live_test(another_programs_socket_makes_the_queue_busy_until_it_ends),
		live_test(three_capabilities_are_enough_for_an_ordinary_user),
		live_test(a_lack_of_cap_bpf_is_told),
		live_test(a_lack_of_cap_net_admin_is_told),
		live_test(a_lack_of_cap_net_raw_is_told),
		live_test(native_mode_on_a_driver_without_it_is_told_and_auto_takes_generic),
		live_test(
			native_mode_that_the_number_of_queues_forbids_is_told_and_followed_when_it_is_allowed),
		live_test(zero_copy_on_a_driver_without_it_is_told_with_the_next_step),
		live_test(a_user_that_does_not_exist_keeps_xdpd_from_starting),
		live_test(a_control_socket_in_use_is_refused_and_a_stale_one_taken_over),
		live_test(a_metrics_address_in_use_is_told),
		/* The last one, as not every root may raise the limit again. */
		live_test(a_limit_on_locked_memory_that_is_too_low_is_told),
	};

	return live_run("refusal", tests, 180);
}

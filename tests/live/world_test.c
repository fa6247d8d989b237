// SPDX-License-Identifier: BSD-2-Clause
/*
 * What others do to an interface while consumers are attached: links that go down, names that change hands, MTUs, resets,
 * XDP programs that are taken off or in the way. All of it is noticed, told and counted, and repaired where it can be.
 */
#include "tests/live/harness.h"

#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/live/consumer.h"
#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/instructions.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"
#include "tests/live/shared.h"
#include "tests/live/supervised.h"
#include "tests/live/traffic.h"

#define SOON  8000 /* milliseconds */
#define OPEN  "access: { attach: { users: [\"*\"] } }\ninterfaces:\n"
#define RINGS "rings: { rx: 512, tx: 128, fill: 1024, completion: 128 }"

#define INTERFACE(name, more, delivery)                                                      \
	"  - name: " name "\n" more "    queues: [{ id: 0, frames: 1024, frame_size: 2048, " \
	"delivery: " delivery ", " RINGS " }]\n"

#define EXCLUSIVE OPEN INTERFACE("near", "", "exclusive")
#define SHARED	  OPEN INTERFACE("near", "", "shared")
#define REPLACING OPEN INTERFACE("near", "    replace: true\n", "exclusive")

static void add_pair(void)
{
	assert_ok(veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = 2}));
}

static struct xdpd_interface_record near(const struct instance *daemon)
{
	struct xdpd_interface_record record;

	assert_ok(protocol_find_interface(instance_socket(daemon), "near", &record));
	return record;
}

static struct xdpd_queue_record queue(const struct instance *daemon)
{
	struct xdpd_queue_record record;

	assert_ok(protocol_find_queue(instance_socket(daemon), "near", 0, &record));
	return record;
}

static double changes(const struct instance *daemon, const char *kind)
{
	return instance_metric(daemon, "xdpd_interface_changes_total", "device", "near", "kind",
			       kind);
}

static uint64_t seen(const struct instance *daemon)
{
	const struct xdpd_queue_record record = queue(daemon);

	return record.receive_packets + record.passed_packets;
}

/* Sends frames of no meaning until the program sees them: a link takes up to a second to carry any. */
static void await_frames(const struct instance *daemon)
{
	cleanup_fd int far = (int)assert_ok(packet_open("far"));
	const uint64_t before = seen(daemon);
	uint8_t frame[60];

	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(packet_choose_queue(far, "far", 0));
	assert_becomes((packet_send(far, frame, sizeof(frame)), seen(daemon) > before), SOON);
}

static void works(const struct instance *daemon)
{
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);

	probe_becomes(&probe, XDPD_QUEUE_READY, SOON);
	await_frames(daemon);
	probe_passes(&probe);
	probe_delivers(&probe);
}

/* A consumer stays attached through what is done, and gets all frames before and after it. */
static void stays_through(const char *config, void (*happens)(struct instance *daemon))
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	add_pair();
	daemon = instance_start(config);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 48);
	probe_send(&probe, 24);
	assert_becomes(queue(daemon).receive_packets >= 24, SOON);
	happens(daemon);
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_ATTACHED);
	await_frames(daemon);
	probe_send(&probe, 24);
	probe_finish(consumer);
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
				    "interface_gone") == 0);
	instance_stop(daemon);
	assert_ok(device_delete("near"));
}

static void stays_with_either_delivery(void (*happens)(struct instance *daemon))
{
	stays_through(EXCLUSIVE, happens);
	stays_through(SHARED, happens);
}

/* ---- links ---- */

static uint64_t cpu_ns(const struct instance *daemon)
{
	struct footprint footprint;

	assert_ok(footprint_take(&footprint, instance_pid(daemon)));
	return footprint.cpu_ns;
}

static void the_link_goes_down_and_up(struct instance *daemon)
{
	uint64_t before;

	assert_ok(device_down("near"));
	assert_becomes(!near(daemon).up, SOON);
	live_sleep_ms(100);
	before = cpu_ns(daemon);
	live_sleep_ms(500);
	/* Nobody spins: a twentieth of the time, on a machine with other work. */
	assert_true(cpu_ns(daemon) - before < 25 * 1000 * 1000);
	assert_ok(device_up("near"));
	assert_becomes(near(daemon).up, SOON);
	assert_true(changes(daemon, "link_down") == 1);
	assert_true(changes(daemon, "link_up") == 1);
	assert_true(changes(daemon, "gone") == 0);
}

static void consumers_stay_while_the_link_is_down_and_nobody_spins(void **state)
{
	(void)state;
	stays_with_either_delivery(the_link_goes_down_and_up);
}

/* It wants to send all the time that there is nowhere to send to. */
static void a_member_that_sends_on_a_link_that_is_down_makes_nobody_spin(void **state)
{
	struct instance *daemon;
	struct consumer *consumer;
	uint64_t before, spent;

	(void)state;
	daemon = shared_start("frames: 1024, frame_size: 2048, " RINGS, "");
	consumer = consumer_start(&(struct consumer_options){.instance = daemon,
							     .device = "near",
							     .transmit = true,
							     .length = 200,
							     .to_send = 1000,
							     .burst = 16});
	assert_ok(device_down("near"));
	assert_becomes(!near(daemon).up, SOON);
	consumer_turns_to(consumer, CONSUMER_SENDS);
	live_sleep_ms(200);
	before = cpu_ns(daemon);
	live_sleep_ms(1000);
	spent = cpu_ns(daemon) - before;
	print_message("%lu us of a second\n", spent / 1000);
	assert_true(spent < 250 * 1000 * 1000);
	assert_ok(device_up("near"));
	consumer_awaits_sent(consumer, 1000);
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

/* ---- interfaces that go ---- */

static void another_interface_that_takes_the_name_takes_the_queue(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;
	uint32_t ifindex;

	(void)state;
	add_pair();
	assert_ok(veth_add(&(struct veth_options){.name = "other", .peer = "behind"}));
	daemon = instance_start(EXCLUSIVE);
	ifindex = near(daemon).ifindex;
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_stay(&probe, false);
	/* In one go for whoever sees only how it is afterwards. */
	(void)kill(instance_pid(daemon), SIGSTOP);
	assert_ok(device_down("near"));
	assert_ok(device_down("far"));
	assert_ok(device_rename("near", "away"));
	assert_ok(device_rename("far", "yonder"));
	assert_ok(device_down("other"));
	assert_ok(device_down("behind"));
	assert_ok(device_rename("other", "near"));
	assert_ok(device_rename("behind", "far"));
	assert_ok(device_up("far"));
	assert_ok(device_up("near"));
	(void)kill(instance_pid(daemon), SIGCONT);
	probe_ended(consumer, 0, "another interface has taken this one's name", SOON);
	assert_int_not_equal(near(daemon).ifindex, ifindex);
	works(daemon);
	/* And back. */
	assert_ok(device_down("near"));
	assert_ok(device_rename("near", "other"));
	assert_becomes(queue(daemon).state == XDPD_QUEUE_WAITING, SOON);
	assert_ok(device_down("far"));
	assert_ok(device_rename("far", "behind"));
	assert_ok(device_rename("yonder", "far"));
	assert_ok(device_rename("away", "near"));
	assert_ok(device_up("far"));
	assert_ok(device_up("near"));
	assert_becomes(near(daemon).ifindex == ifindex, SOON);
	works(daemon);
	instance_stop(daemon);
}

/* Its ifindex is the same afterwards, but the kernel has unbound the sockets. */
static void stays_elsewhere_unseen(const char *config)
{
	cleanup_fd int here = (int)assert_ok(netns_current()), other = (int)assert_ok(netns_new());
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	add_pair();
	daemon = instance_start(config);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_stay(&probe, false);
	(void)kill(instance_pid(daemon), SIGSTOP);
	assert_ok(device_move("near", other));
	assert_ok(netns_enter(other));
	assert_ok(device_move("near", here));
	assert_ok(netns_enter(here));
	assert_ok(device_up("near"));
	(void)kill(instance_pid(daemon), SIGCONT);
	/* By the daemon's word, or by the socket's, whichever is seen first. */
	probe_ended(consumer, 0, "the interface", SOON);
	works(daemon);
	assert_true(changes(daemon, "gone") == 1);
	instance_stop(daemon);
	assert_ok(device_delete("near"));
}

static void a_stay_in_another_namespace_that_nobody_saw_is_noticed(void **state)
{
	(void)state;
	stays_elsewhere_unseen(EXCLUSIVE);
	stays_elsewhere_unseen(SHARED);
}

/* ---- settings ---- */

static double oversize(const struct instance *daemon)
{
	return instance_metric(daemon, "xdpd_xdp_verdicts_total", "device", "near", "action",
			       "pass_oversize");
}

static void an_mtu_beyond_a_queues_frames_is_noted_and_taken_back(void **state)
{
	static uint8_t frame[2500];
	cleanup_fd int far = -1;
	struct consumer *consumer;
	struct instance *daemon;

	(void)state;
	add_pair();
	daemon = instance_start(EXCLUSIVE);
	consumer = consumer_start(&(struct consumer_options){.instance = daemon, .device = "near"});
	assert_string_equal(near(daemon).note, "");
	assert_ok(device_set_mtu("far", 3000));
	require(device_set_mtu("near", 3000) == 0, "the driver refuses the MTU with a program");
	consumer_awaits_event(consumer, XDPD_EVENT_INTERFACE_CHANGED);
	assert_becomes(strstr(near(daemon).note, "MTU of 3000"), SOON);
	assert_non_null(strstr(near(daemon).note, "queue 0 has room for"));
	assert_string_equal(near(daemon).reason, "");
	await_frames(daemon);
	far = (int)assert_ok(packet_open("far"));
	assert_ok(packet_choose_queue(far, "far", 0));
	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(packet_send(far, frame, sizeof(frame)));
	assert_becomes(oversize(daemon) == 1, SOON);
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_ATTACHED);
	assert_ok(device_set_mtu("near", 1500));
	assert_becomes(near(daemon).note[0] == '\0', SOON);
	assert_true(changes(daemon, "mtu") == 2);
	(void)consumer_stop(consumer);
	instance_stop(daemon);
}

#define TWO_QUEUES                                                                            \
	OPEN "  - name: near\n    queues: [{ id: 0-1, frames: 1024, frame_size: 2048, " RINGS \
	     " }]\n"

/* The kernel keeps a channel that an AF_XDP socket is bound to, so a queue goes before its channel does. */
static void a_channel_with_a_consumer_stays_until_its_queue_is_removed(void **state)
{
	cleanup_probe struct probe staying = {.far_fd = -1, .near_fd = -1}, going = staying;
	struct child *stays, *goes;
	struct instance *daemon;
	cleanup_ran struct ran ran = {}, again = {};

	(void)state;
	add_pair();
	daemon = instance_start(TWO_QUEUES);
	staying = probe_open(daemon, "near", "far", 0);
	going = probe_open(daemon, "near", "far", 1);
	stays = probe_attach(&staying, 60);
	goes = probe_stay(&going, true);
	probe_send(&staying, 20);
	assert_ok(device_set_channels("far", 1));
	assert_error(device_set_channels("near", 1), EINVAL);
	assert_ok(device_set_channels("far", 2));
	instance_ctl(daemon, &ran, "remove-queue", "near", "1");
	assert_int_equal(ran.status, 0);
	probe_ended(goes, ECANCELED, "the queue was removed", SOON);
	assert_ok(device_set_channels("far", 1));
	assert_becomes(device_set_channels("near", 1) == 0, SOON);
	assert_becomes(near(daemon).channels == 1, SOON);
	await_frames(daemon);
	probe_send(&staying, 20);
	assert_ok(device_set_channels("near", 2));
	assert_ok(device_set_channels("far", 2));
	instance_ctl(daemon, &again, "add-queue", "near", "1");
	assert_int_equal(again.status, 0);
	probe_becomes(&going, XDPD_QUEUE_READY, SOON);
	await_frames(daemon);
	probe_send(&staying, 20);
	probe_finish(stays);
	assert_true(changes(daemon, "receive_queues") == 2);
	instance_stop(daemon);
}

static void the_driver_is_reset(struct instance *daemon)
{
	const uint32_t program = near(daemon).program_id;

	(void)device_set_gro("near", true);
	(void)device_set_gro("near", false);
	/* As many as before or fewer, but not those of a socket: takes the queues down and up. */
	assert_ok(device_set_channels("far", 1));
	assert_ok(device_set_channels("near", 1));
	assert_becomes(near(daemon).channels == 1, SOON);
	assert_ok(device_set_channels("near", 2));
	assert_ok(device_set_channels("far", 2));
	assert_becomes(near(daemon).channels == 2, SOON);
	assert_int_equal(near(daemon).program_id, program);
	assert_true(changes(daemon, "receive_queues") == 2);
}

static void program_and_queues_are_right_after_a_reset_of_the_driver(void **state)
{
	(void)state;
	stays_with_either_delivery(the_driver_is_reset);
}

/* ---- programs ---- */

static int load_intruder(void)
{
	/* Only one of the same kind as the program before can be put into a link. */
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_XDP);
	const struct bpf_insn program[] = {MOVE_IMM(0, XDP_PASS), EXIT()};

	return (int)assert_ok(
		bpf_prog_load(BPF_PROG_TYPE_XDP, "intruder", "GPL", program, 2, &options));
}

/* xdpd's link, as an administrator finds it. */
static int open_link(const struct instance *daemon)
{
	const uint32_t program = near(daemon).program_id;
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		struct bpf_link_info info = {};
		uint32_t length = sizeof(info);
		cleanup_fd int fd = bpf_link_get_fd_by_id(id);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 &&
		    info.prog_id == program)
			return TAKE_FD(fd);
	}
	fail_msg("program %u has no link", program);
	return -1;
}

static void assert_restored(const struct instance *daemon, uint32_t program, int times)
{
	assert_becomes(changes(daemon, "program_restored") == times, SOON);
	assert_true(changes(daemon, "program_lost") == 1);
	assert_int_equal(near(daemon).program_id, program);
	assert_string_equal(near(daemon).reason, "");
}

static void the_link_is_detached(struct instance *daemon)
{
	const uint32_t program = near(daemon).program_id;
	cleanup_fd int link = open_link(daemon);

	assert_ok(bpf_link_detach(link));
	assert_restored(daemon, program, 1);
}

static void a_program_that_is_detached_is_attached_again_and_consumers_stay(void **state)
{
	(void)state;
	require_root();
	stays_with_either_delivery(the_link_is_detached);
}

/* The link that the store has is the new one; and what happens while no daemon is there is seen by the next. */
static void a_restored_program_outlives_the_daemon_and_is_restored_by_the_next(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;
	uint32_t program;

	(void)state;
	require_root();
	add_pair();
	daemon = supervised_start(EXCLUSIVE);
	program = near(daemon).program_id;
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 72);
	probe_send(&probe, 24);
	the_link_is_detached(daemon);
	supervised_dies(daemon, SIGKILL);
	assert_restored(daemon, program, 1);
	await_frames(daemon);
	probe_send(&probe, 24);
	assert_becomes(queue(daemon).receive_packets >= 48, SOON);
	{
		cleanup_fd int link = open_link(daemon);

		(void)kill(supervised_look(daemon).pid, SIGSTOP);
		assert_ok(bpf_link_detach(link));
	}
	supervised_dies(daemon, SIGKILL);
	assert_becomes(changes(daemon, "program_restored") == 2, SOON);
	assert_true(changes(daemon, "program_lost") == 2);
	assert_int_equal(near(daemon).program_id, program);
	await_frames(daemon);
	probe_send(&probe, 24);
	probe_finish(consumer);
	supervised_stop(daemon);
}

static void the_link_gets_another_program(struct instance *daemon)
{
	const uint32_t program = near(daemon).program_id;
	cleanup_fd int link = open_link(daemon), intruder = load_intruder();

	assert_ok(bpf_link_update(link, intruder, NULL));
	assert_restored(daemon, program, 1);
}

static void a_program_that_is_replaced_in_its_link_is_put_back_and_consumers_stay(void **state)
{
	(void)state;
	require_root();
	stays_with_either_delivery(the_link_gets_another_program);
}

static void another_program_is_put_in_its_place(struct instance *daemon)
{
	const int ifindex = (int)if_nametoindex("near");
	const uint32_t program = near(daemon).program_id;
	cleanup_fd int link = open_link(daemon), intruder = load_intruder();

	/* Nothing is seen in between. */
	(void)kill(instance_pid(daemon), SIGSTOP);
	assert_ok(bpf_link_detach(link));
	assert_ok(bpf_xdp_attach(ifindex, intruder, XDP_FLAGS_DRV_MODE, NULL));
	(void)kill(instance_pid(daemon), SIGCONT);
	assert_becomes(strstr(near(daemon).reason, "another XDP program is attached, `intruder`"),
		       SOON);
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_ATTACHED);
	live_sleep_ms(1200);
	assert_true(changes(daemon, "program_restored") == 0);
	assert_ok(bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL));
	assert_restored(daemon, program, 1);
}

static void a_program_whose_place_is_taken_comes_back_when_it_is_free(void **state)
{
	(void)state;
	require_root();
	stays_with_either_delivery(another_program_is_put_in_its_place);
}

static void with_replace_its_place_is_taken_back(struct instance *daemon)
{
	const int ifindex = (int)if_nametoindex("near");
	const uint32_t program = near(daemon).program_id;
	cleanup_fd int link = open_link(daemon), intruder = load_intruder();

	(void)kill(instance_pid(daemon), SIGSTOP);
	assert_ok(bpf_link_detach(link));
	assert_ok(bpf_xdp_attach(ifindex, intruder, XDP_FLAGS_DRV_MODE, NULL));
	(void)kill(instance_pid(daemon), SIGCONT);
	assert_restored(daemon, program, 1);
	assert_true(changes(daemon, "program_replaced") == 1);
	assert_non_null(strstr(near(daemon).note, "`intruder`"));
}

static void with_replace_a_lost_program_takes_its_place_back_and_consumers_stay(void **state)
{
	(void)state;
	require_root();
	stays_through(REPLACING, with_replace_its_place_is_taken_back);
}

static uint32_t id_of(int program)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	assert_ok(bpf_obj_get_info_by_fd(program, &info, &length));
	return info.id;
}

static void replaces(bool by_link, uint32_t mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
	const int ifindex = (add_pair(), (int)if_nametoindex("near"));
	cleanup_fd int intruder = load_intruder(), link = -1;
	struct instance *daemon;
	cleanup_free char *log = NULL;
	char told[128];

	if (by_link)
		link = (int)assert_ok(bpf_link_create(intruder, ifindex, BPF_XDP, &options));
	else
		assert_ok(bpf_xdp_attach(ifindex, intruder, mode, NULL));
	(void)snprintf(told, sizeof(told), "another XDP program, `intruder`, id %u, was attached",
		       id_of(intruder));
	daemon = instance_start(REPLACING);
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_READY);
	assert_string_equal(near(daemon).reason, "");
	assert_non_null(strstr(near(daemon).note, told));
	assert_true(changes(daemon, "program_replaced") == 1);
	log = instance_log(daemon);
	assert_non_null(strstr(log, told));
	works(daemon);
	/* Whoever loads the config anew has seen it. */
	instance_reload(daemon);
	assert_string_equal(near(daemon).note, "");
	instance_stop(daemon);
	assert_ok(device_delete("near"));
}

static void with_replace_another_program_is_taken_off_and_told(void **state)
{
	(void)state;
	require_root();
	replaces(false, XDP_FLAGS_DRV_MODE);
	replaces(false, XDP_FLAGS_SKB_MODE);
	replaces(true, XDP_FLAGS_DRV_MODE);
}

static void a_reload_with_replace_takes_it_off(void **state)
{
	cleanup_fd int intruder = -1;
	struct instance *daemon;

	(void)state;
	require_root();
	add_pair();
	intruder = load_intruder();
	assert_ok(bpf_xdp_attach((int)if_nametoindex("near"), intruder, XDP_FLAGS_DRV_MODE, NULL));
	daemon = instance_start(EXCLUSIVE);
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_FAILED);
	assert_non_null(strstr(near(daemon).reason, "`replace: true`"));
	instance_write_config(daemon, REPLACING);
	instance_reload(daemon);
	works(daemon);
	instance_stop(daemon);
}

#define CAPABILITIES (1ull << CAP_BPF | 1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW)

/* Which link it is only CAP_SYS_ADMIN may find out; a program that netlink attached needs none. */
static void without_cap_sys_admin_the_owner_of_a_link_has_to_let_go(void **state)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
	const struct child_options how = {.uid = CHILD_NOBODY, .capabilities = CAPABILITIES};
	cleanup_fd int intruder = -1, link = -1;
	struct instance *daemon;
	int ifindex;

	(void)state;
	require_root();
	add_pair();
	ifindex = (int)if_nametoindex("near");
	intruder = load_intruder();
	link = (int)assert_ok(bpf_link_create(intruder, ifindex, BPF_XDP, &options));
	daemon = instance_start_as(REPLACING, &how);
	assert_non_null(strstr(near(daemon).reason, "CAP_SYS_ADMIN"));
	assert_int_equal(queue(daemon).state, XDPD_QUEUE_FAILED);
	link = close_fd(link);
	works(daemon);
	instance_stop(daemon);

	assert_ok(bpf_xdp_attach(ifindex, intruder, XDP_FLAGS_DRV_MODE, NULL));
	daemon = instance_start_as(REPLACING, &how);
	works(daemon);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(consumers_stay_while_the_link_is_down_and_nobody_spins),
		live_test(a_member_that_sends_on_a_link_that_is_down_makes_nobody_spin),
		live_test(another_interface_that_takes_the_name_takes_the_queue),
		live_test(a_stay_in_another_namespace_that_nobody_saw_is_noticed),
		live_test(an_mtu_beyond_a_queues_frames_is_noted_and_taken_back),
		live_test(a_channel_with_a_consumer_stays_until_its_queue_is_removed),
		live_test(program_and_queues_are_right_after_a_reset_of_the_driver),
		live_test(a_program_that_is_detached_is_attached_again_and_consumers_stay),
		live_test(a_restored_program_outlives_the_daemon_and_is_restored_by_the_next),
		live_test(a_program_that_is_replaced_in_its_link_is_put_back_and_consumers_stay),
		live_test(a_program_whose_place_is_taken_comes_back_when_it_is_free),
		live_test(with_replace_a_lost_program_takes_its_place_back_and_consumers_stay),
		live_test(with_replace_another_program_is_taken_off_and_told),
		live_test(a_reload_with_replace_takes_it_off),
		live_test(without_cap_sys_admin_the_owner_of_a_link_has_to_let_go),
	};

	return live_run("world", tests, 240);
}

// SPDX-License-Identifier: BSD-2-Clause
/*
 * Interfaces that come, go and change under the daemon, and a config that changes: what is touched
 * is told why, what is not does not notice.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/nic.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/probe.h"
#include "tests/live/protocol.h"
#include "tests/live/traffic.h"

#define QUEUE(id, rx)                                                    \
	"{ id: " id ", frames: 1024, frame_size: 2048, rings: { rx: " rx \
	", tx: 128, fill: 1024, completion: 128 } }"
#define OPEN "access: { attach: { users: [\"*\"] } }\n"
#define INTERFACE(name, queues) \
	"  - name: " name "\n"  \
	"    queues: [" queues "]\n"

#define ONE_QUEUE  OPEN "interfaces:\n" INTERFACE("near", QUEUE("0", "512"))
#define TWO_QUEUES OPEN "interfaces:\n" INTERFACE("near", QUEUE("0-1", "512"))

#define SOON 5000 /* milliseconds */

static void add_pair(uint32_t queues)
{
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = queues}));
}

static struct traffic *start_traffic(const char *device, uint64_t rate)
{
	struct traffic *traffic;
	uint8_t frame[100];

	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = device,
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = rate}));
	return traffic;
}

static struct xdpd_queue_record find_queue(const struct instance *daemon, const char *device,
					   uint32_t queue)
{
	struct xdpd_queue_record record;

	assert_ok(protocol_find_queue(instance_socket(daemon), device, queue, &record));
	return record;
}

static struct xdpd_interface_record find_interface(const struct instance *daemon,
						   const char *device)
{
	struct xdpd_interface_record record;

	assert_ok(protocol_find_interface(instance_socket(daemon), device, &record));
	return record;
}

static bool is_in_state(const struct instance *daemon, uint32_t queue, enum xdpd_queue_state state)
{
	return find_queue(daemon, "near", queue).state == state;
}

static uint64_t arrived(const struct instance *daemon, uint32_t queue)
{
	struct xdpd_queue_record record = find_queue(daemon, "near", queue);

	return record.receive_packets + record.passed_packets;
}

/*
 * After a change of the link it takes up to a second until frames pass: sends some of no meaning
 * until they do.
 */
static void await_frames(const struct instance *daemon, uint32_t queue)
{
	cleanup_fd int far = (int)assert_ok(packet_open("far"));
	uint64_t before = arrived(daemon, queue);
	uint8_t frame[60];

	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(packet_choose_queue(far, "far", queue));
	assert_becomes((packet_send(far, frame, sizeof(frame)), arrived(daemon, queue) > before),
		       SOON);
}

static void assert_works(const struct instance *daemon, uint32_t queue)
{
	cleanup_probe struct probe probe = probe_open(daemon, "near", "far", queue);

	probe_becomes(&probe, XDPD_QUEUE_READY, SOON);
	await_frames(daemon, queue);
	probe_passes(&probe);
	probe_delivers(&probe);
}

/* ---- coming and going ---- */

static void an_interface_that_appears_late_is_taken_into_use(void **state)
{
	struct instance *daemon = instance_start(ONE_QUEUE);
	const struct protocol_target target =
		protocol_target(instance_socket(daemon), "near", 0, "early");
	cleanup_protocol struct protocol early;

	(void)state;
	assert_true(is_in_state(daemon, 0, XDPD_QUEUE_WAITING));
	protocol_init(&early, &target);
	assert_error(protocol_go(&early, PROTOCOL_GRANTED), ENETDOWN);
	assert_non_null(strstr(early.reason, "no such interface"));
	add_pair(1);
	assert_becomes(is_in_state(daemon, 0, XDPD_QUEUE_READY), SOON);
	assert_works(daemon, 0);
	instance_stop(daemon);
}

static void an_interface_that_vanishes_under_traffic_ends_its_consumer_and_works_when_it_returns(
	void **state)
{
	struct instance *daemon;
	uint32_t ifindex;
	double received;

	(void)state;
	require_live_frames();
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	for (int round = 0; round < 3; round++) {
		cleanup_probe struct probe probe = probe_open(daemon, "near", "far", 0);
		struct child *consumer = probe_stay(&probe, true);
		struct traffic *traffic = start_traffic("far", 20000);

		received = instance_metric(daemon, "xdpd_queue_receive_packets_total");
		assert_becomes(instance_metric(daemon, "xdpd_queue_receive_packets_total") >
				       received + 100,
			       SOON);
		ifindex = find_interface(daemon, "near").ifindex;
		received = instance_metric(daemon, "xdpd_queue_receive_packets_total");
		assert_ok(device_delete("near"));
		probe_ended(consumer, 0, "the interface is gone", SOON);
		assert_true(is_in_state(daemon, 0, XDPD_QUEUE_WAITING));
		assert_int_equal(find_interface(daemon, "near").ifindex, 0);
		(void)traffic_stop(traffic, NULL);
		assert_true(instance_metric(daemon, "xdpd_queue_receive_packets_total") >=
			    received);

		add_pair(1);
		assert_becomes(is_in_state(daemon, 0, XDPD_QUEUE_READY), SOON);
		assert_int_not_equal(find_interface(daemon, "near").ifindex, ifindex);
		assert_works(daemon, 0);
	}
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
				    "interface_gone") == 3);
	instance_stop(daemon);
}

static void an_interface_that_is_swapped_in_one_go_is_noticed(void **state)
{
	struct instance *daemon;
	uint32_t ifindex;

	(void)state;
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	ifindex = find_interface(daemon, "near").ifindex;
	(void)kill(instance_pid(daemon), SIGSTOP);
	assert_ok(device_delete("near"));
	add_pair(1);
	(void)kill(instance_pid(daemon), SIGCONT);
	assert_becomes(find_interface(daemon, "near").ifindex == if_nametoindex("near"), SOON);
	assert_int_not_equal(find_interface(daemon, "near").ifindex, ifindex);
	assert_works(daemon, 0);
	instance_stop(daemon);
}

static void an_interface_that_is_renamed_is_another(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_stay(&probe, false);
	assert_ok(device_down("near"));
	assert_ok(device_rename("near", "close"));
	assert_ok(device_up("close"));
	probe_ended(consumer, 0, "the interface is gone", SOON);
	assert_true(is_in_state(daemon, 0, XDPD_QUEUE_WAITING));
	assert_ok(device_down("close"));
	assert_ok(device_rename("close", "near"));
	assert_ok(device_up("near"));
	assert_works(daemon, 0);
	instance_stop(daemon);
}

static void an_interface_that_is_moved_to_another_namespace_is_gone_until_it_returns(void **state)
{
	cleanup_fd int here = (int)assert_ok(netns_current()), other = (int)assert_ok(netns_new());
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_stay(&probe, false);
	assert_ok(device_move("near", other));
	probe_ended(consumer, 0, "the interface is gone", SOON);
	assert_true(is_in_state(daemon, 0, XDPD_QUEUE_WAITING));
	assert_ok(netns_enter(other));
	assert_ok(device_move("near", here));
	assert_ok(netns_enter(here));
	assert_ok(device_up("near"));
	assert_works(daemon, 0);
	instance_stop(daemon);
}

/* ---- changing ---- */

static void a_queue_without_a_channel_waits_for_it(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(2);
	/* A veth takes a program in native mode only if its peer does not have more queues. */
	assert_ok(device_set_channels("far", 1));
	assert_ok(device_set_channels("near", 1));
	daemon = instance_start(TWO_QUEUES);
	assert_true(is_in_state(daemon, 1, XDPD_QUEUE_WAITING));
	assert_non_null(strstr(find_queue(daemon, "near", 1).reason, "only queues 0 to 0"));
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 60);
	probe_send(&probe, 20);
	assert_ok(device_set_channels("near", 2));
	assert_ok(device_set_channels("far", 2));
	/* A veth runs an attached program on new queues only after its next start. */
	assert_ok(device_down("near"));
	assert_ok(device_up("near"));
	assert_becomes(is_in_state(daemon, 1, XDPD_QUEUE_READY), SOON);
	assert_works(daemon, 1);
	await_frames(daemon, 0);
	probe_send(&probe, 20);

	/* The kernel keeps a channel that an AF_XDP socket is bound to, so the queue goes first. */
	assert_becomes(is_in_state(daemon, 1, XDPD_QUEUE_READY), SOON);
	assert_error(device_set_channels("near", 1), EINVAL);
	instance_write_config(daemon, ONE_QUEUE);
	instance_reload(daemon);
	assert_ok(device_set_channels("far", 1));
	assert_becomes(device_set_channels("near", 1) == 0, SOON);
	instance_write_config(daemon, TWO_QUEUES);
	instance_reload(daemon);
	assert_true(is_in_state(daemon, 1, XDPD_QUEUE_WAITING));
	await_frames(daemon, 0);
	probe_send(&probe, 20);
	probe_finish(consumer);
	instance_stop(daemon);
}

/* With the interface down no carrier toggles, and rtnetlink tells nothing. */
static void channels_that_are_added_to_an_interface_that_is_down_are_noticed(void **state)
{
	struct instance *daemon;

	(void)state;
	assert_ok(veth_add(
		&(struct veth_options){.name = "near", .peer = "far", .queues = 4, .down = true}));
	assert_ok(device_set_channels("far", 2));
	assert_ok(device_set_channels("near", 2));
	daemon = instance_start(OPEN "interfaces:\n" INTERFACE("near", QUEUE("0-3", "512")));
	for (uint32_t queue = 0; queue < 4; queue++)
		assert_true(is_in_state(daemon, queue,
					queue < 2 ? XDPD_QUEUE_READY : XDPD_QUEUE_WAITING));
	assert_ok(device_set_channels("near", 4));
	for (uint32_t queue = 0; queue < 4; queue++)
		assert_becomes(is_in_state(daemon, queue, XDPD_QUEUE_READY), SOON);
	assert_ok(device_set_channels("far", 4));
	assert_ok(device_up("far"));
	assert_ok(device_up("near"));
	assert_works(daemon, 3);
	instance_stop(daemon);
}

static void a_link_that_goes_down_and_up_leaves_its_consumer_in_place(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 48);
	probe_send(&probe, 24);
	assert_becomes(find_queue(daemon, "near", 0).receive_packets >= 24, SOON);
	assert_ok(device_down("near"));
	assert_becomes(!find_interface(daemon, "near").up, SOON);
	assert_true(is_in_state(daemon, 0, XDPD_QUEUE_ATTACHED));
	assert_ok(device_up("near"));
	assert_becomes(find_interface(daemon, "near").up, SOON);
	await_frames(daemon, 0);
	probe_send(&probe, 24);
	probe_finish(consumer);
	instance_stop(daemon);
}

static void an_mtu_that_changes_leaves_the_consumer_in_place(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(1);
	daemon = instance_start(ONE_QUEUE);
	probe = probe_open(daemon, "near", "far", 0);
	consumer = probe_attach(&probe, 48);
	probe_send(&probe, 24);
	assert_becomes(find_queue(daemon, "near", 0).receive_packets >= 24, SOON);
	assert_ok(device_set_mtu("near", 1400));
	assert_becomes(find_interface(daemon, "near").mtu == 1400, SOON);
	assert_true(is_in_state(daemon, 0, XDPD_QUEUE_ATTACHED));
	await_frames(daemon, 0);
	probe_send(&probe, 24);
	probe_finish(consumer);
	instance_stop(daemon);
}

static void two_interfaces_have_nothing_to_do_with_each_other(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	add_pair(1);
	assert_ok(veth_add(&(struct veth_options){.name = "left", .peer = "right"}));
	daemon = instance_start(OPEN "interfaces:\n" INTERFACE("near", QUEUE("0", "512"))
					INTERFACE("left", QUEUE("0", "512")));
	probe = probe_open(daemon, "left", "right", 0);
	consumer = probe_attach(&probe, 60);
	for (int round = 0; round < 3; round++) {
		probe_send(&probe, 10);
		assert_works(daemon, 0);
		assert_ok(device_delete("near"));
		probe_send(&probe, 10);
		assert_becomes(is_in_state(daemon, 0, XDPD_QUEUE_WAITING), SOON);
		add_pair(1);
	}
	probe_finish(consumer);
	assert_works(daemon, 0);
	instance_stop(daemon);
}

/* ---- questions to the kernel ---- */

/* The netlink sockets of this process that are in no multicast group, for their questions. */
static int each_question_socket(void (*visit)(int fd))
{
	int count = 0;

	for (int fd = 0; fd < 64; fd++) {
		struct sockaddr_nl address;
		socklen_t length = sizeof(address);
		uint32_t groups[4] = {};
		socklen_t groups_length = sizeof(groups);

		if (getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
		    address.nl_family != AF_NETLINK)
			continue;
		if (getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &groups_length) <
			    0 ||
		    groups[0] | groups[1] | groups[2] | groups[3])
			continue;
		visit(fd);
		count++;
	}
	return count;
}

/* As if an earlier question had failed midway: its acknowledgement stays in the socket. */
static void leave_an_answer(int fd)
{
	const struct nlmsghdr noop = {.nlmsg_len = sizeof(noop),
				      .nlmsg_type = NLMSG_NOOP,
				      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
				      .nlmsg_seq = 1};

	assert_int_equal(send(fd, &noop, sizeof(noop), 0), sizeof(noop));
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 1);
}

static void overflow(int fd)
{
	for (int i = 0; i < 2000; i++)
		leave_an_answer(fd);
	assert_true(poll(&(struct pollfd){.fd = fd}, 1, 0) == 1); /* POLLERR: answers were lost */
}

static void silence(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = {.len = 1, .filter = &nothing};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)),
			 0);
}

static void hear_again(int fd)
{
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, sizeof(int)), 0);
}

static void assert_answers(struct nic *nic)
{
	struct nic_link link;
	struct nic_details details;

	assert_ok(nic_find(nic, "absent", &link));
	assert_int_equal(link.ifindex, 0);
	assert_ok(nic_find(nic, "near", &link));
	assert_int_equal(link.ifindex, if_nametoindex("near"));
	nic_inspect(nic, &link, &details);
	assert_int_equal(details.channels, 2); /* of the 4 that rtnetlink tells */
	assert_string_equal(details.driver, "veth");
}

static void leftovers_of_a_failed_question_do_not_spoil_the_next(void **state)
{
	struct nic *nic;

	(void)state;
	add_pair(4);
	assert_ok(device_set_channels("near", 2));
	assert_ok(nic_open(&nic));
	assert_answers(nic);
	assert_int_equal(each_question_socket(leave_an_answer), 2);
	assert_answers(nic);
	assert_int_equal(each_question_socket(overflow), 2);
	assert_answers(nic);
	nic_close(nic);
}

static void a_question_without_an_answer_is_given_up(void **state)
{
	struct nic_link link;
	uint64_t start;
	struct nic *nic;

	(void)state;
	add_pair(4);
	assert_ok(device_set_channels("near", 2));
	assert_ok(nic_open(&nic));
	assert_int_equal(each_question_socket(silence), 2);
	start = live_now_ms();
	assert_error(nic_find(nic, "near", &link), ETIMEDOUT);
	assert_true(live_now_ms() - start < SOON);
	assert_int_equal(each_question_socket(hear_again), 2);
	assert_answers(nic);
	nic_close(nic);
}

/* ---- reload ---- */

/* Numbered frames at a pace, while the config is read again and again: none may be missing. */
static void a_reload_under_traffic_does_not_touch_what_did_not_change(void **state)
{
	cleanup_probe struct probe probe = {.far_fd = -1, .near_fd = -1};
	struct xdpd_interface_record before;
	struct traffic *traffic;
	struct instance *daemon;
	struct child *consumer;

	(void)state;
	require_live_frames();
	add_pair(2);
	daemon = instance_start(ONE_QUEUE);
	before = find_interface(daemon, "near");
	probe = probe_open(daemon, "near", "far", 0);
	traffic = start_traffic("far", 2000);
	consumer = probe_attach(&probe, 200);
	for (int round = 0; round < 20; round++) {
		probe_send(&probe, 5);
		instance_write_config(daemon, round % 3 == 0   ? TWO_QUEUES
					      : round % 3 == 1 ? "interfaces: [this is not one\n"
							       : ONE_QUEUE);
		probe_send(&probe, 5);
		instance_reload(daemon);
		/* The second queue comes, stays as the text is not valid, and goes. */
		assert_becomes(protocol_queue_state(instance_socket(daemon), "near", 1) ==
				       (round % 3 < 2 ? (int)XDPD_QUEUE_READY : -ENOENT),
			       SOON);
	}
	probe_finish(consumer);
	assert_ok(traffic_stop(traffic, NULL));
	assert_int_equal(find_interface(daemon, "near").program_id, before.program_id);
	instance_stop(daemon);
}

static void a_reload_that_changes_one_queue_ends_its_consumer_alone(void **state)
{
	cleanup_probe struct probe kept = {.far_fd = -1, .near_fd = -1};
	cleanup_probe struct probe changed = kept;
	struct child *staying, *ending;
	struct instance *daemon;

	(void)state;
	add_pair(2);
	daemon = instance_start(TWO_QUEUES);
	kept = probe_open(daemon, "near", "far", 0);
	changed = probe_open(daemon, "near", "far", 1);
	staying = probe_attach(&kept, 72);

	probe_send(&kept, 24);
	ending = probe_stay(&changed, true);
	instance_write_config(daemon, OPEN "interfaces:\n" INTERFACE(
					      "near", QUEUE("0", "512") ", " QUEUE("1", "256")));
	instance_reload(daemon);
	probe_ended(ending, ECANCELED, "near queue 1: the queue's or interface's settings changed",
		    SOON);
	assert_works(daemon, 1);
	assert_int_equal(find_queue(daemon, "near", 1).rx.size, 256);

	probe_send(&kept, 24);
	ending = probe_stay(&changed, true);
	instance_write_config(daemon, ONE_QUEUE);
	instance_reload(daemon);
	probe_ended(ending, ECANCELED, "near queue 1: the queue was removed", SOON);
	assert_error(protocol_queue_state(instance_socket(daemon), "near", 1), ENOENT);

	probe_send(&kept, 24);
	probe_finish(staying);
	assert_true(instance_metric(daemon, "xdpd_consumer_disconnects_total", "reason",
				    "removed") == 2);
	instance_stop(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		live_test(an_interface_that_appears_late_is_taken_into_use),
		live_test(
			an_interface_that_vanishes_under_traffic_ends_its_consumer_and_works_when_it_returns),
		live_test(an_interface_that_is_swapped_in_one_go_is_noticed),
		live_test(an_interface_that_is_renamed_is_another),
		live_test(an_interface_that_is_moved_to_another_namespace_is_gone_until_it_returns),
		live_test(a_queue_without_a_channel_waits_for_it),
		live_test(channels_that_are_added_to_an_interface_that_is_down_are_noticed),
		live_test(a_link_that_goes_down_and_up_leaves_its_consumer_in_place),
		live_test(an_mtu_that_changes_leaves_the_consumer_in_place),
		live_test(two_interfaces_have_nothing_to_do_with_each_other),
		live_test(leftovers_of_a_failed_question_do_not_spoil_the_next),
		live_test(a_question_without_an_answer_is_given_up),
		live_test(a_reload_under_traffic_does_not_touch_what_did_not_change),
		live_test(a_reload_that_changes_one_queue_ends_its_consumer_alone),
	};

	return live_run("interface", tests, 120);
}

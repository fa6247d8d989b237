// SPDX-License-Identifier: BSD-2-Clause
/*
 * The harness itself: that its pairs carry frames, its sources count exactly and its children are as
 * described. Called as `harness_test --config FILE` it plays a daemon.
 */
#include "tests/live/harness.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/live/footprint.h"
#include "tests/live/instance.h"
#include "tests/live/numbers.h"
#include "tests/live/packet.h"
#include "tests/live/sink.h"
#include "tests/live/traffic.h"

static void add_pair(uint32_t queues)
{
	assert_ok(
		veth_add(&(struct veth_options){.name = "near", .peer = "far", .queues = queues}));
}

static void a_frame_sent_at_one_end_arrives_at_the_other(void **state)
{
	uint8_t sent[100], received[200];
	cleanup_fd int far = -1, near = -1;

	(void)state;
	add_pair(1);
	far = (int)assert_ok(packet_open("far"));
	near = (int)assert_ok(packet_open("near"));
	packet_udp(sent, sizeof(sent), NULL);
	assert_ok(packet_send(far, sent, sizeof(sent)));
	assert_int_equal(packet_receive(near, received, sizeof(received), 1000), sizeof(sent));
	assert_memory_equal(received, sent, sizeof(sent));
	assert_error(packet_receive(far, received, sizeof(received), 10), ETIMEDOUT);
}

static void a_quiet_pair_carries_nothing(void **state)
{
	cleanup_fd int near = -1;
	uint8_t frame[1500];

	(void)state;
	add_pair(1);
	near = (int)assert_ok(packet_open("near"));
	assert_error(packet_receive(near, frame, sizeof(frame), 300), ETIMEDOUT);
}

static void a_frame_reaches_the_queue_that_was_chosen(void **state)
{
	cleanup_fd int far = -1;
	struct sink *sink;
	uint8_t frame[60];

	(void)state;
	add_pair(5);
	assert_ok(sink_attach(&sink, "near", XDP_DROP));
	far = (int)assert_ok(packet_open("far"));
	packet_udp(frame, sizeof(frame), NULL);
	for (uint32_t queue = 0; queue < 5; queue++) {
		assert_ok(packet_choose_queue(far, "far", queue));
		for (uint32_t i = 0; i <= queue; i++)
			assert_ok(packet_send(far, frame, sizeof(frame)));
	}
	for (uint32_t queue = 0; queue < 5; queue++)
		assert_becomes(sink_frames(sink, queue) == queue + 1, 1000);
	assert_int_equal(sink_bytes(sink, 4), 5 * sizeof(frame));
	sink = sink_detach(sink);
}

static void a_pair_can_span_namespaces_and_be_changed(void **state)
{
	cleanup_fd int other = (int)assert_ok(netns_new());
	cleanup_fd int here = (int)assert_ok(netns_current());
	const struct ether_addr mac = {{2, 0, 0, 0, 0, 7}};
	struct ether_addr found;

	(void)state;
	assert_ok(veth_add(&(struct veth_options){.name = "near",
						  .peer = "far",
						  .queues = 4,
						  .mtu = 3000,
						  .mac = mac,
						  .peer_netns = other}));
	assert_ok(device_mac("near", &found));
	assert_memory_equal(&found, &mac, sizeof(mac));
	assert_error(device_mac("far", &found), ENODEV);
	assert_ok(device_set_channels("near", 2));
	assert_error(device_set_channels("near", 9), EINVAL);
	assert_ok(device_set_mtu("near", 9000));
	assert_ok(device_down("near"));
	assert_ok(device_rename("near", "close"));
	assert_ok(device_up("close"));
	assert_ok(device_move("close", other));
	assert_error(device_delete("close"), ENODEV);
	assert_ok(netns_enter(other));
	assert_ok(device_delete("close"));
	assert_error(device_delete("far"), ENODEV);
	assert_ok(netns_enter(here));
}

static void numbered_frames_arrive_exactly_once_and_in_order(void **state)
{
	const uint64_t count = 20000;
	cleanup_numbers struct numbers numbers = {0};
	struct traffic_result result;
	cleanup_fd int near = -1;
	struct traffic *traffic;
	struct sink *sink;
	uint8_t frame[100];

	(void)state;
	require_live_frames();
	add_pair(2);
	assert_ok(sink_attach(&sink, "near", XDP_PASS));
	near = (int)assert_ok(packet_open("near"));
	assert_ok(numbers_open(&numbers, 1000, count));
	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = "far",
								    .frame = frame,
								    .length = sizeof(frame),
								    .count = count,
								    .rate = 50000,
								    .number_at = PACKET_UDP_PAYLOAD,
								    .first_number = 1000}));
	while (numbers.seen < count &&
	       packet_receive(near, frame, sizeof(frame), 1000) == sizeof(frame))
		numbers_see_frame(&numbers, frame, PACKET_UDP_PAYLOAD);
	assert_ok(traffic_finish(traffic, 5000, &result));
	assert_int_equal(result.attempted, count);
	assert_int_equal(result.sent, count);
	assert_int_equal(packet_missed(near), 0);
	assert_int_equal(numbers.seen, count);
	assert_int_equal(numbers.again + numbers.strange + numbers.backwards, 0);
	assert_int_equal(sink_frames(sink, UINT32_MAX), count);
	sink = sink_detach(sink);
}

static uint64_t time_in(const uint8_t *frame)
{
	uint64_t sent;

	memcpy(&sent, frame + PACKET_UDP_PAYLOAD, sizeof(sent));
	return be64toh(sent);
}

/* The program itself waits between those of the first rate, the sender between those of the second. */
static void frames_sent_singly_tell_when_and_are_a_gap_apart(void **state)
{
	static const uint64_t rates[] = {25000, 1000};
	const uint64_t count = 200;

	(void)state;
	require_live_frames();
	add_pair(1);
	for (size_t i = 0; i < 2; i++) {
		cleanup_fd int near = packet_open("near");
		struct sink *sink;
		struct traffic_result result;
		uint8_t frame[60];
		uint64_t first, last, seen = 1;

		assert_true(near >= 0);
		assert_ok(sink_attach(&sink, "near", XDP_PASS));
		packet_udp(frame, sizeof(frame), NULL);
		first = live_now_ms();
		assert_ok(traffic_send(&(struct traffic_options){.device = "far",
								 .frame = frame,
								 .length = sizeof(frame),
								 .count = count,
								 .rate = rates[i],
								 .singly = true,
								 .time_at = PACKET_UDP_PAYLOAD},
				       &result));
		assert_int_equal(result.sent, count);
		assert_int_equal(packet_receive(near, frame, sizeof(frame), 1000), sizeof(frame));
		assert_in_range(time_in(frame) / 1000000, first, live_now_ms());
		first = last = time_in(frame);
		for (; packet_receive(near, frame, sizeof(frame), 200) == sizeof(frame); seen++) {
			assert_true(time_in(frame) > last);
			last = time_in(frame);
		}
		assert_int_equal(seen, count);
		/* A late one may be followed by one that is on time, so it is not each gap that counts. */
		assert_true(last - first >= (count - 2) * (1000000000 / rates[i]));
		sink = sink_detach(sink);
	}
}

static void frames_at_full_speed_are_accounted_for_to_the_last(void **state)
{
	struct traffic_result result;
	uint8_t frame[60];
	struct sink *sink;

	(void)state;
	require_live_frames();
	add_pair(2);
	assert_ok(sink_attach(&sink, "near", XDP_DROP));
	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_send(&(struct traffic_options){.device = "far",
							 .frame = frame,
							 .length = sizeof(frame),
							 .count = 1000 * 1000},
			       &result));
	assert_int_equal(result.attempted, 1000 * 1000);
	assert_int_equal(result.sent + result.lost, result.attempted);
	assert_true(result.sent > 0);
	assert_becomes(sink_frames(sink, 0) == result.sent, 2000);
	assert_int_equal(sink_frames(sink, 1), 0);
	print_message("%.2f million frames a second, %lu lost\n",
		      (double)result.sent * 1e3 / (double)result.nanoseconds, result.lost);
	sink = sink_detach(sink);
}

static void frames_without_a_receiver_are_lost_and_told(void **state)
{
	struct traffic_result result;
	uint8_t frame[60];

	(void)state;
	require_live_frames();
	add_pair(1);
	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_send(
		&(struct traffic_options){
			.device = "far", .frame = frame, .length = sizeof(frame), .count = 1000},
		&result));
	assert_int_equal(result.attempted, 1000);
	assert_int_equal(result.sent, 0);
	assert_int_equal(result.lost, 1000);
}

static void a_rate_is_kept_without_loss(void **state)
{
	static const uint64_t rates[] = {1000, 100 * 1000, 500 * 1000};
	uint8_t frame[60];
	struct sink *sink;
	uint64_t total = 0;

	(void)state;
	require_live_frames();
	add_pair(1);
	assert_ok(sink_attach(&sink, "near", XDP_DROP));
	packet_udp(frame, sizeof(frame), NULL);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct traffic_result result;
		double seconds;

		assert_ok(traffic_send(&(struct traffic_options){.device = "far",
								 .frame = frame,
								 .length = sizeof(frame),
								 .count = rates[i] / 5,
								 .rate = rates[i]},
				       &result));
		total += result.sent;
		seconds = (double)result.nanoseconds / 1e9;
		print_message("%lu a second: %lu frames in %.3f s\n", rates[i], result.sent,
			      seconds);
		assert_int_equal(result.lost, 0);
		/* The last burst is followed by no pause. Slower than asked for it can be on a busy machine. */
		assert_true(seconds > 0.2 - 0.002);
	}
	assert_becomes(sink_frames(sink, 0) == total, 1000);
	sink = sink_detach(sink);
}

static void flows_go_round_the_source_ports(void **state)
{
	uint8_t frame[60], received[60];
	struct traffic_result result;
	cleanup_fd int near = -1;
	struct sink *sink;

	(void)state;
	require_live_frames();
	add_pair(1);
	assert_ok(sink_attach(&sink, "near", XDP_PASS));
	near = (int)assert_ok(packet_open("near"));
	packet_udp(frame, sizeof(frame), &(struct packet_udp){.source_port = 5000});
	assert_ok(traffic_send(&(struct traffic_options){.device = "far",
							 .frame = frame,
							 .length = sizeof(frame),
							 .count = 10,
							 .flows = 4},
			       &result));
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(packet_receive(near, received, sizeof(received), 1000),
				 sizeof(received));
		assert_int_equal(received[34] << 8 | received[35], 5000 + i % 4);
	}
	sink = sink_detach(sink);
}

static void traffic_in_the_background_ends_when_told(void **state)
{
	struct traffic_result so_far, result;
	struct traffic *traffic;
	uint8_t frame[60];
	struct sink *sink;

	(void)state;
	require_live_frames();
	add_pair(1);
	assert_ok(sink_attach(&sink, "near", XDP_DROP));
	packet_udp(frame, sizeof(frame), NULL);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = "far",
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = 20000}));
	assert_becomes((traffic_so_far(traffic, &so_far), so_far.attempted > 1000), 5000);
	assert_ok(traffic_stop(traffic, &result));
	assert_true(result.attempted >= so_far.attempted);
	assert_int_equal(result.sent, result.attempted);
	assert_becomes(sink_frames(sink, 0) == result.sent, 1000);
	sink = sink_detach(sink);
}

static void wrong_traffic_is_refused(void **state)
{
	uint8_t frame[4000] = {0};
	struct traffic_options options = {
		.device = "far", .frame = frame, .length = 60, .count = 1};
	struct traffic_result result;

	(void)state;
	require_live_frames();
	assert_error(traffic_send(&options, &result), ENODEV);
	options.device = "lo";
	assert_error(traffic_send(&options, &result), EOPNOTSUPP);
	options.device = "far";
	add_pair(1);
	options.flows = 2;
	assert_error(traffic_send(&options, &result), EINVAL);
	options.flows = 0;
	options.number_at = 53;
	assert_error(traffic_send(&options, &result), EINVAL);
	options.number_at = 0;
	options.time_at = 53;
	assert_error(traffic_send(&options, &result), EINVAL);
	options.time_at = 0;
	options.cpu = CPU_SETSIZE;
	assert_error(traffic_send(&options, &result), EINVAL);
	options.cpu = 0;
	options.length = sizeof(frame);
	assert_error(traffic_send(&options, &result), EMSGSIZE);
}

/* ---- children ---- */

static void a_child_as_nobody_has_no_rights(void **state)
{
	const char *const argv[] = {"cat", "/proc/self/status", NULL};
	cleanup_ran struct ran ran = {0};

	(void)state;
	assert_ok(
		child_run(&ran, &(struct child_options){.argv = argv, .uid = CHILD_NOBODY}, 5000));
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(ran.output, "Uid:\t65534\t65534\t65534\t65534\n"));
	assert_non_null(strstr(ran.output, "Gid:\t65534\t65534\t65534\t65534\n"));
	assert_non_null(strstr(ran.output, "Groups:\t \n"));
	assert_non_null(strstr(ran.output, "CapPrm:\t0000000000000000\n"));
	assert_non_null(strstr(ran.output, "CapEff:\t0000000000000000\n"));
	assert_non_null(strstr(ran.output, "CapAmb:\t0000000000000000\n"));
	assert_non_null(strstr(ran.output, "NoNewPrivs:\t1\n"));
}

static void a_child_keeps_just_the_capabilities_that_it_shall(void **state)
{
	const char *const argv[] = {"cat", "/proc/self/status", NULL};
	cleanup_ran struct ran ran = {0};

	(void)state;
	assert_ok(child_run(&ran,
			    &(struct child_options){.argv = argv,
						    .uid = CHILD_NOBODY,
						    .capabilities = 1 << 12 | 1 << 13},
			    5000));
	assert_non_null(strstr(ran.output, "CapPrm:\t0000000000003000\n"));
	assert_non_null(strstr(ran.output, "CapEff:\t0000000000003000\n"));
}

static int start_another_and_die(void *argument)
{
	const char *const argv[] = {"sleep", "60", NULL};
	struct child *grandchild;

	if (child_start(&grandchild, &(struct child_options){.argv = argv}) < 0)
		return 1;
	__atomic_store_n((pid_t *)argument, child_pid(grandchild), __ATOMIC_RELEASE);
	pause();
	return 0;
}

static void children_die_with_their_parent(void **state)
{
	pid_t *grandchild = live_shared(sizeof(*grandchild));
	struct child *child;

	(void)state;
	assert_ok(child_start(&child, &(struct child_options){.call = start_another_and_die,
							      .argument = grandchild}));
	assert_becomes(__atomic_load_n(grandchild, __ATOMIC_ACQUIRE) != 0, 5000);
	child_kill(child);
	assert_int_equal(child_wait(child, 0), 128 + SIGKILL);
	assert_becomes(kill(*grandchild, 0) < 0 && errno == ESRCH, 5000);
	child = child_end(child);
}

static void a_program_that_is_not_there_is_told(void **state)
{
	const char *const argv[] = {"/nonexistent/program", NULL};
	cleanup_ran struct ran ran = {0};

	(void)state;
	assert_ok(child_run(&ran, &(struct child_options){.argv = argv}, 5000));
	assert_int_equal(ran.status, 127);
	assert_string_equal(ran.errors,
			    "can't run /nonexistent/program: No such file or directory\n");
}

static void nobody_can_run_what_lies_where_only_root_can_go(void **state)
{
	char folder[128], program[160];
	const char *const copy[] = {"cp", "/bin/true", program, NULL};
	const char *const argv[] = {program, NULL};
	cleanup_ran struct ran copied = {0}, ran = {0};

	(void)state;
	(void)snprintf(folder, sizeof(folder), "%s/closed", live_folder());
	(void)snprintf(program, sizeof(program), "%s/program", folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_ok(child_run(&copied, &(struct child_options){.argv = copy}, 5000));
	assert_ok(
		child_run(&ran, &(struct child_options){.argv = argv, .uid = CHILD_NOBODY}, 5000));
	assert_int_equal(ran.status, 0);
}

static void a_footprint_shows_what_was_opened_and_what_is_left(void **state)
{
	struct footprint before, during, after;
	struct sink *sink;
	int fd;

	(void)state;
	add_pair(1);
	assert_ok(footprint_take(&before, getpid()));
	assert_ok(sink_attach(&sink, "near", XDP_DROP));
	fd = memfd_create("test", MFD_CLOEXEC);
	assert_ok(footprint_take(&during, getpid()));
	assert_int_equal(during.bpf_links, before.bpf_links + 1);
	assert_int_equal(during.memfds, before.memfds + 1);
	assert_true(footprint_bpf_left(&during) > 0);
	assert_string_not_equal(footprint_difference(&before, &during), "");
	(void)close_fd(fd);
	sink = sink_detach(sink);
	assert_ok(footprint_take(&after, getpid()));
	assert_string_equal(footprint_difference(&before, &after), "");
	assert_becomes(footprint_bpf_left(&during) == 0, 2000);
	assert_true(after.cpu_ns > 0 && after.private_kb > 0 && after.threads >= 1);
}

/* ---- an instance ---- */

static void metrics_are_found_by_name_and_labels(void **state)
{
	const char *text = "# HELP a_total Something\n"
			   "# TYPE a_total counter\n"
			   "a_total{device=\"x\",queue=\"0\"} 3\n"
			   "a_total{device=\"x\",queue=\"1\"} 4\n"
			   "a_total{device=\"queue=\\\"1\\\",queue=\\\"1\",queue=\"2\"} 100\n"
			   "a_total_more 9\n"
			   "plain 1.5e3\n";

	(void)state;
	assert_true(metric_value(text, "a_total", "queue", "1") == 4);
	assert_true(metric_value(text, "a_total", "queue", "2") == 100);
	assert_true(metric_value(text, "a_total", "queue", "0", "device", "x") == 3);
	assert_true(metric_value(text, "a_total", "device", "x") == 7);
	assert_true(metric_value(text, "plain") == 1500);
	assert_true(isnan(metric_value(text, "a_total", "queue", "7")));
	assert_true(isnan(metric_value(text, "a")));
}

static void an_instance_is_started_asked_reloaded_and_stopped(void **state)
{
	cleanup_scrape struct scrape missing = {0};
	cleanup_free char *log = NULL;
	struct instance *instance;
	char self[4096] = {0};

	(void)state;
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	(void)setenv("XDPD", self, 1);
	instance = instance_start("# start\n");
	assert_string_equal(instance_status(instance), "Playing");
	assert_true(instance_metric(instance, "pretended") == 1);
	assert_ok(scrape_get(&missing, instance_metrics_socket(instance), "/missing", NULL));
	assert_int_equal(missing.status, 404);
	instance_reload(instance);
	log = instance_log(instance);
	assert_string_equal(log, "reloaded\n");
	instance_stop(instance);
	(void)unsetenv("XDPD");
}

static void an_instance_that_refuses_its_config_says_so(void **state)
{
	cleanup_ran struct ran ran = {0};
	char self[4096] = {0};

	(void)state;
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	(void)setenv("XDPD", self, 1);
	instance_start_fails("# refuse\n", &ran);
	assert_int_equal(ran.status, 3);
	assert_string_equal(ran.errors, "refused\n");
	(void)unsetenv("XDPD");
}

static void notify(const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("NOTIFY_SOCKET"));
	(void)sendto(fd, text, strlen(text), 0, (const struct sockaddr *)&address, sizeof(address));
}

static volatile sig_atomic_t reload, stop;

static void note_signal(int signal)
{
	*(signal == SIGHUP ? &reload : &stop) = 1;
}

static void answer(int listener)
{
	cleanup_fd int fd = accept(listener, NULL, NULL);
	char request[1024] = {0};

	if (fd < 0 || read(fd, request, sizeof(request) - 1) <= 0)
		return;
	if (strncmp(request, "GET /metrics ", 13) == 0)
		dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\npretended 1\n");
	else
		dprintf(fd, "HTTP/1.1 404 Not Found\r\n\r\n");
}

/* As little of xdpd as instance.h needs: a config that says `refuse` is refused, and SIGHUP "reloads". */
static int play_daemon(const char *config)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sigaction action = {.sa_handler = note_signal};
	struct pollfd listener = {.fd = socket(AF_UNIX, SOCK_STREAM, 0), .events = POLLIN};
	cleanup_file FILE *file = fopen(config, "r");
	sigset_t during, signals;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "metrics: { listen: \"unix:%107[^\"]", address.sun_path);
		if (strstr(line, "refuse")) {
			(void)fputs("refused\n", stderr);
			return 3;
		}
	}
	(void)sigaction(SIGHUP, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, &during);
	if (bind(listener.fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener.fd, 5) < 0)
		return 1;
	notify("STATUS=Playing\nREADY=1");
	while (!stop) {
		if (ppoll(&listener, 1, NULL, &during) == 1)
			answer(listener.fd);
		if (reload) {
			reload = 0;
			notify("RELOADING=1");
			(void)fputs("reloaded\n", stderr);
			notify("READY=1");
		}
	}
	(void)close(listener.fd);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		live_test(a_frame_sent_at_one_end_arrives_at_the_other),
		live_test(a_quiet_pair_carries_nothing),
		live_test(a_frame_reaches_the_queue_that_was_chosen),
		live_test(a_pair_can_span_namespaces_and_be_changed),
		live_test(numbered_frames_arrive_exactly_once_and_in_order),
		live_test(frames_sent_singly_tell_when_and_are_a_gap_apart),
		live_test(frames_at_full_speed_are_accounted_for_to_the_last),
		live_test(frames_without_a_receiver_are_lost_and_told),
		live_test(a_rate_is_kept_without_loss),
		live_test(flows_go_round_the_source_ports),
		live_test(traffic_in_the_background_ends_when_told),
		live_test(wrong_traffic_is_refused),
		live_test(a_child_as_nobody_has_no_rights),
		live_test(a_child_keeps_just_the_capabilities_that_it_shall),
		live_test(children_die_with_their_parent),
		live_test(a_program_that_is_not_there_is_told),
		live_test(nobody_can_run_what_lies_where_only_root_can_go),
		live_test(a_footprint_shows_what_was_opened_and_what_is_left),
		live_test(metrics_are_found_by_name_and_labels),
		live_test(an_instance_is_started_asked_reloaded_and_stopped),
		live_test(an_instance_that_refuses_its_config_says_so),
	};

	if (argc == 3 && strcmp(argv[1], "--config") == 0)
		return play_daemon(argv[2]);
	return live_run("harness", tests, 60);
}

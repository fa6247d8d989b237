// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control protocol against hostile and careless clients: the real server in a child process, without an
 * interface, so it needs no privilege. Each test also checks that the server goes on serving.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/xdpd_protocol.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/http.h"
#include "daemon/log.h"
#include "daemon/quota.h"
#include "daemon/server.h"

#define TIMEOUT_MS 5000

static char folder[64], path[96], metrics_path[96];
static pid_t server_pid;

/* ---- the server ---- */

static struct config *make_config(void)
{
	struct config_errors errors = {};
	struct config *config = NULL;
	char text[512];

	(void)snprintf(text, sizeof(text),
		       "socket: { path: %s }\nmetrics: { listen: \"unix:%s\" }\n"
		       "access: { admin: { users: [%u] } }\n"
		       "interfaces: [{ name: absent0, queues: [{ id: 0-1, frames: 64 }] }]\n",
		       path, metrics_path, getuid());
	if (config_parse("test", text, strlen(text), &config, &errors) < 0)
		_exit(99);
	return config;
}

static int collect(void *context, const struct status **ret)
{
	return daemon_snapshot(context, ret);
}

static int serve(int ready_fd)
{
	struct daemon daemon;
	struct http_sources sources = {.collect = collect, .context = &daemon};
	struct http *http;
	struct failure why;
	sd_event *event;

	log_open(LOG_EMERG);
	if (sd_event_new(&event) < 0 ||
	    daemon_init(&daemon, event, "test", make_config(), &why) < 0 ||
	    server_start(&daemon.server, &daemon, -1, true, &why) < 0 ||
	    http_start(&http, event, &daemon.config->metrics, &sources, &why) < 0)
		return 98;
	daemon_reconcile(&daemon);
	(void)!write(ready_fd, "", 1);
	/* The test ends the server by closing its end of the pipe. */
	(void)sd_event_add_io(event, NULL, ready_fd, POLLHUP, NULL, NULL);
	if (sd_event_loop(event) < 0)
		return 97;
	http_stop(http);
	daemon_stop(&daemon);
	daemon.server = server_stop(daemon.server);
	daemon_free(&daemon);
	sd_event_unref(event);
	return 0;
}

static int pipe_fd = -1;

static size_t server_fds(void)
{
	char name[64];
	size_t count = 0;
	DIR *fds;

	(void)snprintf(name, sizeof(name), "/proc/%d/fd", server_pid);
	fds = opendir(name);
	assert_non_null(fds);
	while (readdir(fds))
		count++;
	closedir(fds);
	return count;
}

static int start_server(void **state)
{
	int pair[2];
	char byte;

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/xdpd-server-test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/sock", folder);
	(void)snprintf(metrics_path, sizeof(metrics_path), "%s/metrics", folder);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	server_pid = fork();
	if (server_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		/* exit() and not _exit(): a leak in the server fails the test under LeakSanitizer. */
		exit(serve(pair[1]));
	}
	close(pair[1]);
	pipe_fd = pair[0];
	assert_int_equal(read(pipe_fd, &byte, 1), 1);
	return 0;
}

static int stop_server(void **state)
{
	int status;

	(void)state;
	close(pipe_fd);
	assert_int_equal(waitpid(server_pid, &status, 0), server_pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	return rmdir(folder);
}

/* ---- a client ---- */

static struct sockaddr_un address_of(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	return address;
}

static int dial(void)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void stamp(void *message, size_t length, uint16_t type, uint32_t id)
{
	*(struct xdpd_header *)message = (struct xdpd_header){
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = type,
		.length = (uint32_t)length,
		.id = id,
	};
}

static union {
	struct xdpd_header header;
	struct xdpd_error error;
	struct xdpd_welcome welcome;
	struct {
		struct xdpd_header header;
		uint32_t kind, zero;
		struct xdpd_queue_record queue;
	} record;
	char bytes[XDPD_MESSAGE_MAX];
} reply;

/* The next message's length; 0: the server has closed the connection. */
static ssize_t next(int fd)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	ssize_t length;

	memset(&reply, 0, sizeof(reply));
	assert_int_equal(poll(&readable, 1, TIMEOUT_MS), 1);
	length = recv(fd, &reply, sizeof(reply), 0);
	if (length < 0 && errno == ECONNRESET)
		return 0;
	assert_true(length >= 0);
	if (length)
		assert_int_equal(reply.header.length, length);
	return length;
}

static void expect_end(int fd)
{
	assert_int_equal(next(fd), 0);
	close(fd);
}

static void expect_error(int fd, uint32_t id, int code)
{
	assert_int_equal(next(fd), sizeof(struct xdpd_error));
	assert_int_equal(reply.header.type, XDPD_ERROR);
	assert_int_equal(reply.header.id, id);
	assert_int_equal(reply.error.code, code);
	assert_true(strlen(reply.error.reason) > 10);
}

static void expect_violation(int fd)
{
	assert_true(next(fd) > 0);
	assert_int_equal(reply.header.type, XDPD_ERROR);
	assert_int_equal(reply.error.code, EPROTO);
	expect_end(fd);
}

static struct xdpd_hello hello(const char *name)
{
	struct xdpd_hello message = {.version_min = 1, .version_max = 1};

	stamp(&message, sizeof(message), XDPD_HELLO, 1);
	memcpy(message.name, name, strlen(name));
	return message;
}

static void transmit(int fd, const void *message, size_t length)
{
	assert_int_equal(send(fd, message, length, MSG_NOSIGNAL), length);
}

static int dial_and_greet(void)
{
	struct xdpd_hello message = hello("tester");
	int fd = dial();

	transmit(fd, &message, sizeof(message));
	assert_int_equal(next(fd), sizeof(struct xdpd_welcome));
	assert_int_equal(reply.header.type, XDPD_WELCOME);
	return fd;
}

static void list(int fd, uint32_t kind)
{
	struct xdpd_list_request request = {.kind = kind};

	stamp(&request, sizeof(request), XDPD_LIST, 7);
	transmit(fd, &request, sizeof(request));
}

static void server_goes_on(void)
{
	int fd = dial_and_greet();

	list(fd, XDPD_LIST_QUEUES);
	for (uint32_t queue = 0; queue < 2; queue++) {
		assert_true(next(fd) > 0);
		assert_int_equal(reply.header.type, XDPD_RECORD);
		assert_int_equal(reply.record.kind, XDPD_LIST_QUEUES);
		assert_int_equal(reply.record.queue.queue, queue);
		assert_int_equal(reply.record.queue.state, XDPD_QUEUE_WAITING);
	}
	assert_true(next(fd) > 0);
	assert_int_equal(reply.header.type, XDPD_DONE);
	close(fd);
}

static size_t idle_fds; /* of the server, without a connection */

/* The server sees the ends of connections in its own time. */
static void expect_connections_left(size_t count)
{
	for (int i = 0; i < TIMEOUT_MS && server_fds() != idle_fds + count; i++)
		usleep(1000);
	assert_int_equal(server_fds(), idle_fds + count);
}

static void expect_no_connection_left(void)
{
	expect_connections_left(0);
}

/* ---- tests ---- */

/* First of all: without any other connection the server has one fd more than when idle. */
static void a_client_that_says_hello_is_served(void **state)
{
	int fd = dial_and_greet();

	(void)state;
	idle_fds = server_fds() - 1;
	close(fd);
	server_goes_on();
}

static void structs_have_the_documented_sizes(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct xdpd_header), 16);
	assert_int_equal(sizeof(struct xdpd_hello), 64);
	assert_int_equal(sizeof(struct xdpd_welcome), 64);
	assert_int_equal(sizeof(struct xdpd_error), 280);
	assert_int_equal(sizeof(struct xdpd_attach_request), 72);
	assert_int_equal(sizeof(struct xdpd_region), 24);
	assert_int_equal(sizeof(struct xdpd_ring_place), 64);
	assert_int_equal(XDPD_GRANT_V1, 352);
	assert_int_equal(sizeof(struct xdpd_grant), 440);
	assert_int_equal(sizeof(struct xdpd_trace_request), 40);
	assert_int_equal(sizeof(struct xdpd_eject_request), 328);
	assert_int_equal(sizeof(struct xdpd_event), 304);
}

static void a_wrong_version_is_refused_with_both_versions_named(void **state)
{
	struct xdpd_hello message = hello("tester");
	int fd = dial();

	(void)state;
	message.version_min = 7;
	message.version_max = 9;
	transmit(fd, &message, sizeof(message));
	expect_error(fd, 1, EPROTONOSUPPORT);
	assert_non_null(strstr(reply.error.reason, "7 to 9"));
	expect_end(fd);
	server_goes_on();
}

static void a_version_range_that_includes_ours_is_served(void **state)
{
	struct xdpd_hello message = hello("tester");
	int fd = dial();

	(void)state;
	message.version_min = 0;
	message.version_max = 65535;
	transmit(fd, &message, sizeof(message));
	assert_int_equal(next(fd), sizeof(struct xdpd_welcome));
	assert_int_equal(reply.welcome.version, 1);
	close(fd);
}

static void a_longer_message_than_known_is_cut(void **state)
{
	struct {
		struct xdpd_hello hello;
		char more[100];
	} message = {.hello = hello("tester")};
	int fd = dial();

	(void)state;
	message.hello.header.length = sizeof(message);
	transmit(fd, &message, sizeof(message));
	assert_int_equal(next(fd), sizeof(struct xdpd_welcome));
	close(fd);
}

static void a_header_of_another_version_after_hello_ends_the_connection(void **state)
{
	struct xdpd_header subscribe;
	int fd = dial_and_greet();

	(void)state;
	stamp(&subscribe, sizeof(subscribe), XDPD_SUBSCRIBE, 5);
	subscribe.version = 2;
	transmit(fd, &subscribe, sizeof(subscribe));
	expect_violation(fd);
}

static void names_that_could_confuse_a_terminal_or_a_label_are_refused(void **state)
{
	const char *const bad[] = {"", "a b", "a\x1b[2J", "a\"b", "a/b", "\xff", "a\nb"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct xdpd_hello message = hello(bad[i]);
		int fd = dial();

		transmit(fd, &message, sizeof(message));
		expect_violation(fd);
	}
	server_goes_on();
}

static void an_unterminated_name_is_refused(void **state)
{
	struct xdpd_hello message = hello("");
	int fd = dial();

	(void)state;
	memset(message.name, 'a', sizeof(message.name));
	transmit(fd, &message, sizeof(message));
	expect_violation(fd);
}

static void messages_of_every_wrong_length_end_the_connection(void **state)
{
	struct xdpd_hello message = hello("tester");

	(void)state;
	for (size_t length = 1; length < sizeof(message); length++) {
		int fd = dial();

		message.header.length = (uint32_t)length;
		transmit(fd, &message, length);
		expect_violation(fd);
	}
	server_goes_on();
}

static void a_length_that_is_not_the_packets_ends_the_connection(void **state)
{
	struct xdpd_hello message = hello("tester");
	const uint32_t lengths[] = {0, 1, sizeof(message) - 1, sizeof(message) + 1, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		int fd = dial();

		message.header.length = lengths[i];
		transmit(fd, &message, sizeof(message));
		expect_violation(fd);
	}
}

static void a_message_larger_than_any_ends_the_connection(void **state)
{
	char *message = calloc(1, XDPD_MESSAGE_MAX + 1);
	int fd = dial();

	(void)state;
	stamp(message, XDPD_MESSAGE_MAX + 1, XDPD_HELLO, 1);
	transmit(fd, message, XDPD_MESSAGE_MAX + 1);
	expect_violation(fd);
	free(message);
}

static void requests_before_hello_and_a_second_hello_end_the_connection(void **state)
{
	struct xdpd_hello message = hello("tester");
	struct xdpd_header reload;
	int fd = dial();

	(void)state;
	stamp(&reload, sizeof(reload), XDPD_RELOAD, 5);
	transmit(fd, &reload, sizeof(reload));
	expect_violation(fd);

	fd = dial_and_greet();
	transmit(fd, &message, sizeof(message));
	expect_violation(fd);
}

static void unknown_requests_and_id_0_end_the_connection(void **state)
{
	const uint16_t types[] = {0, 11, 0x7fff, XDPD_WELCOME, 0xffff};
	struct xdpd_header header;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		fd = dial_and_greet();
		stamp(&header, sizeof(header), types[i], 5);
		transmit(fd, &header, sizeof(header));
		expect_violation(fd);
	}
	fd = dial_and_greet();
	stamp(&header, sizeof(header), XDPD_SUBSCRIBE, 0);
	transmit(fd, &header, sizeof(header));
	expect_violation(fd);
}

static void ready_without_a_grant_ends_the_connection(void **state)
{
	struct xdpd_header ready;
	int fd = dial_and_greet();

	(void)state;
	stamp(&ready, sizeof(ready), XDPD_READY, 5);
	transmit(fd, &ready, sizeof(ready));
	expect_violation(fd);
}

static void unknown_lists_and_flags_are_refused_and_the_connection_goes_on(void **state)
{
	struct xdpd_attach_request attach = {.device = "absent0", .flags = 0x80};
	int fd = dial_and_greet();

	(void)state;
	list(fd, 99);
	expect_error(fd, 7, EOPNOTSUPP);
	stamp(&attach, sizeof(attach), XDPD_ATTACH, 8);
	transmit(fd, &attach, sizeof(attach));
	expect_error(fd, 8, EOPNOTSUPP);
	list(fd, XDPD_LIST_DAEMON);
	assert_true(next(fd) > 0);
	assert_int_equal(reply.header.type, XDPD_RECORD);
	close(fd);
}

static void an_attach_that_cannot_be_had_says_why(void **state)
{
	struct xdpd_attach_request attach = {.device = "nope"};
	int fd = dial_and_greet();

	(void)state;
	stamp(&attach, sizeof(attach), XDPD_ATTACH, 8);
	transmit(fd, &attach, sizeof(attach));
	expect_error(fd, 8, ENODEV);
	assert_non_null(strstr(reply.error.reason, "absent0"));

	attach = (struct xdpd_attach_request){.device = "absent0", .queue = 77};
	stamp(&attach, sizeof(attach), XDPD_ATTACH, 9);
	transmit(fd, &attach, sizeof(attach));
	expect_error(fd, 9, ENOENT);

	attach.queue = 1;
	transmit(fd, &attach, sizeof(attach));
	expect_error(fd, 9, ENETDOWN);
	close(fd);
}

static void fds_that_nobody_asked_for_are_closed_and_end_the_connection(void **state)
{

	(void)state;
	for (int count = 1; count <= 32; count *= 2) {
		struct xdpd_hello message = hello("tester");
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(32 * sizeof(int))];
		} control = {};
		struct iovec io = {.iov_base = &message, .iov_len = sizeof(message)};
		struct msghdr packet = {.msg_iov = &io,
					.msg_iovlen = 1,
					.msg_control = &control,
					.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
		struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
		int fd = dial();

		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		for (int i = 0; i < count; i++)
			memcpy(CMSG_DATA(rights) + (size_t)i * sizeof(int), &(int){0}, sizeof(int));
		assert_int_equal(sendmsg(fd, &packet, 0), sizeof(message));
		expect_violation(fd);
	}
	server_goes_on();
	expect_no_connection_left();
}

static void a_client_that_never_reads_is_disconnected(void **state)
{
	struct xdpd_list_request request = {.kind = XDPD_LIST_QUEUES};
	bool ended = false;
	int fds[16];

	(void)state;
	stamp(&request, sizeof(request), XDPD_LIST, 7);
	for (int i = 0; i < 16; i++)
		fds[i] = dial_and_greet();
	/* The quota of all together is 16 MiB: some 30,000 records of the two queues. */
	for (int i = 0; i < 100000 && !ended; i++)
		ended = send(fds[i % 16], &request, sizeof(request), MSG_NOSIGNAL) < 0;
	assert_true(ended);
	for (int i = 0; i < 16; i++)
		close(fds[i]);
	server_goes_on();
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Keeps the requests of a few connections under way until it is killed. */
static pid_t start_flood(void)
{
	struct xdpd_list_request request = {.kind = XDPD_LIST_QUEUES};
	struct pollfd fds[8];
	pid_t pid;

	stamp(&request, sizeof(request), XDPD_LIST, 7);
	for (int i = 0; i < 8; i++)
		fds[i] = (struct pollfd){.fd = dial_and_greet(), .events = POLLIN | POLLOUT};
	pid = fork();
	for (int i = 0; pid && i < 8; i++)
		close(fds[i].fd);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (poll(fds, 8, -1) > 0) {
		for (int i = 0; i < 8; i++) {
			while (send(fds[i].fd, &request, sizeof(request),
				    MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
				;
			while (recv(fds[i].fd, &reply, sizeof(reply), MSG_DONTWAIT) > 0)
				;
		}
	}
	_exit(0);
}

static void get_health(void)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: xdpd\r\n\r\n";
	struct sockaddr_un address = address_of(metrics_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	char answer[16] = {};

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	transmit(fd, request, sizeof(request) - 1);
	assert_int_equal(poll(&readable, 1, TIMEOUT_MS), 1);
	assert_int_equal(read(fd, answer, 12), 12);
	assert_string_equal(answer, "HTTP/1.1 200");
	close(fd);
}

static void a_flood_of_requests_neither_blinds_the_metrics_nor_other_sessions(void **state)
{
	pid_t flood = start_flood();
	uint64_t before;

	(void)state;
	usleep(100000);
	before = now_ms();
	for (int i = 0; i < 10; i++) {
		get_health();
		server_goes_on();
	}
	assert_in_range(now_ms() - before, 0, 2000);
	kill(flood, SIGKILL);
	assert_int_equal(waitpid(flood, NULL, 0), flood);
	expect_no_connection_left();
}

/* Every timer of sd-event's rests: none is set to a time to come. */
static size_t armed_timers(void)
{
	char name[64], line[128];
	size_t armed = 0;

	for (int fd = 0; fd < 64; fd++) {
		unsigned long long seconds, nanoseconds;
		FILE *file;

		(void)snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", server_pid, fd);
		file = fopen(name, "re");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "it_value: (%llu, %llu)", &seconds, &nanoseconds) == 2)
				armed += seconds || nanoseconds;
		if (file)
			fclose(file);
	}
	return armed;
}

static void a_session_that_floods_is_slowed_down_and_then_no_timer_is_left(void **state)
{
	struct xdpd_list_request request = {.kind = XDPD_LIST_DAEMON};
	int fd = dial_and_greet();
	uint64_t before = now_ms();

	(void)state;
	stamp(&request, sizeof(request), XDPD_LIST, 7);
	for (int i = 0; i < 1000; i++) {
		transmit(fd, &request, sizeof(request));
		assert_true(next(fd) > 0);
		assert_true(next(fd) > 0);
		assert_int_equal(reply.header.type, XDPD_DONE);
	}
	/* 200 in 100 ms, after the first 200 */
	assert_in_range(now_ms() - before, 300, 5000);
	usleep(200000);
	assert_int_equal(armed_timers(), 0);
	close(fd);
}

static void random_messages_neither_crash_nor_leak(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		int fd = round % 2 ? dial_and_greet() : dial();
		union {
			struct xdpd_header header;
			unsigned char bytes[600];
		} message;
		size_t length = 1 + (size_t)rand_r(&seed) % sizeof(message);

		for (size_t i = 0; i < length; i++)
			message.bytes[i] = (unsigned char)(rand_r(&seed) >> 4);
		/* Most with a good header, so that they come through to the requests. */
		if (round % 4 && length >= sizeof(struct xdpd_header))
			stamp(&message, length, (uint16_t)(rand_r(&seed) % 13),
			      1 + (uint32_t)round);
		/* RELOAD reads a file that is not there, which is fine; the others are as bad as they come. */
		(void)send(fd, &message, length, MSG_NOSIGNAL);
		close(fd);
	}
	server_goes_on();
	expect_no_connection_left();
}

/* Root's connections are bounded by the fds alone. */
static void connections_of_a_uid_beyond_its_limit_are_turned_away_with_the_reason(void **state)
{
	int limit = 64 + 2 * 2, fds[64 + 2 * 2 + 1];

	(void)state;
	if (getuid() == 0) {
		assert_int_equal(chmod(folder, 0755), 0);
		assert_int_equal(chmod(path, 0666), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	for (int i = 0; i <= limit; i++)
		fds[i] = dial();
	assert_int_equal(seteuid(getuid()), 0);
	expect_error(fds[limit], 0, EUSERS);
	expect_end(fds[limit]);
	server_goes_on();
	for (int i = 0; i < limit; i++)
		close(fds[i]);
	expect_no_connection_left();
}

static void subscriptions_of_a_uid_beyond_its_limit_are_refused(void **state)
{
	struct xdpd_header subscribe;
	int fds[QUOTA_SUBSCRIPTIONS], fd = dial_and_greet();

	(void)state;
	stamp(&subscribe, sizeof(subscribe), XDPD_SUBSCRIBE, 5);
	/* The second time on a connection changes nothing. */
	for (int i = 0; i < 2 * QUOTA_SUBSCRIPTIONS; i++) {
		if (i % 2 == 0)
			fds[i / 2] = dial_and_greet();
		transmit(fds[i / 2], &subscribe, sizeof(subscribe));
		assert_true(next(fds[i / 2]) > 0);
		assert_int_equal(reply.header.type, XDPD_DONE);
	}
	transmit(fd, &subscribe, sizeof(subscribe));
	expect_error(fd, 5, EUSERS);
	for (int i = 0; i < QUOTA_SUBSCRIPTIONS; i++)
		close(fds[i]);
	expect_connections_left(1);
	transmit(fd, &subscribe, sizeof(subscribe));
	assert_true(next(fd) > 0);
	assert_int_equal(reply.header.type, XDPD_DONE);
	close(fd);
}

static void a_reload_with_an_unreadable_file_says_so_and_changes_nothing(void **state)
{
	struct xdpd_header reload;
	int fd = dial_and_greet();

	(void)state;
	stamp(&reload, sizeof(reload), XDPD_RELOAD, 5);
	transmit(fd, &reload, sizeof(reload));
	assert_true(next(fd) > 0);
	assert_int_equal(reply.header.type, XDPD_TEXT);
	expect_error(fd, 5, ENOENT);
	close(fd);
	server_goes_on();
}

/* ---- where it listens ---- */

/* What server_start() says of a path, or of a socket from the service manager. */
static int start_here(const char *here, int listen_fd, struct failure *why)
{
	struct daemon daemon;
	sd_event *event;
	int r;

	assert_int_equal(sd_event_new(&event), 0);
	assert_int_equal(daemon_init(&daemon, event, "test", make_config(), why), 0);
	free(daemon.config->socket_path);
	daemon.config->socket_path = strdup(here);
	r = server_start(&daemon.server, &daemon, listen_fd, listen_fd < 0, why);
	daemon.server = server_stop(r == 0 ? daemon.server : NULL);
	daemon_free(&daemon);
	sd_event_unref(event);
	return r;
}

static int listen_at(const char *here, int type)
{
	struct sockaddr_un address = address_of(here);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void a_socket_that_somebody_listens_on_is_left_alone_and_one_left_over_is_replaced(
	void **state)
{
	const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	struct failure why;
	char other[96];

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	for (size_t i = 0; i < 3; i++) {
		struct sockaddr_un address = address_of(other);
		int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		if (types[i] != SOCK_DGRAM)
			assert_int_equal(listen(fd, 1), 0);
		assert_int_equal(start_here(other, -1, &why), -EADDRINUSE);
		assert_non_null(strstr(why.text, other));
		assert_int_equal(access(other, F_OK), 0);
		close(fd);
		assert_int_equal(start_here(other, -1, &why), 0);
		assert_int_not_equal(access(other, F_OK), 0);
	}
}

static void a_socket_from_the_service_manager_is_made_non_blocking_and_its_file_stays(void **state)
{
	struct failure why;
	char other[96];
	int fd, mine;

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	fd = listen_at(other, SOCK_SEQPACKET);
	mine = dup(fd);
	assert_int_equal(start_here(path, fd, &why), 0);
	assert_true(fcntl(mine, F_GETFL) & O_NONBLOCK);
	assert_int_equal(access(other, F_OK), 0);
	close(mine);
	assert_int_equal(unlink(other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_says_hello_is_served),
		cmocka_unit_test(structs_have_the_documented_sizes),
		cmocka_unit_test(a_wrong_version_is_refused_with_both_versions_named),
		cmocka_unit_test(a_version_range_that_includes_ours_is_served),
		cmocka_unit_test(a_longer_message_than_known_is_cut),
		cmocka_unit_test(a_header_of_another_version_after_hello_ends_the_connection),
		cmocka_unit_test(names_that_could_confuse_a_terminal_or_a_label_are_refused),
		cmocka_unit_test(an_unterminated_name_is_refused),
		cmocka_unit_test(messages_of_every_wrong_length_end_the_connection),
		cmocka_unit_test(a_length_that_is_not_the_packets_ends_the_connection),
		cmocka_unit_test(a_message_larger_than_any_ends_the_connection),
		cmocka_unit_test(requests_before_hello_and_a_second_hello_end_the_connection),
		cmocka_unit_test(unknown_requests_and_id_0_end_the_connection),
		cmocka_unit_test(ready_without_a_grant_ends_the_connection),
		cmocka_unit_test(unknown_lists_and_flags_are_refused_and_the_connection_goes_on),
		cmocka_unit_test(an_attach_that_cannot_be_had_says_why),
		cmocka_unit_test(fds_that_nobody_asked_for_are_closed_and_end_the_connection),
		cmocka_unit_test(a_client_that_never_reads_is_disconnected),
		cmocka_unit_test(random_messages_neither_crash_nor_leak),
		cmocka_unit_test(
			connections_of_a_uid_beyond_its_limit_are_turned_away_with_the_reason),
		cmocka_unit_test(subscriptions_of_a_uid_beyond_its_limit_are_refused),
		cmocka_unit_test(a_flood_of_requests_neither_blinds_the_metrics_nor_other_sessions),
		cmocka_unit_test(a_session_that_floods_is_slowed_down_and_then_no_timer_is_left),
		cmocka_unit_test(
			a_socket_that_somebody_listens_on_is_left_alone_and_one_left_over_is_replaced),
		cmocka_unit_test(
			a_socket_from_the_service_manager_is_made_non_blocking_and_its_file_stays),
		cmocka_unit_test(a_reload_with_an_unreadable_file_says_so_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}

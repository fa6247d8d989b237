/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A daemon to try xdpctl against: a process that listens, answers what the test laid out in memory that both
 * share, and keeps there what was asked. To be included by one test, after cmocka.h.
 */
#ifndef TESTS_UNIT_FAKE_DAEMON_H
#define TESTS_UNIT_FAKE_DAEMON_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/cleanup.h"

enum misbehaviour {
	HONEST,
	SILENT,	       /* never answers */
	CLOSES,	       /* hangs up at the first request after hello */
	OTHER_MAGIC,   /* speaks something else */
	OTHER_ID,      /* answers a request that nobody made */
	WRONG_LENGTH,  /* the header's length is not the packet's */
	SHORT_RECORDS, /* cut off */
	OLDER_RECORDS, /* of a daemon that knows no shared delivery */
	LONG_RECORDS,  /* with members of a later version */
	OTHER_RECORDS, /* of a kind that was not asked for */
};

struct fake {
	char dir[64];
	char path[96];	 /* of the socket */
	char config[96]; /* of the config file */
	pid_t pid;

	enum misbehaviour misbehaviour;
	struct xdpd_daemon_record daemon;
	struct xdpd_interface_record interfaces[4];
	size_t n_interfaces;
	struct xdpd_queue_record queues[8];
	size_t n_queues;
	struct xdpd_consumer_record consumers[4];
	size_t n_consumers;
	struct xdpd_group_record groups[4];
	size_t n_groups;
	struct xdpd_rule_record rules[4];
	size_t n_rules;
	struct xdpd_worker_record workers[4];
	size_t n_workers;
	struct xdpd_trace_record traces[8]; /* whatever is asked */
	size_t n_traces;
	char running[4096]; /* the running config's text */
	struct xdpd_event events[4];
	size_t n_events;
	const char *text;	  /* comes before DONE or ERROR of RELOAD */
	enum xdpd_message refuse; /* this request, or 0 */
	int code;
	const char *reason;
	bool lose_config; /* the config file vanishes when a queue is added */

	char asked[2048]; /* a line for each request but HELLO and LIST */
	struct xdpd_eject_request eject;
	char trace_device[XDPD_DEVICE_MAX];
	uint32_t trace_queue;
	uint8_t frame[XDPD_MESSAGE_MAX]; /* to be traced */
	size_t frame_length;
};

static struct fake *fake;

static void send_message(int fd, uint16_t type, uint32_t id, const void *body, size_t length)
{
	_Alignas(8) unsigned char buffer[XDPD_MESSAGE_MAX];
	struct xdpd_header header = {
		.magic = XDPD_PROTOCOL_MAGIC,
		.version = XDPD_PROTOCOL_VERSION,
		.type = type,
		.length = (uint32_t)(sizeof(header) + length),
		.id = id,
	};

	if (fake->misbehaviour == OTHER_MAGIC)
		header.magic++;
	if (fake->misbehaviour == OTHER_ID && type != XDPD_WELCOME)
		header.id++;
	if (fake->misbehaviour == WRONG_LENGTH)
		header.length++;
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), body, length);
	(void)send(fd, buffer, sizeof(header) + length, MSG_NOSIGNAL);
}

static void send_error(int fd, uint32_t id, int code, const char *reason)
{
	struct xdpd_error error = {.code = (uint32_t)code};

	/* as long a reason as there can be comes without its terminator */
	memcpy(error.reason, reason, strnlen(reason, sizeof(error.reason)));
	send_message(fd, XDPD_ERROR, id, &error.code, sizeof(error) - sizeof(error.header));
}

static void send_records(int fd, uint32_t id, uint32_t kind, const void *records, size_t size,
			 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char body[2048] = {0};
		size_t length = 8 + size;

		if (fake->misbehaviour == OTHER_RECORDS)
			kind++;
		if (fake->misbehaviour == SHORT_RECORDS)
			length -= 8;
		if (fake->misbehaviour == OLDER_RECORDS && kind == XDPD_LIST_QUEUES)
			length = 8 + offsetof(struct xdpd_queue_record, consumers);
		if (fake->misbehaviour == OLDER_RECORDS && kind == XDPD_LIST_CONSUMERS)
			length = 8 + offsetof(struct xdpd_consumer_record, group);
		if (fake->misbehaviour == LONG_RECORDS)
			length += 24;
		memset(body, 0x55, sizeof(body));
		memcpy(body, (uint32_t[]){kind, 0}, 8);
		memcpy(body + 8, (const char *)records + i * size, size);
		send_message(fd, XDPD_RECORD, id, body, length);
	}
}

static void send_list(int fd, uint32_t id, uint32_t kind)
{
	const char *text = fake->running;

	switch (kind) {
	case XDPD_LIST_DAEMON:
		send_records(fd, id, kind, &fake->daemon, sizeof(fake->daemon), 1);
		break;
	case XDPD_LIST_INTERFACES:
		send_records(fd, id, kind, fake->interfaces, sizeof(fake->interfaces[0]),
			     fake->n_interfaces);
		break;
	case XDPD_LIST_QUEUES:
		send_records(fd, id, kind, fake->queues, sizeof(fake->queues[0]), fake->n_queues);
		break;
	case XDPD_LIST_CONSUMERS:
		send_records(fd, id, kind, fake->consumers, sizeof(fake->consumers[0]),
			     fake->n_consumers);
		break;
	case XDPD_LIST_GROUPS:
		send_records(fd, id, kind, fake->groups, sizeof(fake->groups[0]), fake->n_groups);
		break;
	case XDPD_LIST_RULES:
		send_records(fd, id, kind, fake->rules, sizeof(fake->rules[0]), fake->n_rules);
		break;
	case XDPD_LIST_WORKERS:
		send_records(fd, id, kind, fake->workers, sizeof(fake->workers[0]),
			     fake->n_workers);
		break;
	case XDPD_LIST_CONFIG: /* in small pieces, to be joined */
		for (size_t length = strlen(text); length;
		     text += length < 50 ? length : 50, length = strlen(text))
			send_message(fd, XDPD_TEXT, id, text, length < 50 ? length : 50);
		break;
	}
	send_message(fd, XDPD_DONE, id, "", 0);
}

static void note(const char *format, ...)
{
	size_t used = strlen(fake->asked);
	va_list args;

	va_start(args, format);
	vsnprintf(fake->asked + used, sizeof(fake->asked) - used, format, args);
	va_end(args);
}

/* As the daemon does it: the running text is edited, and EEXIST or ENOENT is what comes back. */
static int change_running(const struct xdpd_queue_request *request, size_t length)
{
	struct config_errors errors = {0};
	char *text = NULL;
	char fragment[512] = "";
	int r;

	memcpy(fragment, request->fragment, length - sizeof(*request));
	note("%s %s %s\n", request->header.type == XDPD_ADD_QUEUE ? "add" : "remove",
	     request->device, fragment);
	if (fake->refuse == request->header.type || !fake->running[0])
		return 0;
	if (fake->lose_config)
		(void)unlink(fake->config);
	if (request->header.type == XDPD_ADD_QUEUE)
		r = config_text_add_queue("running", fake->running, request->device, fragment,
					  &text, &errors);
	else
		r = config_text_remove_queue("running", fake->running, request->device, fragment, 8,
					     &text, &errors);
	config_errors_clear(&errors);
	if (r == 0)
		snprintf(fake->running, sizeof(fake->running), "%s", text);
	free(text);
	return r;
}

static void take_trace(const struct xdpd_trace_request *request, size_t length)
{
	memcpy(fake->trace_device, request->device, sizeof(fake->trace_device));
	fake->trace_queue = request->queue;
	fake->frame_length = length - sizeof(*request);
	memcpy(fake->frame, request->frame, fake->frame_length);
}

/* Whether the conversation goes on. */
static bool answer(int fd, const void *message, size_t length)
{
	const struct xdpd_header *header = message;
	const struct xdpd_list_request *list = message;
	struct xdpd_welcome welcome = {.version = 1, .release = "9.8.7"};
	int r = 0;

	if (fake->misbehaviour == SILENT)
		return true;
	if (header->type == fake->refuse && header->type <= XDPD_LIST) {
		send_error(fd, header->id, fake->code, fake->reason);
		return true;
	}
	if (header->type == XDPD_HELLO) {
		send_message(fd, XDPD_WELCOME, header->id, &welcome.version,
			     sizeof(welcome) - sizeof(welcome.header));
		return true;
	}
	if (fake->misbehaviour == CLOSES)
		return false;
	switch (header->type) {
	case XDPD_LIST:
		send_list(fd, header->id, list->kind);
		return true;
	case XDPD_SUBSCRIBE:
		send_message(fd, XDPD_DONE, header->id, "", 0);
		for (size_t i = 0; i < fake->n_events; i++)
			send_message(fd, XDPD_EVENT, 0, &fake->events[i].time,
				     sizeof(fake->events[i]) - sizeof(*header));
		return false;
	case XDPD_ADD_QUEUE:
	case XDPD_REMOVE_QUEUE:
		r = change_running(message, length);
		break;
	case XDPD_EJECT:
		memcpy(&fake->eject, message, sizeof(fake->eject));
		note("eject\n");
		break;
	case XDPD_TRACE:
		take_trace(message, length);
		note("trace\n");
		if (header->type != fake->refuse)
			send_records(fd, header->id, XDPD_LIST_TRACE, fake->traces,
				     sizeof(fake->traces[0]), fake->n_traces);
		break;
	case XDPD_RELOAD:
		note("reload\n");
		if (fake->text)
			send_message(fd, XDPD_TEXT, header->id, fake->text, strlen(fake->text));
		break;
	}
	if (header->type == fake->refuse)
		send_error(fd, header->id, fake->code, fake->reason);
	else if (r < 0)
		send_error(fd, header->id, -r, "the daemon says no");
	else
		send_message(fd, XDPD_DONE, header->id, "", 0);
	return true;
}

static _Noreturn void serve(int listener)
{
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		_Alignas(8) unsigned char buffer[XDPD_MESSAGE_MAX];
		ssize_t n;

		while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
			if (!answer(fd, buffer, (size_t)n))
				break;
		close(fd);
	}
	_exit(1);
}

static void start_daemon(void)
{
	cleanup_fd int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, fake->path, sizeof(fake->path));
	assert_return_code(listener, errno);
	assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(listener, 8), errno);
	fake->pid = fork();
	assert_return_code(fake->pid, errno);
	if (fake->pid == 0)
		serve(listener);
}

static void stop_daemon(void)
{
	if (fake->pid > 0) {
		kill(fake->pid, SIGKILL);
		waitpid(fake->pid, NULL, 0);
	}
}

static const char sample[] = "# queues of the big NIC\n"
			     "interfaces:\n"
			     "  - name: eth0   # the uplink\n"
			     "    queues:\n"
			     "      - id: 0-3  # four\n"
			     "        frames: 4096\n"
			     "  - name: eth1\n"
			     "    queues: []\n";

static void write_config(const char *text)
{
	cleanup_file FILE *file = fopen(fake->config, "we");

	assert_non_null(file);
	fputs(text, file);
}

static const char *read_config(void)
{
	static char text[4096];
	cleanup_file FILE *file = fopen(fake->config, "re");

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	return text;
}

static struct xdpd_queue_record *add_record(const char *device, uint32_t queue, uint32_t state)
{
	struct xdpd_queue_record *record = &fake->queues[fake->n_queues++];

	*record = (struct xdpd_queue_record){
		.queue = queue,
		.state = state,
		.delivery = XDPD_EXCLUSIVE,
		.wanted_bind = XDPD_BIND_AUTO,
		.frames = 4096,
		.frame_size = 2048,
	};
	strcpy(record->device, device);
	return record;
}

static int set_up(void **state)
{
	(void)state;
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake == MAP_FAILED)
		return -1;
	strcpy(fake->dir, "/tmp/xdpctl-test-XXXXXX");
	if (!mkdtemp(fake->dir))
		return -1;
	snprintf(fake->path, sizeof(fake->path), "%s/xdpd.sock", fake->dir);
	snprintf(fake->config, sizeof(fake->config), "%s/xdpd.yaml", fake->dir);
	write_config(sample);
	strcpy(fake->running, sample);
	fake->daemon = (struct xdpd_daemon_record){
		.release = "9.8.7",
		.started = (uint64_t)time(NULL) - 90061,
		.last_reload = 1700000000,
		.pid = 4711,
		.last_reload_ok = 1,
		.restarts = 3,
	};
	strcpy(fake->daemon.config, fake->config);
	fake->interfaces[fake->n_interfaces++] = (struct xdpd_interface_record){
		.device = "eth0",
		.driver = "ixgbe",
		.ifindex = 2,
		.up = 1,
		.mtu = 1500,
		.channels = 8,
		.wanted_mode = XDPD_MODE_NATIVE,
		.mode = XDPD_MODE_GENERIC,
		.wanted_bind = XDPD_BIND_AUTO,
		.program_id = 77,
		.xdp_features = 1 | 2 | 8,
		.queues = 1,
		.queues_ready = 1,
	};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	stop_daemon();
	unlink(fake->path);
	unlink(fake->config);
	if (rmdir(fake->dir) < 0)
		return -1;
	return munmap(fake, sizeof(*fake));
}

#endif

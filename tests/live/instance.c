// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/instance.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/live/harness.h"

#define START_TIMEOUT_MS 10000
#define STOP_TIMEOUT_MS	 5000
#define CTL_TIMEOUT_MS	 10000

struct instance {
	struct child *child;
	int notifications;
	char folder[64];
	char config[80];
	char socket[80];
	char metrics[80];
	char notify[80];
	char status[256];
};

const char *built(const char *name)
{
	static char path[PATH_MAX];
	const char *build = getenv("BUILD");

	(void)snprintf(path, sizeof(path), "%s/%s", build ? build : "build", name);
	return path;
}

static const char *program(const char *variable, const char *name)
{
	const char *path = getenv(variable);

	return path ? path : built(name);
}

/* The end of the test then shows the log, as of all children that are left. */
__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	fail_msg("%s", message);
	abort(); /* not reached: a failure jumps out of the test */
}

/* ---- files and sockets ---- */

static void write_file(const char *path, const char *prelude, const char *text)
{
	cleanup_file FILE *file = fopen(path, "we");

	if (!file || fputs(prelude, file) < 0 || fputs(text, file) < 0 || fflush(file) != 0)
		fail_msg("%s: %s", path, strerror(errno));
}

void instance_write_raw(struct instance *instance, const char *text)
{
	write_file(instance->config, "", text);
}

void instance_write_config(struct instance *instance, const char *config)
{
	char prelude[256];

	(void)snprintf(prelude, sizeof(prelude),
		       "socket: { path: \"%s\" }\n"
		       "metrics: { listen: \"unix:%s\" }\n",
		       instance->socket, instance->metrics);
	write_file(instance->config, prelude, config);
}

/*
 * sd_notify() blocks when the receiver's queue is full, with 10 messages by default, and a test reads them only when
 * it waits for one. The limit is the network namespace's, and a socket's from its birth.
 */
static void allow_long_queues(void)
{
	cleanup_file FILE *file = fopen("/proc/sys/net/unix/max_dgram_qlen", "we");

	if (!file || fputs("1000000", file) < 0 || fflush(file) != 0)
		fail_msg("max_dgram_qlen: %s", strerror(errno));
}

/*
 * Nobody keeps fds here: what would wait to be read, with a socket that the daemon has closed long ago, keeps a queue
 * from being bound again. A message that a filter drops is as good as sent.
 */
static int turn_away_fds(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x46445354 /* "FDST" */, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

static int listen_for_notifications(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || turn_away_fds(fd) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, 0666) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static struct instance *make(uid_t uid)
{
	static unsigned int made;
	struct instance *instance = calloc(1, sizeof(*instance));

	assert_non_null(instance);
	(void)snprintf(instance->folder, sizeof(instance->folder), "%s/xdpd%u", live_folder(),
		       ++made);
	(void)snprintf(instance->config, sizeof(instance->config), "%s/xdpd.yaml",
		       instance->folder);
	(void)snprintf(instance->socket, sizeof(instance->socket), "%s/xdpd.sock",
		       instance->folder);
	(void)snprintf(instance->metrics, sizeof(instance->metrics), "%s/metrics.sock",
		       instance->folder);
	(void)snprintf(instance->notify, sizeof(instance->notify), "%s/notify.sock",
		       instance->folder);
	if (mkdir(instance->folder, 0755) < 0 || chown(instance->folder, uid, (gid_t)uid) < 0)
		fail_msg("%s: %s", instance->folder, strerror(errno));
	allow_long_queues();
	instance->notifications = (int)assert_ok(listen_for_notifications(instance->notify));
	return instance;
}

struct instance *instance_of_others(const char *config, const char *socket, const char *metrics)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	assert_non_null(instance);
	instance->notifications = -1;
	(void)snprintf(instance->config, sizeof(instance->config), "%s", config);
	(void)snprintf(instance->socket, sizeof(instance->socket), "%s", socket);
	(void)snprintf(instance->metrics, sizeof(instance->metrics), "%s", metrics);
	return instance;
}

static void discard(struct instance *instance)
{
	(void)child_end(instance->child);
	(void)close_fd(instance->notifications);
	free(instance);
}

/* ---- start ---- */

struct instance *instance_launch(const char *config, const char *const *runner)
{
	struct instance *instance = make(0);
	const char *argv[32] = {NULL};
	size_t n = 0;

	instance_write_config(instance, config);
	while (runner && *runner && n < 28)
		argv[n++] = *runner++;
	argv[n++] = program("XDPD", "xdpd");
	argv[n++] = "--config";
	argv[n++] = instance->config;
	assert_ok(child_start(&instance->child,
			      &(struct child_options){
				      .argv = argv,
				      .environment = (const char *const[]){"NOTIFY_SOCKET=", NULL},
			      }));
	return instance;
}

static void launch(struct instance *instance, const struct child_options *how)
{
	const char *argv[] = {program("XDPD", "xdpd"), "--config", instance->config, NULL};
	struct child_options options = how ? *how : (struct child_options){0};
	const char *environment[16] = {NULL};
	char notify[128];
	size_t n = 0;

	(void)snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", instance->notify);
	environment[n++] = notify;
	for (const char *const *entry = options.environment; entry && *entry && n < 15; entry++)
		environment[n++] = *entry;
	options.argv = argv;
	options.environment = environment;
	assert_ok(child_start(&instance->child, &options));
}

static void await_ready(struct instance *instance)
{
	if (instance_notifies(instance, "READY=1", START_TIMEOUT_MS))
		return;
	if (child_is_alive(instance->child))
		give_up("xdpd is not ready after %d ms", START_TIMEOUT_MS);
	give_up("xdpd ended with %d instead of getting ready", child_wait(instance->child, 0));
}

struct instance *instance_start(const char *config)
{
	return instance_start_as(config, NULL);
}

struct instance *instance_start_as(const char *config, const struct child_options *how)
{
	struct instance *instance = make(how ? how->uid : 0);

	instance_write_config(instance, config);
	launch(instance, how);
	await_ready(instance);
	return instance;
}

void instance_start_again(struct instance *instance)
{
	(void)child_end(instance->child);
	launch(instance, NULL);
	await_ready(instance);
}

void instance_start_fails(const char *config, struct ran *ret)
{
	struct instance *instance = make(0);
	int status;

	instance_write_config(instance, config);
	launch(instance, NULL);
	status = child_wait(instance->child, START_TIMEOUT_MS);
	if (status < 0)
		give_up("xdpd still runs after %d ms", START_TIMEOUT_MS);
	*ret = (struct ran){status, child_output(instance->child), child_errors(instance->child)};
	discard(instance);
}

/* ---- notifications ---- */

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (strncmp(at, line, length) == 0 && (at[length] == '\n' || at[length] == '\0'))
			return true;
	}
	return false;
}

static void note_status(struct instance *instance, const char *text)
{
	const char *status = strncmp(text, "STATUS=", 7) == 0 ? text : strstr(text, "\nSTATUS=");

	if (status) {
		status = strchr(status, '=') + 1;
		(void)snprintf(instance->status, sizeof(instance->status), "%.*s",
			       (int)strcspn(status, "\n"), status);
	}
}

bool instance_notifies(struct instance *instance, const char *line, int timeout_ms)
{
	uint64_t deadline = live_now_ms() + (uint64_t)timeout_ms;

	for (;;) {
		struct pollfd readable = {.fd = instance->notifications, .events = POLLIN};
		uint64_t now = live_now_ms();
		bool alive = child_is_alive(instance->child);
		char text[1024];
		ssize_t length;

		/* Short waits, so that its death is seen; what it sent before is read first. */
		if (poll(&readable, 1, alive ? 10 : 0) != 1) {
			if (!alive || now >= deadline)
				return false;
			continue;
		}
		length = recv(instance->notifications, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (length < 0)
			continue;
		text[length] = '\0';
		note_status(instance, text);
		if (has_line(text, line))
			return true;
	}
}

const char *instance_status(const struct instance *instance)
{
	return instance->status;
}

void instance_reload(struct instance *instance)
{
	assert_ok(child_signal(instance->child, SIGHUP));
	if (!instance_notifies(instance, "RELOADING=1", START_TIMEOUT_MS) ||
	    !instance_notifies(instance, "READY=1", START_TIMEOUT_MS))
		give_up("xdpd did not reload");
}

/* ---- what it is ---- */

pid_t instance_pid(const struct instance *instance)
{
	return child_pid(instance->child);
}

struct child *instance_child(const struct instance *instance)
{
	return instance->child;
}

const char *instance_socket(const struct instance *instance)
{
	return instance->socket;
}

const char *instance_metrics_socket(const struct instance *instance)
{
	return instance->metrics;
}

const char *instance_config(const struct instance *instance)
{
	return instance->config;
}

const char *instance_folder(const struct instance *instance)
{
	return instance->folder;
}

char *instance_log(const struct instance *instance)
{
	return child_errors(instance->child);
}

/* ---- asking it ---- */

void instance_run_ctl(const struct instance *instance, struct ran *ret, uid_t uid,
		      const char *const *arguments)
{
	const char *argv[32] = {program("XDPCTL", "xdpctl"), "-s", instance->socket, NULL};
	size_t n = 3;

	while (*arguments && n < sizeof(argv) / sizeof(argv[0]) - 1)
		argv[n++] = *arguments++;
	argv[n] = NULL;
	assert_ok(
		child_run(ret, &(struct child_options){.argv = argv, .uid = uid}, CTL_TIMEOUT_MS));
}

char *instance_metrics(const struct instance *instance)
{
	cleanup_scrape struct scrape answer = {0};
	int r = scrape_get(&answer, instance->metrics, "/metrics", NULL);

	if (r < 0)
		give_up("no answer from /metrics: %s", strerror(-r));
	if (answer.status != 200)
		give_up("/metrics answers with status %d", answer.status);
	return TAKE_PTR(answer.body);
}

double instance_metric_sum(const struct instance *instance, const char *const *name_and_labels)
{
	cleanup_free char *text = instance_metrics(instance);

	return metric_sum(text, name_and_labels);
}

/* ---- its end ---- */

void instance_stop(struct instance *instance)
{
	int status;

	(void)child_signal(instance->child, SIGTERM);
	status = child_wait(instance->child, STOP_TIMEOUT_MS);
	if (status < 0)
		give_up("xdpd still runs %d ms after SIGTERM", STOP_TIMEOUT_MS);
	if (status != 0)
		give_up("xdpd ended with %d", status);
	discard(instance);
}

void instance_kill(struct instance *instance)
{
	discard(instance);
}

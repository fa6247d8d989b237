// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "config/config.h"
#include "daemon/cleanup.h"
#include "daemon/daemon.h"
#include "daemon/http.h"
#include "daemon/log.h"
#include "daemon/server.h"

#define STATUS_INTERVAL_USEC 1000000

struct options {
	const char *config;
	bool check;
	int level;
};

/* The process around the daemon: what it holds, and what it last told the service manager. */
struct process {
	struct daemon daemon;
	struct http *http;
	char status[128];
	sd_event_source *telling; /* waits to tell the next */
};

static void print_help(void)
{
	printf("Usage: xdpd [--config FILE] [--verbose]\n"
	       "       xdpd --check FILE\n"
	       "\n"
	       "Owns AF_XDP on this machine's interfaces and hands frames to unprivileged "
	       "consumers.\n"
	       "Runs in the foreground; ends at SIGTERM or SIGINT, reads its config again at "
	       "SIGHUP.\n"
	       "\n"
	       "  -c, --config FILE  the config (default: " CONFIG_DEFAULT_PATH ")\n"
	       "      --check FILE   say what is wrong with a config, all of it, and end\n"
	       "  -v, --verbose      log every change of state\n"
	       "      --version      print the version and end\n"
	       "  -h, --help         print this and end\n"
	       "\n"
	       "Exit status: 0 ended as asked, 1 could not start or go on, 78 the config is not "
	       "valid.\n");
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(struct options *options, int argc, char **argv)
{
	enum { CHECK = 256, VERSION };
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'}, {"check", required_argument, NULL, CHECK},
		{"verbose", no_argument, NULL, 'v'},	  {"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},	  {},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:vh", known, NULL)) >= 0) {
		switch (option) {
		case CHECK:
			options->check = true;
			options->config = optarg;
			break;
		case 'c':
			options->config = optarg;
			break;
		case 'v':
			options->level = LOG_DEBUG;
			break;
		case VERSION:
			puts("xdpd " XDPD_RELEASE);
			return 0;
		case 'h':
			print_help();
			return 0;
		default:
			return 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "xdpd: unexpected argument `%s`; see xdpd --help\n", argv[optind]);
		return 1;
	}
	return -1;
}

static int check(const char *path)
{
	struct config_errors errors = {};
	struct config *config = NULL;
	int r = config_load(path, &config, &errors);

	for (size_t i = 0; i < errors.n_lines; i++)
		fprintf(stderr, "%s\n", errors.lines[i]);
	config_errors_clear(&errors);
	config_free(config);
	return r < 0 ? EX_CONFIG : 0;
}

static int load_config(const char *path, struct config **ret)
{
	struct config_errors errors = {};
	int r = config_load(path, ret, &errors);

	for (size_t i = 0; i < errors.n_lines; i++)
		log_error("%s", errors.lines[i]);
	config_errors_clear(&errors);
	return r;
}

/* As far as the process may: UMEMs count as locked memory, and each queue and connection takes fds. */
static void raise_limits(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &limit);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* The socket unit's socket, or -1. */
static int activated_socket(struct failure *why, int *ret)
{
	int count = sd_listen_fds(1);

	if (count < 0)
		return failure(why, -count, "can't take the sockets of the service manager (%s)",
			       strerrorname_np(-count));
	if (count > 1)
		return failure(why, EINVAL,
			       "the service manager passes %d sockets; xdpd.socket has one", count);
	if (count == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return failure(
			why, EINVAL,
			"the service manager's socket is not a listening UNIX socket of type "
			"SOCK_SEQPACKET; use ListenSequentialPacket=");
	*ret = count == 1 ? SD_LISTEN_FDS_START : -1;
	return 0;
}

/* ---- on the event loop ---- */

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			    void *context)
{
	struct process *process = context;
	cleanup_free char *text = NULL;
	size_t length;
	FILE *report = open_memstream(&text, &length);
	int r;

	(void)source;
	(void)info;
	if (!report) {
		log_error("no memory to reload");
		return 0;
	}
	sd_notify(0, "RELOADING=1");
	r = daemon_reload(&process->daemon, report);
	fclose(report);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		log_write(r < 0 ? LOG_ERR : LOG_INFO, LOG_NOTHING, "%s", line);
	sd_notify(0, "READY=1");
	return 0;
}

static int on_collect(void *context, const struct status **ret)
{
	return daemon_snapshot(context, ret);
}

static bool on_ready_question(void *context)
{
	return ((struct daemon *)context)->ready;
}

static void describe(const struct daemon *daemon, char *ret, size_t size)
{
	size_t queues = 0, ready = 0, attached = 0;

	for (size_t i = 0; i < daemon->n_interfaces; i++) {
		const struct interface *interface = daemon->interfaces[i];

		queues += interface->n_queues;
		for (size_t j = 0; j < interface->n_queues; j++) {
			ready += interface->queues[j]->state == XDPD_QUEUE_READY;
			attached += interface->queues[j]->state == XDPD_QUEUE_ATTACHED;
		}
	}
	(void)snprintf(ret, size,
		       "STATUS=%zu interfaces, %zu queues: %zu attached, %zu ready, %zu not",
		       daemon->n_interfaces, queues, attached, ready, queues - ready - attached);
}

static int on_time_to_tell(sd_event_source *source, uint64_t now, void *context)
{
	struct process *process = context;

	(void)source;
	(void)now;
	process->telling = sd_event_source_disable_unref(process->telling);
	describe(&process->daemon, process->status, sizeof(process->status));
	sd_notify(0, process->status);
	return 0;
}

/*
 * One line for `systemctl status`, told when it has changed, and at most once a second: sd_notify() waits for a
 * service manager that does not keep up.
 */
static int on_idle(sd_event_source *source, void *context)
{
	struct process *process = context;
	char status[sizeof(process->status)];

	(void)source;
	describe(&process->daemon, status, sizeof(status));
	if (!process->telling && strcmp(status, process->status))
		(void)sd_event_add_time_relative(process->daemon.event, &process->telling,
						 CLOCK_MONOTONIC, STATUS_INTERVAL_USEC, 0,
						 on_time_to_tell, process);
	return 0;
}

static int add_signals(sd_event *event, struct process *process)
{
	sigset_t signals;
	int r;

	/* Consumers' connections and HTTP clients may end at any moment. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_reload_signal, process);
	return r;
}

/* ---- life ---- */

static int start(struct process *process, sd_event *event, const char *path, struct config *config,
		 struct failure *why)
{
	struct daemon *daemon = &process->daemon;
	const struct http_sources sources = {on_collect, on_ready_question, daemon};
	int listen_fd = -1;
	int r = daemon_init(daemon, event, path, config, why);

	if (r == 0)
		r = activated_socket(why, &listen_fd);
	if (r == 0)
		r = server_start(&daemon->server, daemon, listen_fd, why);
	if (r == 0 && config->metrics.on)
		r = http_start(&process->http, event, &config->metrics, &sources, why);
	if (r < 0)
		return r;
	r = add_signals(event, process);
	if (r >= 0)
		r = sd_event_add_post(event, NULL, on_idle, process);
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	if (r < 0)
		return failure(why, -r, "can't set up the event loop (%s)", strerrorname_np(-r));
	r = daemon_reconcile(daemon);
	if (r < 0)
		return failure(why, -r, "no memory to set up the queues");
	daemon->ready = true;
	log_info("xdpd " XDPD_RELEASE " is ready: control socket %s, metrics %s",
		 listen_fd < 0 ? config->socket_path : "from the service manager",
		 config->metrics.on ? config->metrics.text : "off");
	on_time_to_tell(NULL, 0, process);
	sd_notify(0, "READY=1");
	return 0;
}

static void stop(struct process *process)
{
	sd_notify(0, "STOPPING=1");
	process->telling = sd_event_source_disable_unref(process->telling);
	process->http = http_stop(process->http);
	daemon_stop(&process->daemon);
	process->daemon.server = server_stop(process->daemon.server);
	daemon_free(&process->daemon);
}

static int run(const char *path, struct config *config)
{
	struct process process = {};
	sd_event *event = NULL;
	struct failure why;
	int r = sd_event_default(&event);

	if (r < 0) {
		config_free(config);
		log_error("can't make an event loop: %s", strerror(-r));
		return 1;
	}
	r = start(&process, event, path, config, &why);
	if (r < 0)
		log_error("%s", why.text);
	else
		r = sd_event_loop(event);
	stop(&process);
	sd_event_unref(event);
	return r < 0 ? 1 : 0;
}

/* The path as others can use it: xdpctl edits the file, from wherever it is run. To be freed. */
static char *absolute(const char *path)
{
	cleanup_free char *folder = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
	char *result;

	if (!folder || asprintf(&result, "%s%s%s", folder, path[0] == '/' ? "" : "/", path) < 0)
		return NULL;
	return result;
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_DEFAULT_PATH, .level = LOG_INFO};
	cleanup_free char *path = NULL;
	struct config *config = NULL;
	int status = parse_options(&options, argc, argv);

	if (status >= 0)
		return status;
	if (options.check)
		return check(options.config);
	log_open(options.level);
	if (load_config(options.config, &config) < 0)
		return EX_CONFIG;
	raise_limits();
	path = absolute(options.config);
	return run(path ? path : options.config, config);
}

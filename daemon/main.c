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
#include "daemon/keep.h"
#include "daemon/log.h"
#include "daemon/release.h"
#include "daemon/server.h"
#include "daemon/state.h"
#include "daemon/store.h"

#define STATUS_INTERVAL_USEC 1000000

/* For consumers to look at the frames that they have, when xdpd stops. */
#define GRACE_USEC 1000000

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
	sd_event_source *grace;	  /* until it has to end, once it stops */
};

/* What was left by the process before. */
struct remains {
	struct store *store;
	struct state_file file;
	struct state state;
	bool has_state;
	const char *unreadable; /* why the state can't be read; NULL: it can, or there is none */
	int listen_fd;		/* -1: none */
	bool owns_path;
	bool stale; /* the file is not valid now: what the process before had read of it goes on */
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
	struct config *config = NULL;
	struct failure why;
	int r = daemon_load_config(path, &config, stderr, &why);

	config_free(config);
	return r < 0 ? EX_CONFIG : 0;
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

/* ---- on the event loop ---- */

static void log_lines(int level, char *text)
{
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		log_write(level, LOG_NOTHING, "%s", line);
}

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
	log_lines(r < 0 ? LOG_ERR : LOG_INFO, text);
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

	if (process->grace && daemon_is_idle(&process->daemon))
		return sd_event_exit(sd_event_source_get_event(source), 0);
	describe(&process->daemon, status, sizeof(status));
	if (!process->telling && strcmp(status, process->status))
		(void)sd_event_add_time_relative(process->daemon.event, &process->telling,
						 CLOCK_MONOTONIC, STATUS_INTERVAL_USEC, 0,
						 on_time_to_tell, process);
	return 0;
}

static int on_grace_end(sd_event_source *source, uint64_t now, void *context)
{
	(void)source;
	(void)now;
	(void)context;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Looked at after every event: who is told may leave at once. */
static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			  void *context)
{
	struct process *process = context;
	sd_event *event = sd_event_source_get_event(source);

	(void)info;
	/* Whoever asks again does not want to wait. */
	if (process->grace)
		return sd_event_exit(event, 0);
	sd_notify(0, "STOPPING=1");
	daemon_begin_stop(&process->daemon);
	if (daemon_is_idle(&process->daemon))
		return sd_event_exit(event, 0);
	return sd_event_add_time_relative(event, &process->grace, CLOCK_MONOTONIC, GRACE_USEC, 0,
					  on_grace_end, process);
}

/*
 * Everything stays as it is, and the next process goes on with it: this one is just not there any more. So nothing is
 * freed or closed in order, as that would end it.
 */
static int on_restart_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			     void *context)
{
	struct process *process = context;

	if (!process->daemon.keep)
		return on_stop_signal(source, info, context);
	keep_soon(process->daemon.keep);
	if (keep_now(process->daemon.keep) < 0)
		return on_stop_signal(source, info, context);
	log_notice("leaves everything to the next process");
	sd_notify(0, "STOPPING=1");
	_exit(0);
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
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_add_signal(event, NULL, SIGTERM, on_stop_signal, process);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_stop_signal, process);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_reload_signal, process);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGUSR1, on_restart_signal, process);
	return r;
}

/* ---- life ---- */

/* The service manager's fds: a listening socket, and what another process left. */
static int open_store(struct remains *ret, struct failure *why)
{
	int fd, r;

	*ret = (struct remains){.file = STATE_FILE_NONE, .listen_fd = -1};
	r = store_open(&ret->store, &ret->listen_fd);
	if (r < 0)
		return failure(why, -r, "can't take the fds of the service manager (%s)",
			       strerrorname_np(-r));
	if (ret->listen_fd >= 0 &&
	    sd_is_socket_unix(ret->listen_fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
		return failure(
			why, EINVAL,
			"the service manager's socket is not a listening UNIX socket of type "
			"SOCK_SEQPACKET; use ListenSequentialPacket=");
	if (ret->listen_fd < 0) {
		ret->listen_fd = store_take(ret->store, STORE_LISTENING);
		ret->owns_path = true;
	}
	fd = store_take(ret->store, "state");
	if (fd < 0)
		return 0;
	r = state_file_open(&ret->file, fd);
	/* Another will be kept in its place, which is not found beside it. */
	if (r < 0)
		store_remove("state");
	else
		r = state_read(&ret->file, &ret->state);
	ret->has_state = r == 0;
	if (r < 0 && r != -ENODATA)
		ret->unreadable = r == -EPROTONOSUPPORT ? "the xdpd before was a newer version"
				  : r == -ENOMEM	? "there was no memory for it"
							: "what it left could not be read";
	if (ret->unreadable)
		log_warning("can't go on with what the process before left, as %s (%s): its "
			    "consumers end",
			    ret->unreadable, strerrorname_np(-r));
	return 0;
}

/*
 * The file's config. Where that is not valid, and there was a process before, nothing changes: what that had read last is
 * gone on with.
 */
static int find_config(const char *path, struct remains *remains, struct config **ret)
{
	const struct state *state = &remains->state;
	const char *before = state->file ? state->file : state->running;
	struct config_errors errors = {};
	cleanup_free char *text = NULL;
	struct failure why;
	size_t length;
	FILE *report = open_memstream(&text, &length);
	int r;

	if (!report)
		return -ENOMEM;
	r = daemon_load_config(path, ret, report, &why);
	fclose(report);
	log_lines(LOG_ERR, text);
	if (r == 0 || !remains->has_state || !before)
		return r;
	remains->stale = config_parse(path, before, strlen(before), ret, &errors) == 0;
	config_errors_clear(&errors);
	if (!remains->stale)
		return r;
	log_error("%s is not valid: xdpd goes on with the config that it had; correct it, then "
		  "`xdpctl reload`",
		  path);
	return 0;
}

/* What was left and not taken is nobody's any more; whose connection that was is told. */
static void end_what_is_left(struct remains *remains)
{
	const bool some = store_has_fds(remains->store);
	char why[XDPD_REASON_MAX];

	(void)snprintf(why, sizeof(why),
		       "xdpd was restarted, and could not go on with this%s%s; attach again",
		       remains->unreadable ? ": " : "",
		       remains->unreadable ? remains->unreadable : "");
	daemon_dismiss(remains->store, why);
	remains->store = store_free(remains->store);
	if (some)
		store_settle();
}

/* What is left still, as the daemon did not come so far, is the next one's. */
static void close_remains(struct remains *remains)
{
	remains->store = store_leave(remains->store);
	remains->listen_fd = close_fd(remains->listen_fd);
	state_clear(&remains->state);
	state_file_close(&remains->file);
}

static int keep_for_the_next(struct daemon *daemon, struct remains *remains, struct failure *why)
{
	int r = keep_new(&daemon->keep, daemon, remains->file.fd < 0 ? NULL : &remains->file);

	if (r < 0)
		return failure(why, -r, "can't make the memory for a restart's state (%s)",
			       strerrorname_np(-r));
	if (remains->owns_path)
		keep_listening(daemon->keep, server_fd(daemon->server));
	return 0;
}

static int listen_to_others(struct process *process, sd_event *event, struct remains *remains,
			    struct failure *why)
{
	struct daemon *daemon = &process->daemon;
	const struct http_sources sources = {on_collect, on_ready_question, daemon};
	int r = server_start(&daemon->server, daemon, TAKE_FD(remains->listen_fd),
			     remains->owns_path, why);

	if (r == 0 && daemon->config->metrics.on)
		r = http_start(&process->http, event, &daemon->config->metrics, &sources, why);
	else
		return r;
	/* Consumers that can go on are worth more. */
	if (r < 0 && store_has_fds(remains->store)) {
		log_error("%s; xdpd goes on without metrics until it is restarted", why->text);
		return 0;
	}
	return r;
}

/* What the process before left, and then what is wanted. */
static int take_up(struct daemon *daemon, struct remains *remains, struct failure *why)
{
	int r = keep_for_the_next(daemon, remains, why);

	if (r < 0)
		return r;
	if (remains->has_state && daemon_adopt(daemon, remains->store, &remains->state) < 0)
		log_warning("can't go on with what the process before left: its consumers end");
	end_what_is_left(remains);
	daemon->last_reload_ok = !remains->stale;
	r = daemon_reconcile(daemon);
	if (r < 0)
		return failure(why, -r, "no memory to set up the queues");
	keep_soon(daemon->keep);
	(void)keep_now(daemon->keep);
	return 0;
}

/* Takes the config over. */
static int start(struct process *process, sd_event *event, const char *path, struct config *config,
		 struct remains *remains, struct failure *why)
{
	struct daemon *daemon = &process->daemon;
	int r = daemon_init(daemon, event, path, config, why);

	if (r == 0)
		r = add_signals(event, process);
	/* First what can fail: once the daemon has taken up what was left, its failure is the end of all that. */
	if (r == 0)
		r = listen_to_others(process, event, remains, why);
	if (r == 0)
		r = take_up(daemon, remains, why);
	if (r < 0)
		return r;
	r = sd_event_add_post(event, NULL, on_idle, process);
	if (r >= 0)
		r = sd_event_set_watchdog(event, true);
	if (r < 0)
		return failure(why, -r, "can't set up the event loop (%s)", strerrorname_np(-r));
	daemon->ready = true;
	log_info("xdpd " XDPD_RELEASE " is ready: control socket %s, metrics %s",
		 server_owns_path(daemon->server) ? daemon->config->socket_path
						  : "from the service manager",
		 daemon->config->metrics.on ? daemon->config->metrics.text : "off");
	on_time_to_tell(NULL, 0, process);
	sd_notify(0, "READY=1");
	return 0;
}

static void stop(struct process *process)
{
	sd_notify(0, "STOPPING=1");
	process->telling = sd_event_source_disable_unref(process->telling);
	process->grace = sd_event_source_disable_unref(process->grace);
	process->http = http_stop(process->http);
	daemon_stop(&process->daemon);
	keep_nothing(process->daemon.keep);
	process->daemon.server = server_stop(process->daemon.server);
	daemon_free(&process->daemon);
	/* What is open yet when the process ends is closed by one thread. */
	release_settle();
}

/* Returns the exit status. */
static int run_with(const char *path, struct remains *remains, struct config *config)
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
	r = start(&process, event, path, config, remains, &why);
	if (r < 0)
		log_error("%s", why.text);
	/* The next process may start: what was left for it stays, the socket's file too. */
	if (r < 0 && remains->store && store_has_fds(remains->store))
		_exit(1);
	close_remains(remains);
	if (r == 0)
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

static int run(const char *path)
{
	struct remains remains;
	struct config *config = NULL;
	struct failure why;
	int status = 1;

	if (open_store(&remains, &why) < 0)
		log_error("%s", why.text);
	else if (find_config(path, &remains, &config) < 0)
		status = EX_CONFIG;
	else
		status = run_with(path, &remains, config);
	close_remains(&remains);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.config = CONFIG_DEFAULT_PATH, .level = LOG_INFO};
	cleanup_free char *path = NULL;
	int status = parse_options(&options, argc, argv);

	if (status >= 0)
		return status;
	if (options.check)
		return check(options.config);
	log_open(options.level);
	raise_limits();
	path = absolute(options.config);
	return run(path ? path : options.config);
}

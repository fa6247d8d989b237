/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon: the running config, the interfaces that it names, and the one loop from wanted to actual. All of
 * it belongs to the main thread.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <systemd/sd-event.h>

#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/interface.h"
#include "daemon/log.h"
#include "daemon/status.h"
#include "daemon/totals.h"

struct keep;
struct renewer;
struct server;
struct state;
struct store;

/* Whether sockets can be handed over bound, found out from the first one that is. */
enum handover { HANDOVER_UNKNOWN, HANDOVER_BOUND, HANDOVER_UNBOUND };

struct daemon {
	sd_event *event;
	const char *config_path;
	struct config *config; /* running: the file's, and what was changed since */
	struct config
		*file; /* as the file was at the last successful load; NULL: the same as `config` */
	struct nic *nic;
	sd_event_source *nic_source;
	struct renewer *renewer;
	struct interface **interfaces; /* in the order in which they were first wanted */
	size_t n_interfaces;
	struct totals_table totals;
	enum handover handover;
	bool multi_buffer;     /* sockets take frames of several buffers */
	struct server *server; /* NULL until it listens */
	struct keep *keep;     /* NULL: nothing outlives the process */
	uint64_t last_key;     /* that was given to something that is kept */
	uint64_t restarts;     /* of the process since `started`, with everything kept */
	struct status status;  /* the last snapshot */
	uint64_t started;      /* seconds since the epoch */
	uint64_t last_reload;
	bool last_reload_ok;
	bool ready;    /* the first plan has been acted on */
	bool stopping; /* consumers were told */
	uint64_t disconnects[DETACH_REASON_COUNT];
	uint64_t violations[VIOLATION_COUNT];
};

/*
 * Reads a config file: what can be run, also by the XDP program's tables. Returns 0 and the caller's `*ret`, or -errno with a
 * sentence, and a line in `report` for each thing that is wrong.
 */
int daemon_load_config(const char *path, struct config **ret, FILE *report, struct failure *why);

/* Takes the config over. Returns 0 or -errno with a sentence; ends with daemon_free() in any case. */
int daemon_init(struct daemon *daemon, sd_event *event, const char *config_path,
		struct config *config, struct failure *why);

/*
 * Takes up what another process left: interfaces with their programs, queues with their consumers, all counters. The
 * config that it ran is run again, and after that the file's, if that was changed meanwhile. The server is there.
 * Whatever can't be gone on with is ended, and whom it is about is told. Returns 0, or -errno and all begins anew.
 */
int daemon_adopt(struct daemon *daemon, struct store *store, const struct state *state);

/* [adopt.c] Tells all whose connections are left that they can't be gone on with, and why; they are disconnected then. */
void daemon_dismiss(struct store *store, const char *why);

/*
 * No frame is redirected any more, and every consumer is told that xdpd stops: they have a little time for the frames
 * that they have. daemon_stop() follows.
 */
void daemon_begin_stop(struct daemon *daemon);

/* Nobody is attached. */
bool daemon_is_idle(const struct daemon *daemon);

/* Ends every consumer, telling it that xdpd stops, every queue and every program. The server is still there. */
void daemon_stop(struct daemon *daemon);

/* After daemon_stop(), and when the server is gone. */
void daemon_free(struct daemon *daemon);

/*
 * Compares wanted with actual and acts. Whoever saw something change calls it. Returns 0, or -ENOMEM and nothing was
 * done.
 */
int daemon_reconcile(struct daemon *daemon);

/* Reads the file again and acts. Returns 0, or -errno and nothing changed; `report` [report.h] has the lines either way. */
int daemon_reload(struct daemon *daemon, FILE *report);

/* Changes the running config. Returns 0 or -errno with a sentence: -EEXIST, -ENOENT, -EINVAL. */
int daemon_add_queue(struct daemon *daemon, const char *device, const char *fragment,
		     struct failure *why);
int daemon_remove_queue(struct daemon *daemon, const char *device, const char *fragment,
			struct failure *why);

/* [adopt.c] Keeps an interface of the running config, as the plan would. */
void daemon_keep_interface(struct daemon *daemon, const struct config_interface *config);

/*
 * [adopt.c] Runs a config that is the file's, or the same with changes since; takes it over. Returns 0, or -ENOMEM and
 * the one before stays.
 */
int daemon_run_config(struct daemon *daemon, struct config *config, struct config *file);

struct interface *daemon_find_interface(const struct daemon *daemon, const char *name);

/* Says once what happened: to the log, to subscribers and to the consumers that it is about. */
__attribute__((format(printf, 4, 5))) void daemon_tell(struct daemon *daemon,
						       enum xdpd_event_kind kind,
						       struct log_context about, const char *format,
						       ...);

/* The config's settings of a queue differ from the file's. */
bool daemon_is_runtime(const struct daemon *daemon, const char *device, uint32_t queue);

/* A fresh snapshot, valid until the next call. Returns 0 or -ENOMEM. */
int daemon_snapshot(struct daemon *daemon, const struct status **ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A running xdpd in a test: started in the test's namespace, with its control socket and metrics in a folder
 * of its own below live_folder(). A failure of the daemon itself fails the test, with its log.
 *
 *     struct instance *daemon = instance_start("interfaces:\n"
 *                                              "  - name: near\n"
 *                                              "    queues: [{ id: 0 }]\n");
 *     ...
 *     assert_true(instance_metric(daemon, "xdpd_consumers") == 1);
 *     instance_stop(daemon);
 *
 * The programs are $XDPD and $XDPCTL, else $BUILD/xdpd and $BUILD/xdpctl; $BUILD is "build" if not set.
 */
#ifndef TESTS_LIVE_INSTANCE_H
#define TESTS_LIVE_INSTANCE_H

#include <sys/types.h>

#include "tests/live/child.h"
#include "tests/live/scrape.h"

struct instance;

/* The path of a built program: built("examples/xdpd-count"). Valid until the next call. */
const char *built(const char *name);

/*
 * Writes the config, `socket:` and `metrics:` put before `config`, starts xdpd and waits until it says
 * READY=1, at most 10 s. `how` may have uid, capabilities and environment; NULL: as the test.
 */
struct instance *instance_start(const char *config);
struct instance *instance_start_as(const char *config, const struct child_options *how);

/*
 * The same by a program that runs it, given by argv up to xdpd's own, NULL at the end: that is the child then. NULL:
 * xdpd itself. There is no service manager, unless the runner is one, and nothing is waited for.
 */
struct instance *instance_launch(const char *config, const char *const *runner);

/* After its death: another process, with the same config and paths, that takes up nothing. */
void instance_start_again(struct instance *instance);

/*
 * One that something else starts and ends, with these paths. It has no child; instance_kill() frees it and leaves alone
 * what runs.
 */
struct instance *instance_of_others(const char *config, const char *socket, const char *metrics);

/* For a start that shall fail: waits for the end, at most 10 s, and gives status and stderr. */
void instance_start_fails(const char *config, struct ran *ret);

/* Replaces the config file, for a reload. `instance_write_raw` writes the whole text as it is. */
void instance_write_config(struct instance *instance, const char *config);
void instance_write_raw(struct instance *instance, const char *text);

/* SIGHUP, and waits for RELOADING=1 and the READY=1 after it, which also a refused config ends with. */
void instance_reload(struct instance *instance);

/* Waits for a notification with this line, at most `timeout_ms`; false if none comes. */
bool instance_notifies(struct instance *instance, const char *line, int timeout_ms);

/* The text of the last STATUS= that was read; "" if none. */
const char *instance_status(const struct instance *instance);

pid_t instance_pid(const struct instance *instance);
struct child *instance_child(const struct instance *instance);
const char *instance_socket(const struct instance *instance);
const char *instance_metrics_socket(const struct instance *instance);
const char *instance_config(const struct instance *instance); /* the file's path */
const char *instance_folder(const struct instance *instance); /* its own, where those are */

/* All that it logged so far, to be freed. */
char *instance_log(const struct instance *instance);

/* Runs `xdpctl -s SOCKET ARGUMENTS...`, at most 10 s: instance_ctl(daemon, &ran, "status", "-j") */
#define instance_ctl(instance, ret, ...) \
	instance_run_ctl(instance, ret, 0, (const char *const[]){__VA_ARGS__, NULL})
#define instance_ctl_as(instance, ret, uid, ...) \
	instance_run_ctl(instance, ret, uid, (const char *const[]){__VA_ARGS__, NULL})

void instance_run_ctl(const struct instance *instance, struct ran *ret, uid_t uid,
		      const char *const *arguments);

/* The text of /metrics, to be freed; and one value of a fresh scrape, as metric_value(). */
char *instance_metrics(const struct instance *instance);

#define instance_metric(instance, ...) \
	instance_metric_sum(instance, (const char *const[]){__VA_ARGS__, NULL})

double instance_metric_sum(const struct instance *instance, const char *const *name_and_labels);

/* SIGTERM; it must exit with 0 within 5 s. Frees the instance. */
void instance_stop(struct instance *instance);

/* SIGKILL. Frees the instance. */
void instance_kill(struct instance *instance);

#endif

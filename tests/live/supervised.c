// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/supervised.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/live/harness.h"
#include "tests/live/unit.h"

#define PATIENCE 15000

static void status_path(const struct instance *daemon, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, "%s/supervisor", instance_folder(daemon));
}

/* Its status file has a place of its own in the instance's folder, whose name is known only when that is made. */
static struct instance *launch(const char *config)
{
	const struct rlimit no_cores = {};
	char supervisor[PATH_MAX];
	const char *const argv[] = {
		"/bin/sh",
		"-c",
		"exec \"$0\" --status-file \"${3%/*}/supervisor\" -- \"$1\" \"$2\" \"$3\"",
		supervisor,
		NULL,
	};

	(void)snprintf(supervisor, sizeof(supervisor), "%s", built("xdpd-supervise"));
	(void)setrlimit(RLIMIT_CORE, &no_cores);
	return instance_launch(config, argv);
}

struct supervised supervised_look(const struct instance *daemon)
{
	struct supervised look = {};
	cleanup_file FILE *file = NULL;
	char path[PATH_MAX];

	if (unit_is_meant())
		return unit_look();
	status_path(daemon, path);
	file = fopen(path, "re");
	/* It is there from the supervisor's first moments on. */
	if (file &&
	    fscanf(file,
		   "state: %15s pid: %d restarts: %" SCNu64 " fds: %" SCNu64 " refused: %" SCNu64,
		   look.state, &look.pid, &look.restarts, &look.fds, &look.refused) != 5)
		fail_msg("%s does not read as expected", path);
	return look;
}

static bool supervisor_is_gone(const struct instance *daemon)
{
	return !unit_is_meant() && !child_is_alive(instance_child(daemon));
}

void supervised_awaits(const struct instance *daemon, uint64_t restarts)
{
	struct supervised look;

	if (!wait_until((look = supervised_look(daemon),
			 !strcmp(look.state, "ready") && look.restarts >= restarts) ||
				supervisor_is_gone(daemon),
			PATIENCE) ||
	    strcmp(look.state, "ready") != 0)
		fail_msg("xdpd is `%s` after %" PRIu64 " restarts, instead of ready after %" PRIu64,
			 look.state, look.restarts, restarts);
	assert_int_equal(look.refused, 0);
}

struct instance *supervised_start(const char *config)
{
	struct instance *daemon = unit_is_meant() ? unit_start(config) : launch(config);

	supervised_awaits(daemon, 0);
	return daemon;
}

void supervised_restart(const struct instance *daemon)
{
	const uint64_t restarts = supervised_look(daemon).restarts;

	if (unit_is_meant()) {
		unit_restart();
		return;
	}
	assert_ok(child_signal(instance_child(daemon), SIGUSR1));
	supervised_awaits(daemon, restarts + 1);
}

void supervised_dies(const struct instance *daemon, int signal)
{
	const struct supervised before = supervised_look(daemon);

	assert_true(before.pid > 0);
	assert_int_equal(kill(before.pid, signal), 0);
	supervised_awaits(daemon, before.restarts + 1);
}

uint64_t supervised_stop(struct instance *daemon)
{
	const uint64_t begun = live_now_ms();
	struct supervised look;
	uint64_t took;

	if (unit_is_meant()) {
		unit_stop();
	} else {
		assert_ok(child_signal(instance_child(daemon), SIGTERM));
		assert_int_equal(child_wait(instance_child(daemon), PATIENCE), 0);
	}
	took = live_now_ms() - begun;
	look = supervised_look(daemon);
	assert_string_equal(look.state, "ended");
	assert_int_equal(look.fds, 0);
	instance_kill(daemon);
	return took;
}

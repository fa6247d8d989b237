// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "tests/live/harness.h"

#define SERVICE	   "xdpd.service"
#define SYSTEMD	   "org.freedesktop.systemd1"
#define PATH	   "/org/freedesktop/systemd1/unit/xdpd_2eservice"
#define DROP_INS   "/run/systemd/system/" SERVICE ".d"
#define TIMEOUT_MS 20000

bool unit_is_meant(void)
{
	return getenv("XDPD_UNIT") != NULL;
}

/* ---- orders ---- */

static void systemctl(const char *verb, const char *unit)
{
	const char *const argv[] = {"systemctl", verb, unit, NULL};
	cleanup_ran struct ran ran = {};

	assert_ok(child_run(&ran, &(struct child_options){.argv = argv}, TIMEOUT_MS));
	if (ran.status != 0)
		fail_msg("systemctl %s ends with %d: %s", verb, ran.status, ran.errors);
}

static void write_drop_in(void)
{
	cleanup_file FILE *file = NULL;

	if (mkdir(DROP_INS, 0755) < 0 && errno != EEXIST)
		fail_msg("%s: %s", DROP_INS, strerror(errno));
	file = fopen(DROP_INS "/test.conf", "we");
	if (!file ||
	    fprintf(file,
		    "[Unit]\nStartLimitIntervalSec=0\n"
		    "[Service]\nNetworkNamespacePath=/proc/%d/ns/net\n",
		    getpid()) < 0 ||
	    fflush(file) != 0)
		fail_msg("%s/test.conf: %s", DROP_INS, strerror(errno));
}

struct instance *unit_start(const char *config)
{
	struct instance *daemon = instance_of_others("/etc/xdpd/xdpd.yaml", "/run/xdpd/xdpd.sock",
						     "/run/xdpd/metrics.sock");

	instance_write_config(daemon, config);
	write_drop_in();
	systemctl("daemon-reload", NULL);
	systemctl("start", SERVICE);
	return daemon;
}

void unit_restart(void)
{
	systemctl("restart", SERVICE);
}

void unit_stop(void)
{
	systemctl("stop", SERVICE);
	(void)unlink(DROP_INS "/test.conf");
	systemctl("daemon-reload", NULL);
}

/* ---- looks ---- */

/* Straight to systemd, which needs no bus daemon, and takes less of the machine than a systemctl for each look. */
static sd_bus *bus(void)
{
	static sd_bus *bus;

	if (!bus) {
		assert_ok(sd_bus_new(&bus));
		assert_ok(sd_bus_set_address(bus, "unix:path=/run/systemd/private"));
		assert_ok(sd_bus_start(bus));
	}
	/* Signals come unasked here, and would pile up. */
	while (assert_ok(sd_bus_process(bus, NULL)) > 0)
		;
	return bus;
}

static void get(const char *interface, const char *property, char type, void *ret)
{
	assert_ok(sd_bus_get_property_trivial(bus(), SYSTEMD, PATH, interface, property, NULL, type,
					      ret));
}

static uint32_t get_number(const char *property)
{
	uint32_t number;

	get(SYSTEMD ".Service", property, 'u', &number);
	return number;
}

/* In the words of the supervisor. */
static void get_state(char ret[16])
{
	cleanup_free char *state = NULL;

	assert_ok(sd_bus_get_property_string(bus(), SYSTEMD, PATH, SYSTEMD ".Unit", "ActiveState",
					     NULL, &state));
	(void)snprintf(ret, 16, "%s",
		       !strcmp(state, "active")	    ? "ready"
		       : !strcmp(state, "inactive") ? "ended"
						    : state);
}

/* The state last: it is that of the process whose start the figures tell of, or of a later one. */
struct supervised unit_look(void)
{
	struct supervised look = {.pid = (pid_t)get_number("MainPID")};

	look.restarts = get_number("NRestarts");
	look.fds = get_number("NFileDescriptorStore");
	get(SYSTEMD ".Service", "ExecMainStartTimestampMonotonic", 't', &look.started_us);
	get(SYSTEMD ".Unit", "ActiveEnterTimestampMonotonic", 't', &look.ready_us);
	get_state(look.state);
	return look;
}

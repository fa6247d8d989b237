// SPDX-License-Identifier: BSD-2-Clause
/*
 * xdpd-restart: a consumer that kills the xdpd that it receives through, again and again, under xdpd-supervise. Tells how
 * long the next process took from its start to READY, and the longest time that no frame was in hand.
 */
#include <inttypes.h>

#include "client/xdpd.h"
#include "tests/bench/connect.h"

#define GIVE_UP	  10000000000 /* nanoseconds */
#define AFTERMATH 200000000   /* that the gap is looked for, after READY */

struct status {
	char state[16];
	int pid;
};

static struct histogram ready, gap;

static struct status read_status(const char *path)
{
	struct status status = {0};
	FILE *file = fopen(path, "re");

	/* It is replaced as a whole. */
	if (file) {
		(void)!fscanf(file, "state: %15s pid: %d", status.state, &status.pid);
		(void)fclose(file);
	}
	return status;
}

/* Takes what has arrived; returns how long there had been nothing, when the first of it came. */
static uint64_t take_frames(struct xdpd *x, uint64_t *last)
{
	const struct xdp_desc *frames;
	uint32_t n = xdpd_rx_peek(x, &frames, BURST);
	uint64_t now, without;

	if (!n) {
		int r = xdpd_wait(x, 1);

		if (r < 0)
			receiver_die(xdpd_reason(x), r);
		return 0;
	}
	xdpd_rx_done(x, n);
	now = clock_now();
	without = now - *last;
	*last = now;
	return without;
}

static void receive_for(struct xdpd *x, uint64_t nanoseconds)
{
	const uint64_t begun = clock_now();
	uint64_t last = begun;

	while (clock_now() - begun < nanoseconds)
		(void)take_frames(x, &last);
}

static void kill_once(struct xdpd *x, const char *path)
{
	const struct status before = read_status(path);
	uint64_t last, looked, begun, started = 0, up = 0, longest = 0;

	if (before.pid <= 0)
		receiver_die("the supervisor's file does not tell the pid", 0);
	begun = looked = last = clock_now();
	(void)kill(before.pid, SIGKILL);
	while (!up || clock_now() - up < AFTERMATH) {
		const uint64_t without = take_frames(x, &last);
		const uint64_t now = clock_now();
		struct status status;

		if (longest < without)
			longest = without;
		if (now - begun > GIVE_UP)
			receiver_die("xdpd does not come back", 0);
		if (up || now - looked < 200000)
			continue;
		looked = now;
		status = read_status(path);
		if (!started && status.pid > 0 && status.pid != before.pid)
			started = now;
		if (started && !strcmp(status.state, "ready"))
			up = now;
	}
	histogram_add(&ready, up - started);
	histogram_add(&gap, longest);
}

int main(int argc, char **argv)
{
	const struct connect_options options = connect_options(argc, argv);
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, options.socket, "bench");

	if (r < 0)
		receiver_die("can't connect to xdpd", r);
	r = xdpd_attach(x, options.device, 0, NULL);
	if (r < 0)
		receiver_die(xdpd_reason(x), r);
	receive_for(x, AFTERMATH);
	for (unsigned int i = 0; i < options.times; i++)
		kill_once(x, options.status);
	histogram_print(&ready, "ready");
	histogram_print(&gap, "gap");
	(void)xdpd_close(x);
	return 0;
}

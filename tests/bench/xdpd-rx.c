// SPDX-License-Identifier: BSD-2-Clause
/* xdpd-rx: receives queue 0 of a device through xdpd, exclusive or shared, flat out. */
#include "tests/bench/attach.h"
#include "tests/bench/loop.h"

static inline uint32_t take_burst(struct receiver *receiver, struct xdpd *x)
{
	return receiver->unread ? xdpd_unread_burst(receiver, x) : xdpd_peek_burst(receiver, x);
}

int main(int argc, char **argv)
{
	struct receiver receiver = receiver_begin(argc, argv);
	struct xdpd *x = receiver_attach(&receiver, 0);
	struct xdpd_stats stats = {.size = sizeof(stats)};

	receiver_ready();
	while (!receiver_stopped)
		if (!take_burst(&receiver, x) && receiver.waits)
			(void)xdpd_wait(x, WAIT_MS);
	if (xdpd_stats(x, &stats) == 0)
		(void)printf("overrun %llu\n", (unsigned long long)stats.overrun);
	(void)xdpd_close(x);
	return receiver_end(&receiver);
}

// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/witness.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/xdpd.h"
#include "tests/live/child.h"
#include "tests/live/harness.h"
#include "tests/live/instance.h"
#include "tests/live/packet.h"
#include "tests/live/traffic.h"

#define BURST	   64
#define PORT	   7000 /* of the first flow */
#define PORT_AT	   34
#define PAYLOAD_AT (PACKET_UDP_PAYLOAD + sizeof(uint64_t))
#define SILENCE_US 2000	 /* that is worth a note */
#define SILENCES   64	 /* that are kept */
#define GLANCE	   20	 /* milliseconds after which a sleeping witness looks for new orders */
#define PATIENCE   30000 /* milliseconds for what shall come */

/* What test and witness share. */
struct desk {
	struct witness_options options;
	char socket[108];
	char name[XDPD_NAME_MAX];
	int attached; /* 0: not yet; 1; or -errno */
	int stop;
	uint32_t judge, judging; /* the session that is wanted, and that is under way; 0: none */
	uint32_t sessions;
	struct witness_report report;
	uint64_t heard_us;			   /* when the last frames came */
	struct witness_silence silences[SILENCES]; /* the latest, in turn */
	uint32_t n_silences;
};

struct witness {
	struct child *child;
	struct desk *desk;
};

static void make_frame(uint8_t frame[WITNESS_LENGTH])
{
	packet_udp(frame, WITNESS_LENGTH, &(struct packet_udp){.source_port = PORT});
	for (size_t i = PAYLOAD_AT; i < WITNESS_LENGTH; i++)
		frame[i] = (uint8_t)(i * 11 + (i >> 7));
}

struct traffic *witness_traffic_from(int cpu, const char *device, uint64_t rate)
{
	uint8_t frame[WITNESS_LENGTH];
	struct traffic *traffic = NULL;

	make_frame(frame);
	assert_ok(traffic_start(&traffic, &(struct traffic_options){.device = device,
								    .cpu = cpu,
								    .frame = frame,
								    .length = sizeof(frame),
								    .rate = rate,
								    .number_at = PACKET_UDP_PAYLOAD,
								    .flows = WITNESS_FLOWS}));
	return traffic;
}

struct traffic *witness_traffic(const char *device, uint64_t rate)
{
	return witness_traffic_from(0, device, rate);
}

/* ---- in the witness's process ---- */

struct eye {
	struct desk *desk;
	struct xdpd *x;
	struct witness_report report;
	uint8_t whole[WITNESS_LENGTH];
	uint64_t next[WITNESS_FLOWS]; /* the number that is due; 0: any */
};

static bool is_whole(const struct eye *eye, const uint8_t *frame, uint32_t length)
{
	const uint8_t *whole = eye->whole;
	const size_t behind_port = PORT_AT + 2;

	return length == WITNESS_LENGTH && !memcmp(frame, whole, PORT_AT) &&
	       !memcmp(frame + behind_port, whole + behind_port,
		       PACKET_UDP_PAYLOAD - behind_port) &&
	       !memcmp(frame + PAYLOAD_AT, whole + PAYLOAD_AT, WITNESS_LENGTH - PAYLOAD_AT);
}

static void look_at(struct eye *eye, const uint8_t *frame, uint32_t length, bool judging)
{
	struct witness_report *report = &eye->report;
	const uint32_t port = (uint32_t)frame[PORT_AT] << 8 | frame[PORT_AT + 1];
	uint64_t number, flow, *next;

	if (!is_whole(eye, frame, length)) {
		report->damaged++;
		return;
	}
	memcpy(&number, frame + PACKET_UDP_PAYLOAD, sizeof(number));
	number = be64toh(number);
	flow = number % WITNESS_FLOWS;
	next = &eye->next[flow];
	if (port != PORT + flow || number < *next) {
		report->strange++;
		return;
	}
	if (judging && *next)
		report->missed += (number - *next) / WITNESS_FLOWS;
	*next = number + WITNESS_FLOWS;
	if (number > report->last)
		report->last = number;
}

static void publish(struct eye *eye)
{
	struct xdpd_stats stats = {.size = sizeof(stats)};

	if (xdpd_stats(eye->x, &stats) == 0)
		eye->report.overrun = stats.overrun;
	eye->desk->report = eye->report;
}

/* With nothing left from before, all that comes now is judged. What flows were gives way to what they are. */
static void begin_to_judge(struct eye *eye)
{
	struct desk *desk = eye->desk;
	const uint32_t judge = __atomic_load_n(&desk->judge, __ATOMIC_ACQUIRE);

	if (!judge || judge == desk->judging)
		return;
	memset(eye->next, 0, sizeof(eye->next));
	__atomic_store_n(&desk->judging, judge, __ATOMIC_RELEASE);
}

/* Notes are whole before `heard_us` tells of them. */
static void hear(struct desk *desk)
{
	const uint64_t now = live_now_us();

	if (desk->heard_us && now - desk->heard_us > SILENCE_US)
		desk->silences[desk->n_silences++ % SILENCES] =
			(struct witness_silence){.from_us = desk->heard_us, .until_us = now};
	__atomic_store_n(&desk->heard_us, now, __ATOMIC_RELEASE);
}

static void watch(struct eye *eye)
{
	struct desk *desk = eye->desk;
	struct xdp_desc frames[BURST];
	uint32_t count;
	bool judging;
	int r;

	while (!__atomic_load_n(&desk->stop, __ATOMIC_ACQUIRE)) {
		count = xdpd_rx(eye->x, frames, BURST);
		/* Asked after the frames were taken: they are older than what is pardoned next. */
		judging = __atomic_load_n(&desk->judge, __ATOMIC_ACQUIRE) != 0;
		for (uint32_t i = 0; i < count; i++)
			look_at(eye, xdpd_frame(eye->x, frames[i].addr), frames[i].len, judging);
		xdpd_release(eye->x, frames, count);
		eye->report.packets += count;
		if (count) {
			hear(desk);
			continue;
		}
		begin_to_judge(eye);
		publish(eye);
		r = xdpd_wait(eye->x, GLANCE);
		if (r < 0 && r != -EINTR) {
			eye->report.ended = r;
			(void)snprintf(eye->report.reason, sizeof(eye->report.reason), "%s",
				       xdpd_reason(eye->x));
			break;
		}
	}
	publish(eye);
}

static int run(void *argument)
{
	struct desk *desk = argument;
	struct eye eye = {.desk = desk};
	const struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = desk->options.tap ? XDPD_ATTACH_TAP : XDPD_ATTACH_HOLD,
		.timeout_ms = PATIENCE,
		.group = desk->options.group,
	};
	int r = xdpd_connect(&eye.x, desk->socket, desk->name);

	make_frame(eye.whole);
	if (r == 0)
		r = xdpd_attach(eye.x, desk->options.device, 0, &options);
	__atomic_store_n(&desk->attached, r < 0 ? r : 1, __ATOMIC_RELEASE);
	if (r == 0)
		watch(&eye);
	xdpd_close(eye.x);
	return r < 0;
}

/* ---- in the test's ---- */

struct witness *witness_start(const struct witness_options *options)
{
	struct witness *witness = calloc(1, sizeof(*witness));
	struct desk *desk = live_shared(sizeof(*desk));

	assert_non_null(witness);
	desk->options = *options;
	if (!desk->options.device)
		desk->options.device = "near";
	(void)snprintf(desk->socket, sizeof(desk->socket), "%s",
		       instance_socket(options->instance));
	(void)snprintf(desk->name, sizeof(desk->name), "witness-%.16s", options->group);
	witness->desk = desk;
	assert_ok(child_start(
		&witness->child,
		&(struct child_options){.call = run, .argument = desk, .uid = CHILD_NOBODY}));
	assert_becomes(__atomic_load_n(&desk->attached, __ATOMIC_ACQUIRE), PATIENCE);
	assert_ok(desk->attached);
	return witness;
}

void witness_judge(struct witness *witness)
{
	struct desk *desk = witness->desk;
	const uint32_t session = ++desk->sessions;

	__atomic_store_n(&desk->judge, session, __ATOMIC_RELEASE);
	assert_becomes(__atomic_load_n(&desk->judging, __ATOMIC_ACQUIRE) == session, PATIENCE);
}

void witness_pardon(struct witness *witness)
{
	__atomic_store_n(&witness->desk->judge, 0, __ATOMIC_RELEASE);
}

struct witness_report witness_report(const struct witness *witness)
{
	return witness->desk->report;
}

struct witness_silence witness_silence(const struct witness *witness, uint64_t since_us)
{
	const struct desk *desk = witness->desk;
	const uint64_t now = live_now_us();
	struct witness_silence longest = {};

	assert_becomes(__atomic_load_n(&desk->heard_us, __ATOMIC_ACQUIRE) > now, PATIENCE);
	for (int i = 0; i < SILENCES; i++) {
		const struct witness_silence *silence = &desk->silences[i];

		if (silence->until_us > since_us &&
		    silence->until_us - silence->from_us > longest.until_us - longest.from_us)
			longest = *silence;
	}
	return longest;
}

struct witness_report witness_stop(struct witness *witness)
{
	struct witness_report report;

	__atomic_store_n(&witness->desk->stop, 1, __ATOMIC_RELEASE);
	assert_int_equal(child_wait(witness->child, PATIENCE), 0);
	report = witness->desk->report;
	if (report.ended)
		fail_msg("the witness in `%s` ended: %s: %s", witness->desk->options.group,
			 strerror(-report.ended), report.reason);
	witness->child = child_end(witness->child);
	munmap(witness->desk, sizeof(*witness->desk));
	free(witness);
	return report;
}

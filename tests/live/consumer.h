/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A consumer in a process of its own, on libxdpd, without rights: what it received is checked frame by frame and
 * told through shared memory, while it runs and after its end.
 *
 *     struct consumer *consumer = consumer_start(&(struct consumer_options){
 *             .instance = daemon, .device = "near", .length = 512, .count = 1000});
 *     ...send...
 *     consumer_awaits(consumer, 1000);
 *     struct consumer_report report = consumer_stop(consumer);
 *
 * All functions but consumer_frame() fail the test when something is not as it should be.
 */
#ifndef TESTS_LIVE_CONSUMER_H
#define TESTS_LIVE_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/xdpd_protocol.h"

struct instance;

/* How it sleeps, and whose ring code it uses. */
enum consumer_way {
	CONSUMER_BY_WAIT,  /* xdpd_wait() */
	CONSUMER_BY_EPOLL, /* xdpd_fd() in an epoll set */
	CONSUMER_BY_RAW,   /* xdpd_raw(): ring code of its own, poll() on the socket */
};

/* What it does; can be changed while it runs. */
enum consumer_task {
	CONSUMER_RECEIVES,
	CONSUMER_HOLDS,	   /* takes frames and keeps them */
	CONSUMER_SLEEPS,   /* does not look at its rings */
	CONSUMER_REFLECTS, /* sends what it receives back as it is */
	CONSUMER_SENDS,	   /* sends `to_send` frames, then receives */
	CONSUMER_DAWDLES,  /* receives, with a rest of a millisecond after each burst */
};

struct consumer_options {
	const struct instance *instance;
	const char *device;
	uint32_t queue;
	const char *name; /* NULL: "consumer" */
	uid_t uid;	  /* 0: CHILD_NOBODY */
	bool transmit;
	enum consumer_way way;
	enum consumer_task task;
	size_t length;	   /* of each frame as of consumer_frame(); 0: frames are only counted */
	uint32_t headroom; /* that is kept free before each */
	uint64_t first, count; /* the numbers that shall arrive */
	uint64_t to_send;      /* frames of `length`, numbered from 0 on */
	uint32_t burst;	       /* that it sends at once */
	int32_t reattach_ms;   /* of xdpd_attach_options; not for CONSUMER_BY_RAW */

	/* of shared delivery */
	const char *group;    /* NULL: its own name */
	uint32_t flags;	      /* XDPD_ATTACH_HOLD or XDPD_ATTACH_TAP */
	uint32_t snap_length; /* of a tap */
	uint32_t flows;	      /* that the frames with numbers go round, as by consumer_flows(); 0: one */
	bool labels;	      /* the frames, of any kind, end in a label, see flow.h */
};

struct consumer_report {
	uint64_t packets, bytes;
	uint64_t seen, again, strange, backwards; /* as in struct numbers */
	uint64_t damaged; /* not as consumer_frame() makes them, or misplaced in their frame */
	uint64_t sent, sent_bytes;
	uint32_t frames; /* of the UMEM */
	uint32_t
		settled; /* of them in the fill ring or with the program, when it last had nothing to do */
	uint32_t may_transmit;
	uint32_t events; /* 1 << enum xdpd_event_kind */
	uint64_t overrun; /* of a tap, as it last looked */
	uint32_t reattached; /* how often */
	int ended;	 /* why it ended by itself, -errno; 0: it was told to */
	int transmit_error;
	char reason[XDPD_REASON_MAX];
	uint32_t uid;
	uint64_t capabilities; /* effective */
};

/* A frame of at least 50 bytes, recognisable to the last one, with its number at PACKET_UDP_PAYLOAD. */
void consumer_frame(void *frame, size_t length, uint64_t number);

/* A queue that nobody may transmit on can't be had: where sockets are handed over unbound (Linux 6.1). */
bool receive_only_is_refused(const struct instance *daemon);

#define require_receive_only(daemon)               \
	require(!receive_only_is_refused(daemon), \
		"an unbound socket can't be kept from transmitting, and this kernel hands over no other")

/* Is it one, but for the number? */
bool consumer_frame_is_whole(const void *frame, size_t length);

/*
 * What comes in at `far`, of packet_open(), are frames [first, first + count), once, whole and in their order, and no
 * others.
 */
void consumer_frames_arrive(int far, size_t length, uint64_t first, uint64_t count);

/* Starts sending `count` such frames, as traffic_start(). */
struct traffic;
struct traffic *consumer_traffic(const char *device, int cpu, size_t length, uint64_t first,
				 uint64_t count, uint64_t rate);

/* The same, in as many flows: number N has source port N % flows more than the others. */
struct traffic *consumer_flows(const char *device, int cpu, size_t length, uint32_t flows,
			       uint64_t first, uint64_t count, uint64_t rate);

struct consumer;

/* Returns when it is attached. It has neither uid 0 nor capabilities. */
struct consumer *consumer_start(const struct consumer_options *options);

/* Starts one that shall be refused with `code` and a sentence that has `text` in it. */
void consumer_is_refused(const struct consumer_options *options, int code, const char *text);

pid_t consumer_pid(const struct consumer *consumer);

/* What is known so far; `packets` and `sent` never run ahead of the rest. */
struct consumer_report consumer_report(const struct consumer *consumer);

/* Frames of a flow, or with a label, that it has received; both below CONSUMER_FLOWS_MAX. */
uint64_t consumer_flow(const struct consumer *consumer, uint32_t flow);

#define CONSUMER_FLOWS_MAX 1024

/* SIGKILL; nothing of it is left. */
void consumer_kill(struct consumer *consumer);

/* SIGSTOP, SIGCONT. */
void consumer_signal(const struct consumer *consumer, int signal);

/* Waits until it has received, or sent, so many frames. */
void consumer_awaits(const struct consumer *consumer, uint64_t packets);
void consumer_awaits_sent(const struct consumer *consumer, uint64_t packets);

/* Waits until it has had an event of this kind. */
void consumer_awaits_event(const struct consumer *consumer, enum xdpd_event_kind kind);

/* Returns when it has begun with it. */
void consumer_turns_to(struct consumer *consumer, enum consumer_task task);

/* It detaches and ends; it must not have ended before. */
struct consumer_report consumer_stop(struct consumer *consumer);

/* Waits for it to end by itself, for a reason with this text in it. */
struct consumer_report consumer_ends(struct consumer *consumer, const char *text);

/* It got numbers [first, first + count) exactly once and whole, and nothing else. */
void consumer_got_all(const struct consumer_report *report, uint64_t count);

#endif

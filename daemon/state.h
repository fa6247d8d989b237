/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a daemon leaves to the one that comes after it, besides the fds themselves [store.h]: what each of them is, and
 * what they do not tell. In a memfd of its own, written anew whenever something of it changes, and readable at any
 * instruction between.
 *
 *     | slot A | slot B |   records of one   |      | records of the other |      [state_format.h]
 *        `- generation, version, where its records are, checksums
 *
 * The slots are written in turn, and what counts stays as it is until what replaces it is complete. Whichever slot is
 * whole (its checksums say so) and of the greater generation counts. A record says its own length: a reader takes what
 * it knows of it, and what an older writer did not have reads 0, so within a version records grow at the end only.
 * Records of an unknown kind are passed over. A state of a greater version is refused.
 *
 * The reader trusts nothing: any bytes give a state that is sound in itself (texts terminated, counts within their
 * limits, enumerations in range), or -EBADMSG. Whether it is true of the fds is for whoever adopts them to check.
 *
 * All structs are fixed in width and free of padding; texts of fixed size are terminated.
 */
#ifndef DAEMON_STATE_H
#define DAEMON_STATE_H

#include <stddef.h>
#include <stdint.h>

#include <linux/if_xdp.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"
#include "daemon/status.h"

#define STATE_VERSION 1

/* More than the largest config and all of its consumers need. */
#define STATE_SIZE_MAX (256u << 20)

struct saved_daemon {
	uint64_t started; /* seconds since the epoch: of the first one */
	uint64_t restarts;
	uint64_t last_reload;
	uint64_t last_reload_ok;
	uint64_t
		last_key; /* that was given; they are names of fds. In what is read no key is above it */
	/* What is added goes before these, which have records of their own: enumerations grow. */
	uint64_t disconnects[DETACH_REASON_COUNT];
	uint64_t violations[VIOLATION_COUNT];
	uint64_t requests[REQUEST_COUNT];
	uint64_t request_failures[REQUEST_COUNT];
};

struct saved_counter {
	uint64_t packets, bytes;
};

struct saved_interface {
	char device[XDPD_DEVICE_MAX];
	uint64_t key;
	uint32_t ifindex;
	uint32_t slots; /* queues that its maps are made for; 0: no program is attached */
	uint32_t mode;	/* enum xdpd_xdp_mode */
	uint32_t multi_buffer;
	uint32_t program_id;
	uint32_t bank; /* that its rules count in */
	uint32_t steered;
	uint32_t counting;
	struct saved_counter retired, plain;	     /* as in struct rules */
	char groups[XDPD_GROUPS_MAX][XDPD_NAME_MAX]; /* by bit */
	uint64_t changes[INTERFACE_CHANGE_COUNT];    /* stays the last: the enumeration grows */
};

/* A rule in force, in the order of the rules; belongs to the interface before it. */
struct saved_rule {
	uint32_t rule; /* its place; XDPD_RULES_MAX: the default */
	uint32_t action;
	struct saved_counter sum;
	char match[XDPD_REASON_MAX * 4];
	char groups[XDPD_REASON_MAX];
};

/* Of a queue that was ever counted, there or not. */
struct saved_totals {
	char device[XDPD_DEVICE_MAX];
	uint32_t queue;
	uint32_t zero;
	uint64_t receive_packets, transmit_packets, transmit_bytes;
	struct xdp_statistics statistics;
	struct saved_counter
		verdicts[XDPD_VERDICT_COUNT]; /* stays the last: the enumeration grows */
};

/* An open one: it has a UMEM and a socket. */
struct saved_queue {
	char device[XDPD_DEVICE_MAX];
	uint64_t key;
	uint32_t queue;
	uint32_t delivery; /* enum xdpd_delivery */
	uint32_t frames, frame_size, headroom;
	uint32_t rx, tx, fill, completion; /* entries; tx 0: there is no TX ring */
	uint32_t receive_frames, filled;
	uint32_t bind_mode; /* enum xdpd_bind_mode */
	uint32_t counting;
	uint32_t seen_received, seen_transmitted;
	uint32_t writable;
	uint64_t seen_bytes, unclaimed_packets, socket_packets;

	/* shared delivery */
	uint64_t generation;
	uint32_t epoch;
	uint32_t capacity; /* of the program's record; 0: the socket is not in its slot */
	uint32_t groups, marks;
	uint64_t bursts, packets, busy_ns, idle_ns, sleeps,
		unclaimed; /* of workers that have ended */
	uint64_t transmitted_packets, transmitted_bytes, violations;
};

/* A group of the shared queue before it. */
struct saved_group {
	char name[XDPD_NAME_MAX];
	uint32_t bit;
	uint32_t zero;
	uint64_t receive_packets, receive_bytes, dropped_ring_full, dropped_quota, overrun;
	uint64_t transmit_packets, transmit_bytes;
};

/* A running attachment to the queue before it. */
struct saved_consumer {
	char name[XDPD_NAME_MAX];
	uint64_t key;
	uint32_t uid, pid;
	uint32_t transmit;
	uint32_t subscribed;
	uint64_t attached;
	uint64_t receive_bytes_before, transmit_packets_before, transmit_bytes_before;

	/* shared delivery */
	char group[XDPD_NAME_MAX];
	uint32_t slot;
	uint32_t tap;
	uint64_t member_key;
	uint64_t overrun;
	uint32_t place; /* of its member in the ledger */

	uint32_t starting; /* id of its READY, which may not have been answered; 0: it was */
};

/*
 * Everything, in arrays. What belongs to the one before it says by `parent` which that is: an index into the
 * interfaces or queues, sorted.
 */
struct state {
	struct saved_daemon daemon;
	char *running; /* the running config's text, terminated; NULL: none was left */
	char *file;    /* the file's at its last load; NULL: the same */
	struct saved_interface *interfaces;
	size_t n_interfaces;
	struct saved_rule *rules;
	uint32_t *rule_parents;
	size_t n_rules;
	struct saved_totals *totals;
	size_t n_totals;
	struct saved_queue *queues;
	size_t n_queues;
	struct saved_group *groups;
	uint32_t *group_parents;
	size_t n_groups;
	struct saved_consumer *consumers;
	uint32_t *consumer_parents;
	size_t n_consumers;
};

/* The memfd that it is written to. Never mapped: what is cut short or has no memory is an errno, not a SIGBUS. */
struct state_file {
	int fd; /* -1: none */
	uint64_t size;
	uint64_t generation;	 /* the greatest in it; 0: nothing was written yet */
	unsigned int slot;	 /* that counts: the other is written next */
	uint64_t offset, length; /* of its records */
	unsigned char *records;	 /* the last that were written: memory for the next */
	size_t capacity;
};

#define STATE_FILE_NONE ((struct state_file){.fd = -1})

/* A fresh one with nothing in it. Ends with state_file_close(). Returns 0 or -errno: -ENOMEM, -EMFILE. */
int state_file_create(struct state_file *ret);

/*
 * One that was left: takes the fd over (it is closed if this fails), which may be any fd. Returns 0 or -errno: -EBADMSG
 * (not a memfd of this kind, or sealed), -ENOMEM. What is in it is for state_read() to judge.
 */
int state_file_open(struct state_file *ret, int fd);

/* For a STATE_FILE_NONE too; leaves one. */
void state_file_close(struct state_file *file);

/*
 * Replaces what is in it. Returns 0, or -errno and it is as it was: -ENOMEM, -EFBIG (more than STATE_SIZE_MAX), -EINVAL
 * (parents that are not sorted). It grows and shrinks as need be; allocates nothing where the last state was as large.
 */
int state_write(struct state_file *file, const struct state *state);

/*
 * Reads it: `ret` is the caller's, who ends it with state_clear(). Returns 0 or -errno: -ENODATA (nothing was ever
 * written), -EBADMSG (no slot is whole, or what is in it makes no sense), -EPROTONOSUPPORT (a newer version's), -ENOMEM.
 */
int state_read(const struct state_file *file, struct state *ret);

/* From records, which may be any bytes: what state_read() does with those of a slot that is whole. */
int state_decode(const unsigned char *bytes, size_t length, struct state *ret);

/* Leaves an empty one. */
void state_clear(struct state *state);

#endif

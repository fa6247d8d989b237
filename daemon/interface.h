/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interface that the config names, there or not: its link as last seen, xdpd's XDP program on it, and the
 * queues that are wanted of it.
 */
#ifndef DAEMON_INTERFACE_H
#define DAEMON_INTERFACE_H

#include "config/config.h"
#include "daemon/failure.h"
#include "daemon/nic.h"
#include "daemon/queue.h"
#include "daemon/redirect.h"
#include "daemon/rules.h"
#include "daemon/status.h"

struct daemon;

struct interface {
	struct daemon *daemon;
	char name[XDPD_DEVICE_MAX];
	uint64_t key;			       /* of its program in the store; 0: it is not there */
	const struct config_interface *config; /* of the running config */
	struct nic_link link;
	struct nic_details details;
	struct redirect *redirect; /* NULL: no program attached */
	struct failure why;	   /* why not; text empty: no reason */
	bool lost;		   /* somebody took the program off, or replaced it */
	char displaced[XDPD_REASON_MAX]; /* what was there before it, since the config; empty: nothing */
	/*
	 * Grows when something about the interface changed that may let succeed what failed before. What failed is
	 * left alone until then: an attempt can itself reset the link, and be the next change.
	 */
	uint64_t generation;
	uint64_t failed_generation; /* of the attempt to attach the program; 0: it did not fail */
	sd_event_source *look;	    /* while there is a program, xdpd's or another that is in the way */
	struct queue **queues;	    /* sorted by id */
	size_t n_queues;
	/*
	 * The groups that the config names, by the bit that each has in rules and marks, for as long as the config names
	 * it. They take theirs from the bottom; those that are made by attaching, on a queue each, from the top.
	 */
	char groups[XDPD_GROUPS_MAX][XDPD_NAME_MAX];
	struct rules rules;
	bool settling, unsettled; /* interface_settle() is under way; and has to look again */
	bool seen;		  /* it was looked at before: what differs has changed */
	uint64_t changes[INTERFACE_CHANGE_COUNT];
};

/* Owned by the daemon, ends with interface_free(). NULL: no memory. */
struct interface *interface_new(struct daemon *daemon, const struct config_interface *config);

/* Ends its queues and program, telling consumers `reason`. NULL is fine. Returns NULL. */
struct interface *interface_free(struct interface *interface, enum detach_reason reason);

/* Asks the kernel about it anew; events tell what changed. */
void interface_refresh(struct interface *interface);

/* The attempt to attach the program failed, and nothing has changed since. */
bool interface_is_hopeless(const struct interface *interface);

/* Returns 0 or -errno; then `why` has the sentence, and the queues can't be opened. */
int interface_attach_program(struct interface *interface);

/* The program was lost, and to try to get its place back may succeed now. */
bool interface_may_restore(const struct interface *interface);

/* Attaches the lost program again, with its queues as they are. Returns as interface_attach_program(). */
int interface_restore_program(struct interface *interface);

/* The queue's socket was unbound with the interface, which has been away, perhaps unnoticed. */
bool interface_killed(const struct queue *queue);

/* What the program counted goes into the totals. */
void interface_detach_program(struct interface *interface);

/* The config that it is kept with is another now: groups get their bits, and its rules are wanted. */
void interface_adopt_config(struct interface *interface, const struct config_interface *config);

/* The bit of a group that the config names. */
uint32_t interface_group_bit(const struct interface *interface, const char *name);

/*
 * Goes on until all workers and the program agree on members, groups and rules. Called when one of them has changed,
 * and when a worker has news.
 */
void interface_settle(struct interface *interface);

struct saved_interface;
struct saved_rule;

void interface_save(const struct interface *interface, struct saved_interface *ret);

/*
 * Takes up what another process left, of an interface that was just made and refreshed: its groups' bits, its rules, and
 * the program, whose fds are in the order of enum redirect_part (closed if this fails). Returns 0 or -errno: then there
 * is no program, and it is attached anew.
 */
int interface_adopt(struct interface *interface, const struct saved_interface *saved,
		    const struct saved_rule *rules, size_t n_rules, int fds[REDIRECT_PARTS]);

struct queue *interface_find_queue(const struct interface *interface, uint32_t id);

/* Returns 0 or -ENOMEM. */
int interface_add_queue(struct interface *interface, uint32_t id,
			const struct config_queue *settings);

void interface_remove_queue(struct interface *interface, uint32_t id, enum detach_reason reason);

/* Says in a waiting queue's `why` what it waits for, as the interface is now. */
void interface_explain_waiting(const struct interface *interface, struct queue *queue);

/* All that its programs have counted, on any channel, from the daemon's start to the last redirect_read_counters(). */
struct xdpd_bpf_counter interface_frames_seen(const struct interface *interface);

void interface_describe(const struct interface *interface, struct xdpd_interface_record *ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the operator wants: YAML text -> an immutable `struct config`.
 *
 * Nothing here touches the kernel's network state, so `--check` works on any machine; only user and group
 * names are looked up. No function logs. A parsed config never changes: a change at run time is made by
 * editing the text (config_text_add_queue(), which keeps comments) and parsing the result, so that the file,
 * `add-queue`, `add-queue --save` and reload all pass through the one parser and its checks.
 *
 * Names that were found are kept for the life of the process: config_load() looks up all of its names anew,
 * config_parse() and config_text_*() only those that are not known, so that a change at run time does not
 * depend on names that it is not about. Only one thread may parse.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "client/xdpd_protocol.h"

#define CONFIG_DEFAULT_PATH "/etc/xdpd/xdpd.yaml"
#define CONFIG_QUEUE_MAX    4096 /* queue ids are below it */

/* Users and groups by name or number; `*` in the config makes it `anyone`. */
struct access_list {
	bool anyone;
	uid_t *uids;
	size_t n_uids;
	gid_t *gids;
	size_t n_gids;
};

/*
 * A queue's own `attach` with users or groups replaces both lists of `access.attach`, the one that it does not
 * give by nobody; without either it has them. `transmit` is `access.attach`'s unless given.
 */
struct attach_access {
	struct access_list who;
	bool transmit; /* those who may attach may also transmit */
};

struct ring_sizes {
	uint32_t rx, tx, fill, completion; /* entries, powers of two */
};

/* A queue's thread, with shared delivery. All of it can change while it runs. */
struct config_worker {
	int cpu; /* that it runs on; -1: any */
	uint32_t spin_usecs; /* how long it looks for work before it sleeps */
	uint32_t busy_poll;  /* frames that the driver may be polled for at once [SO_BUSY_POLL_BUDGET]; 0: never */
	int scheduler;	     /* SCHED_OTHER, SCHED_BATCH, SCHED_FIFO or SCHED_RR [sched.h] */
	int priority;	     /* 1 to 99 with FIFO and RR, else 0 */
};

struct config_queue {
	uint32_t id;
	enum xdpd_delivery delivery;
	enum xdpd_bind_mode
		bind; /* AUTO, ZERO_COPY or COPY: the queue's own, else the interface's */
	uint32_t frames;
	uint32_t frame_size; /* bytes: 2048 or 4096 */
	uint32_t headroom;   /* bytes */
	struct ring_sizes rings;
	/*
	 * How a consumer gets the socket where the kernel can't map the rings of a bound one (Linux 6.1): AUTO hands
	 * it over before the bind, but for a queue with `transmit: false`, which that can't promise and which is
	 * refused; BOUND refuses every queue there.
	 */
	enum config_handover { CONFIG_HANDOVER_AUTO, CONFIG_HANDOVER_BOUND } handover;
	struct attach_access attach;

	/* shared delivery */
	struct config_worker worker;
	bool writable; /* `umem: writable`: members trust each other */
};

/* A group of consumers on each of the interface's queues with shared delivery. */
struct config_group {
	char name[XDPD_NAME_MAX];
	enum xdpd_hold_mode mode; /* HOLD: members hold or tap; TAP: they may only tap */
	uint32_t quota;		  /* frames that a member may hold; 0: half of what can be lent */
	bool restricted; /* `attach` gives users or groups: they alone may join, else the queue's may */
	struct attach_access attach;
	bool transmit_given; /* `attach` says `transmit`, which then is not the queue's for members of the group */
};

/* Numbers that a field of the packet is compared with; none: it matches whatever it is. */
struct config_range {
	uint32_t first, last;
};

struct config_ranges {
	struct config_range *of; /* sorted, apart from each other */
	size_t n;
};

struct config_prefix {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t length; /* bits */
	uint8_t address[16]; /* network order, bits beyond the length 0; IPv4 in the first 4 bytes */
};

struct config_prefixes {
	struct config_prefix *of;
	size_t n;
};

/* What a frame has to have: all that is given; of a list, one. A frame without the field does not match. */
struct config_match {
	struct config_ranges ethertype; /* behind VLAN tags */
	struct config_ranges vlan;	/* id of the outer tag; an untagged frame has none */
	struct config_ranges proto;	/* of IPv4 and, behind extension headers, IPv6 */
	struct config_prefixes src, dst;
	struct config_ranges sport, dport; /* TCP, UDP, UDP-Lite, SCTP, DCCP. A fragment has none, also the first one, */
	struct config_ranges port; /* so that all of a datagram match alike. Either side */
	int fragment; /* 1: only fragments, 0: none of them, -1: all */
};

struct config_rule {
	struct config_match match; /* of the default: empty */
	enum xdpd_action action;
	bool all_groups; /* REDIRECT without `groups` */
	uint32_t groups; /* REDIRECT: bit i is config_interface.groups[i] */
	char *text;	 /* the match as in the config: `proto: tcp, port: 22`; "" if it is empty. Equal matches have equal text */
};

#define CONFIG_GROUPS_MAX 31 /* one more is left for consumers that name none */
#define CONFIG_RULES_MAX  64
#define CONFIG_LIST_MAX	  256 /* ranges or prefixes of one field of a match */

struct config_interface {
	char name[XDPD_DEVICE_MAX];
	enum xdpd_xdp_mode mode;     /* AUTO, NATIVE or GENERIC */
	enum xdpd_bind_mode bind;    /* AUTO, ZERO_COPY or COPY */
	struct config_queue *queues; /* one for each id, sorted by id */
	size_t n_queues;
	bool all; /* `id: all`: every channel that the interface has, as `all_queues` says (its id is unused) */
	struct config_queue all_queues;

	struct config_group *groups; /* in the order of the file */
	size_t n_groups;
	struct config_rule *rules; /* in the order of their evaluation */
	size_t n_rules;
	struct config_rule otherwise; /* `default:`; REDIRECT to all groups if not given */

	bool replace; /* another XDP program that is in the way is taken off */
};

struct config_metrics {
	bool on;
	struct sockaddr_storage address; /* AF_INET, AF_INET6 or AF_UNIX */
	socklen_t address_length;
	char text[sizeof(((struct sockaddr_un *)0)->sun_path) + 8]; /* as written */
};

struct config {
	char *source; /* the text that it was parsed from */
	char *socket_path;
	mode_t socket_mode;
	struct access_list admin;
	struct config_metrics metrics;
	struct config_interface *interfaces; /* in the order of the file */
	size_t n_interfaces;
};

/*
 * What is wrong with a text: any number of `FILE:LINE:COLUMN: sentence` lines, in the text's order, all of
 * them from one run. A line about the whole file has no LINE:COLUMN: `FILE: sentence`. Start with {}; end with
 * config_errors_clear().
 */
struct config_errors {
	char **lines;
	size_t n_lines;
};

void config_errors_clear(struct config_errors *errors);

/*
 * Parses `text` (any bytes; `name` stands for FILE in the errors). Returns 0 and sets `*ret`, which the
 * caller ends with config_free(); or -EINVAL with at least one line in `errors`; or -ENOMEM.
 */
int config_parse(const char *name, const char *text, size_t length, struct config **ret,
		 struct config_errors *errors);

/*
 * Reads and parses a file and looks up all of its names. An unreadable file is a line in `errors` too, and its
 * -errno is returned.
 */
int config_load(const char *path, struct config **ret, struct config_errors *errors);

/* NULL is fine. Returns NULL. */
struct config *config_free(struct config *config);

const struct config_interface *config_find_interface(const struct config *config, const char *name);

/* The settings that queue `id` of the interface shall have; NULL if it is not wanted. With `all`, any id is. */
const struct config_queue *config_find_queue(const struct config_interface *interface, uint32_t id);

/*
 * Equal but for who may attach and the worker, which can change without touching the socket (`transmit` can not).
 * `id` is not compared, as `all_queues` stands for any.
 */
bool config_queue_same_socket(const struct config_queue *a, const struct config_queue *b);

bool config_queue_equal(const struct config_queue *a, const struct config_queue *b);

/* The same rules in the same order, with groups of the same names. */
bool config_steering_equal(const struct config_interface *a, const struct config_interface *b);

/* All of the groups' settings, their names included. */
bool config_group_equal(const struct config_group *a, const struct config_group *b);

/* Equal groups, in whatever order. */
bool config_groups_equal(const struct config_interface *a, const struct config_interface *b);

/* NULL if the interface has no group of that name. */
const struct config_group *config_find_group(const struct config_interface *interface, const char *name);

/* Whether one with this uid and these groups is on the list. */
bool access_allows(const struct access_list *list, uid_t uid, const gid_t *gids, size_t n_gids);

/* Parses `3`, `0-3`, `[0, 2]`, `0,2,4-7` or `all`: sorted ids without duplicates, to be freed, or *all. */
int config_parse_ids(const char *text, uint32_t **ret_ids, size_t *ret_n, bool *ret_all);

/*
 * Writes one queue item into the text: `fragment` is YAML in flow style, `{ id: 3, frames: 8192 }`, or the
 * same without braces. The interface is added if it is not there. All else in the text, comments and layout
 * included, stays as it is to the byte. The result is parsed before it is returned (and not returned if it
 * is not what was asked for). Returns 0 and sets `*ret` (to be freed); -EEXIST when the queue is there
 * already, -EINVAL, each with a line in `errors`.
 */
int config_text_add_queue(const char *name, const char *text, const char *device,
			  const char *fragment, char **ret, struct config_errors *errors);

/*
 * Takes queue ids out of the text: from `id: 0-3` without 3 becomes `id: [0, 1, 2]`, an item left without ids
 * goes. `fragment` as above, only `id` is looked at. `channels` is how many queues the interface has now, for
 * `id: all`, which becomes a list of the others (0: not known, then that is an error). The interface itself
 * stays, with an empty list. Returns as above, -ENOENT when the queue is not there.
 */
int config_text_remove_queue(const char *name, const char *text, const char *device,
			     const char *fragment, uint32_t channels, char **ret,
			     struct config_errors *errors);

/*
 * Replaces the file by `text` atomically: a temporary file beside it, its mode and owner, fsync, rename,
 * fsync of the folder. Follows a symlink to the file that it names. Returns 0 or -errno, then nothing changed.
 */
int config_save(const char *path, const char *text);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XDP program of one interface, its link and its maps, with the interface's rules among them.
 *
 * The program is attached by a BPF link, so it goes when the daemon goes and nobody else replaces it by
 * accident. Needs CAP_BPF and CAP_NET_ADMIN. An XSKMAP can't be read from user space: who is in which slot is
 * what the caller has set. The map does not keep a socket alive; a socket's release clears its slot.
 */
#ifndef DAEMON_REDIRECT_H
#define DAEMON_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/steering.h"
#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"
#include "daemon/failure.h"

/* The fds that it consists of, in the order in which they are left to the next process. */
enum redirect_part {
	REDIRECT_LINK,
	REDIRECT_PROGRAM,
	REDIRECT_SOCKETS,
	REDIRECT_QUEUES,
	REDIRECT_COUNTERS,
	REDIRECT_STEERING,
	REDIRECT_RULE_COUNTERS,
	REDIRECT_TRACE,
	REDIRECT_TRACE_PROGRAM,
	REDIRECT_PARTS,
};

extern const char *const redirect_part_names[REDIRECT_PARTS]; /* of at most 4 characters */

struct redirect {
	int link_fd, program_fd, sockets_fd, queues_fd, counters_fd;
	int steering_fd, rule_counters_fd, trace_fd, trace_program_fd;
	int ifindex;
	uint32_t program_id;
	uint32_t queues;	 /* slots: the most receive queues that the interface can have */
	enum xdpd_xdp_mode mode; /* NATIVE or GENERIC */
	bool multi_buffer;	 /* fit for frames of several buffers */
	bool steered;		 /* rules are in force, other than to redirect all to all */
	uint32_t bank;		 /* that they count in */
	struct xdpd_bpf_counter *per_cpu; /* where a look-up puts some counters of every CPU */
	int cpus;
	struct xdpd_bpf_counters *seen; /* of each slot, when they were last read together */
};

/*
 * Loads the program and attaches it to the interface. AUTO is native, or generic where the driver has no
 * native mode. With `multi_buffer` it takes frames of several buffers; without, a driver whose MTU could make such
 * frames refuses it in native mode, and generic mode makes each one buffer. On success `*ret` is owned by the caller, who ends it with redirect_detach().
 * Returns 0 or -errno with a sentence in `why`: -EBUSY (another program is there: its id and name are told),
 * -EOPNOTSUPP (no native mode), -EPERM. When the verifier refuses the program, its log is in `*verifier_log`,
 * to be freed; else that is not touched.
 */
int redirect_attach(struct redirect **ret, const char *device, int ifindex, uint32_t queues,
		    enum xdpd_xdp_mode mode, bool multi_buffer, struct failure *why,
		    char **verifier_log);

/* What another process left of one, besides the fds. */
struct redirect_remains {
	int ifindex;
	uint32_t queues;
	enum xdpd_xdp_mode mode;
	bool multi_buffer, steered;
	uint32_t bank;
};

/*
 * Takes over what another process attached and left, whose fds are in the order of enum redirect_part (closed if this
 * fails; -1: missing). Needs no capability. Returns 0 or -errno: -EBADMSG (they are not what they should be),
 * -EPROTONOSUPPORT (they are another version's, or not what they should be), -ENODEV
 * (it is attached to another interface), -ENOMEM. Of a program that somebody took off meanwhile redirect_is_attached()
 * tells.
 */
int redirect_adopt(struct redirect **ret, int fds[REDIRECT_PARTS],
		   const struct redirect_remains *remains);

int redirect_part(const struct redirect *redirect, enum redirect_part part);

/* Whether the program is attached to the interface still: an administrator can detach a link, or give it another. */
bool redirect_is_attached(const struct redirect *redirect);

/*
 * Attaches the same program again, in the same mode, after somebody took it off or replaced it; sockets, rules and
 * counters are as they were. There is a link of another fd then. Returns 0 or -errno with a sentence in `why`, as
 * redirect_attach().
 */
int redirect_reattach(struct redirect *redirect, const char *device, struct failure *why);

/* Another XDP program that was in the way. */
struct redirect_displaced {
	uint32_t program_id; /* 0: there was none any more */
	char name[16];	     /* empty: not known, as that takes CAP_SYS_ADMIN */
};

/*
 * Takes another program off the interface. One that was attached by netlink takes CAP_NET_ADMIN; one that a bpf_link
 * holds CAP_SYS_ADMIN, to find that link. Returns 0, or -EBUSY with a sentence in `why` that says what its owner has to
 * do.
 */
int redirect_displace(struct redirect_displaced *ret, const char *device, int ifindex,
		      struct failure *why);

/* Frees it and leaves the program where it is, for as long as somebody else holds the link. Returns NULL. */
struct redirect *redirect_leave(struct redirect *redirect);

/*
 * Puts a bound socket into a queue's slot: from here on the frames that the rules let through go there, as the record
 * says: but for those of more than `capacity` bytes or to none of `groups`, which pass; and with metadata before each
 * if `epoch` is not 0. Returns 0 or -errno.
 */
int redirect_set(struct redirect *redirect, uint32_t queue, int socket_fd,
		 const struct xdpd_bpf_queue *record);

/*
 * Replaces the record of a queue whose slot is filled. Frames that are on their way meanwhile may be treated by
 * capacity and groups of one record and the epoch of the other. Returns 0 or -errno.
 */
int redirect_update(struct redirect *redirect, uint32_t queue, const struct xdpd_bpf_queue *record);

/* What the program goes by on a queue. Returns 0 or -errno. */
int redirect_record(const struct redirect *redirect, uint32_t queue, struct xdpd_bpf_queue *ret);

/* Empties a queue's slot: its frames pass to the kernel's stack. An empty slot is fine. */
void redirect_clear(struct redirect *redirect, uint32_t queue);

/* What the program counted on a queue since it was loaded, over all CPUs. Returns 0 or -errno. */
int redirect_counters(const struct redirect *redirect, uint32_t queue,
		      struct xdpd_bpf_counters *ret);

/* One of them. */
int redirect_counter(const struct redirect *redirect, uint32_t queue, enum xdpd_verdict verdict,
		     struct xdpd_bpf_counter *ret);

/*
 * Reads what the program counted on all queues into `seen`, in few system calls, as one for each counter of a thousand
 * queues would be most of what a scrape costs. Returns 0, or -errno and some are as they were before.
 */
int redirect_read_counters(struct redirect *redirect);

/*
 * Puts rules in force, whose bank this sets; a fresh program redirects all to all groups. Each frame is judged by the
 * old rules or the new ones. When it returns no frame is judged by the old ones any more, which takes the kernel some
 * milliseconds, and `before` has their final counts, the default's last; zeros if they were none. What is plain
 * (steering_is_plain()) costs no time per frame and counts nothing. Returns 0, or -errno and nothing has changed.
 */
int redirect_steer(struct redirect *redirect, const struct xdpd_bpf_steering *steering,
		   struct xdpd_bpf_counter before[XDPD_RULES_MAX + 1]);

/* What a rule (XDPD_RULES_MAX: the default) has counted since the rules are in force, over all CPUs and queues. */
int redirect_rule_counter(const struct redirect *redirect, uint32_t rule,
			  struct xdpd_bpf_counter *ret);

struct redirect_trace {
	enum xdpd_verdict verdict;
	enum xdpd_action action; /* of the rule */
	uint32_t rule;		 /* XDPD_RULES_MAX: the default */
	uint32_t groups; /* that would get it: those of the rule that have a member on the queue */
	uint32_t hash;
};

/*
 * What would become of a frame (14 bytes or more) that came in on a queue: asks the program, by its own code and the
 * same maps. Nothing is counted or sent. Returns 0, or -errno: -EINVAL (too short), -EIO (there is no such queue).
 */
int redirect_trace(const struct redirect *redirect, uint32_t queue, const void *frame,
		   uint32_t length, struct redirect_trace *ret);

/* Detaches and unloads. NULL is fine. Returns NULL. */
struct redirect *redirect_detach(struct redirect *redirect);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XDP program of one interface, its link and its maps.
 *
 * The program is attached by a BPF link, so it goes when the daemon goes and nobody else replaces it by
 * accident. Needs CAP_BPF and CAP_NET_ADMIN. An XSKMAP can't be read from user space: who is in which slot is
 * what the caller has set. The map does not keep a socket alive; a socket's release clears its slot.
 */
#ifndef DAEMON_REDIRECT_H
#define DAEMON_REDIRECT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"
#include "daemon/failure.h"

struct redirect {
	struct bpf_object *object;
	int program_fd, sockets_fd, queues_fd, counters_fd; /* in `object` */
	int link_fd;
	int ifindex;
	uint32_t program_id;
	uint32_t queues;	 /* slots: the most receive queues that the interface can have */
	enum xdpd_xdp_mode mode; /* NATIVE or GENERIC */
	bool multi_buffer;	 /* fit for frames of several buffers */
	struct xdpd_bpf_counter *per_cpu; /* where a look-up puts one counter of every CPU */
	int cpus;
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

/*
 * Puts a bound socket into a queue's slot: from here on its frames go there, but for those of more than
 * `capacity` bytes, which pass. Returns 0 or -errno.
 */
int redirect_set(struct redirect *redirect, uint32_t queue, int socket_fd, uint32_t capacity);

/* Empties a queue's slot: its frames pass to the kernel's stack. An empty slot is fine. */
void redirect_clear(struct redirect *redirect, uint32_t queue);

/* What the program counted on a queue since it was loaded, over all CPUs. Returns 0 or -errno. */
int redirect_counters(const struct redirect *redirect, uint32_t queue,
		      struct xdpd_bpf_counters *ret);

/* Detaches and unloads. NULL is fine. Returns NULL. */
struct redirect *redirect_detach(struct redirect *redirect);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process holds, from /proc: for tests that compare it before and after. BPF objects are told by the
 * ids in their fds' fdinfo; that one of them is really gone is asked from the kernel by that id, so that
 * other users of the machine do not disturb.
 */
#ifndef TESTS_LIVE_FOOTPRINT_H
#define TESTS_LIVE_FOOTPRINT_H

#include <stdint.h>
#include <sys/types.h>

#define FOOTPRINT_IDS_MAX 256

/* A build with a sanitizer, which keeps freed memory and has some of its own: private_kb then tells little. */
#if defined(__has_feature)
#define FOOTPRINT_HAS(feature) __has_feature(feature)
#else
#define FOOTPRINT_HAS(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
	FOOTPRINT_HAS(address_sanitizer) || FOOTPRINT_HAS(thread_sanitizer)
#define FOOTPRINT_SANITIZED 1
#else
#define FOOTPRINT_SANITIZED 0
#endif

struct footprint {
	uint32_t fds; /* all of them, those below included */
	uint32_t sockets, memfds;
	uint32_t bpf_maps, bpf_programs, bpf_links;
	uint32_t map_ids[FOOTPRINT_IDS_MAX];
	uint32_t program_ids[FOOTPRINT_IDS_MAX];
	uint32_t link_ids[FOOTPRINT_IDS_MAX];
	uint32_t threads;
	uint64_t locked_kb;    /* VmLck: mlock() */
	uint64_t pinned_kb;    /* VmPin */
	uint64_t private_kb;   /* mapped by no other process, memfds and shared libraries too */
	uint64_t anonymous_kb; /* RssAnon: heap and stacks */
	uint64_t cpu_ns;       /* run so far, all threads */
};

/* 0 or -errno. Of more than FOOTPRINT_IDS_MAX objects of a kind only so many ids are kept. */
int footprint_take(struct footprint *ret, pid_t pid);

/* How many of the BPF objects that it lists still exist in the kernel; -EPERM without CAP_SYS_ADMIN. */
int footprint_bpf_left(const struct footprint *footprint);

/* The differences in fds, BPF objects and locked memory, for a test's message; "" if there are none. */
const char *footprint_difference(const struct footprint *before, const struct footprint *after);

#endif

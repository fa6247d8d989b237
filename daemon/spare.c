// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/spare.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "daemon/cleanup.h"
#include "daemon/sealed.h"

struct spare {
	size_t wanted; /* 0: nobody has asked yet */
	size_t length; /* of the one that is there; 0: none */
	int fd;
	void *memory;
};

static const char *const names[SPARE_KINDS] = {
	[SPARE_MEMBER] = "xdpd-member",
	[SPARE_LEDGER] = "xdpd-ledger",
};

static struct spare spares[SPARE_KINDS];
static sd_event *loop; /* NULL: none are made */
static sd_event_source *timer;

static void drop(struct spare *spare)
{
	if (!spare->length)
		return;
	munmap(spare->memory, spare->length);
	sealed_close(spare->fd, spare->length);
	spare->length = 0;
}

static int make(enum spare_kind kind, size_t length, int *ret_fd, void **ret_memory)
{
	cleanup_fd int fd = -1;
	int r = sealed_create(names[kind], length, &fd);

	if (r == 0)
		r = sealed_map(fd, length, ret_memory);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* Its pages come now, not when the first frame does. An older kernel than Linux 5.14 gets them then. */
static void make_beforehand(enum spare_kind kind, struct spare *spare)
{
	if (spare->length == spare->wanted)
		return;
	drop(spare);
	if (make(kind, spare->wanted, &spare->fd, &spare->memory) < 0)
		return;
	spare->length = spare->wanted;
	(void)madvise(spare->memory,
		      spare->length < SPARE_PAGES_MAX ? spare->length : SPARE_PAGES_MAX,
		      MADV_POPULATE_WRITE);
}

static int on_quiet(sd_event_source *source, uint64_t now, void *context)
{
	(void)source;
	(void)now;
	(void)context;
	timer = sd_event_source_disable_unref(timer);
	for (enum spare_kind kind = 0; kind < SPARE_KINDS; kind++)
		make_beforehand(kind, &spares[kind]);
	return 0;
}

/* Once for several that come together; whatever else there is to do then comes first. */
static void make_later(void)
{
	if (!loop || timer)
		return;
	if (sd_event_add_time_relative(loop, &timer, CLOCK_MONOTONIC, SPARE_DELAY_USEC,
				       SPARE_DELAY_USEC / 4, on_quiet, NULL) >= 0)
		(void)sd_event_source_set_priority(timer, SD_EVENT_PRIORITY_IDLE);
}

void spare_begin(sd_event *event)
{
	loop = event;
}

void spare_end(void)
{
	loop = NULL;
	timer = sd_event_source_disable_unref(timer);
	for (enum spare_kind kind = 0; kind < SPARE_KINDS; kind++) {
		drop(&spares[kind]);
		spares[kind].wanted = 0;
	}
}

void spare_expect(enum spare_kind kind, size_t length)
{
	spares[kind].wanted = length;
	if (spares[kind].length != length)
		make_later();
}

int spare_take(enum spare_kind kind, size_t length, int *ret_fd, void **ret_memory)
{
	struct spare *spare = &spares[kind];
	const bool is_there = spare->length == length;
	int r = 0;

	if (is_there) {
		*ret_fd = spare->fd;
		*ret_memory = spare->memory;
		spare->length = 0;
	} else {
		r = make(kind, length, ret_fd, ret_memory);
	}
	spare_expect(kind, length);
	return r;
}

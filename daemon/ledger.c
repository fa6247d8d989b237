// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/cleanup.h"
#include "daemon/sealed.h"
#include "daemon/spare.h"

#define MAGIC 0x7265676c64706478ull /* "xdpdlger" */

/* Of the members' parts only the pages that were written to are there. */
static uint64_t size_for(const struct handoff_memory *memory)
{
	return sizeof(struct ledger_content) + handoff_arrays_size(memory) +
	       LEDGER_MEMBERS * handoff_received_size(memory->receive_frames);
}

void ledger_expect(const struct handoff_memory *memory)
{
	spare_expect(SPARE_LEDGER, size_for(memory));
}

int ledger_create(struct ledger *ret, const struct handoff_memory *memory)
{
	struct ledger ledger = {.fd = -1, .length = size_for(memory)};
	int r = spare_take(SPARE_LEDGER, ledger.length, &ledger.fd, (void **)&ledger.content);

	if (r < 0)
		return r;
	ledger.content->magic = MAGIC;
	ledger.content->layout = LEDGER_LAYOUT;
	ledger.content->frames = memory->frames;
	ledger.content->receive_frames = memory->receive_frames;
	ledger.content->frame_size = memory->frame_size;
	ledger.content->size = ledger.length;
	*ret = ledger;
	return 0;
}

/*
 * The beginning is the same in every layout, so it is read first: of another one even the size is not known. Where the
 * size is sealed, the mapping is never cut off.
 */
static int check_file(int fd, uint64_t length)
{
	struct {
		uint64_t magic;
		uint32_t layout;
	} head;
	const size_t wanted = offsetof(struct ledger_content, frames);
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW) ||
	    fstat(fd, &status) < 0 || pread(fd, &head, wanted, 0) != (ssize_t)wanted ||
	    head.magic != MAGIC)
		return -EBADMSG;
	if (head.layout != LEDGER_LAYOUT)
		return -EPROTONOSUPPORT;
	return (uint64_t)status.st_size == length ? 0 : -EBADMSG;
}

static int check_content(const struct ledger_content *content, const struct handoff_memory *memory)
{
	return content->size == size_for(memory) && content->frames == memory->frames &&
			       content->receive_frames == memory->receive_frames &&
			       content->frame_size == memory->frame_size
		       ? 0
		       : -EBADMSG;
}

int ledger_open(struct ledger *ret, int fd, const struct handoff_memory *memory)
{
	struct ledger ledger = {.fd = fd, .length = size_for(memory)};
	int r = check_file(fd, ledger.length);

	if (r == 0)
		r = sealed_map(fd, ledger.length, (void **)&ledger.content);
	if (r == 0)
		r = check_content(ledger.content, memory);
	if (r < 0) {
		ledger_close(&ledger);
		return r;
	}
	*ret = ledger;
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (ledger->content)
		munmap(ledger->content, ledger->length);
	close_fd(ledger->fd);
	*ledger = LEDGER_NONE;
}

void *ledger_arrays(const struct ledger *ledger)
{
	return ledger->content + 1;
}

static bool is_used(const struct ledger *ledger, uint32_t place)
{
	return ledger->used[place / 64] >> place % 64 & 1;
}

/* Those of the last place end where all of it does. */
static void *received_by(const struct ledger *ledger, uint32_t place)
{
	const size_t size = handoff_received_size(ledger->content->receive_frames);

	return (char *)ledger->content + ledger->length - (LEDGER_MEMBERS - place) * size;
}

static struct handoff_member *take(struct ledger *ledger, uint32_t place)
{
	struct handoff_member *member = &ledger->content->members[place];

	ledger->used[place / 64] |= UINT64_C(1) << place % 64;
	member->received = received_by(ledger, place);
	return member;
}

struct handoff_member *ledger_reserve(struct ledger *ledger)
{
	for (uint32_t place = 0; place < LEDGER_MEMBERS; place++) {
		if (is_used(ledger, place))
			continue;
		memset(&ledger->content->members[place], 0, sizeof(struct handoff_member));
		return take(ledger, place);
	}
	return NULL;
}

struct handoff_member *ledger_reclaim(struct ledger *ledger, uint32_t place)
{
	return place < LEDGER_MEMBERS && !is_used(ledger, place) ? take(ledger, place) : NULL;
}

void ledger_release(struct ledger *ledger, struct handoff_member *member)
{
	const uint32_t place = ledger_place(ledger, member);

	ledger->used[place / 64] &= ~(UINT64_C(1) << place % 64);
}

uint32_t ledger_place(const struct ledger *ledger, const struct handoff_member *member)
{
	return (uint32_t)(member - ledger->content->members);
}

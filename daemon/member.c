// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/member.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/cleanup.h"
#include "daemon/ledger.h"
#include "daemon/sealed.h"
#include "daemon/spare.h"

#define LINE 64 /* of a cache */

/* Frames that a member has to transmit from; a ring's worth, if that is less. */
#define TRANSMIT_FRAMES 512

/* A tap needs more than what may be being written, and time to read it. */
#define TAP_RING_LEAST 256

/* The fds of a grant, in their order. */
enum { UMEM_FD, MEMBER_FD, BELL_FD, TAP_FD };

static size_t whole_pages(size_t length)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (length + page - 1) / page * page;
}

static uint32_t power_of_two_from(uint32_t least)
{
	uint32_t power = 1;

	while (power < least)
		power *= 2;
	return power;
}

/* ---- the layout ---- */

/* The next `length` bytes of a memfd. */
static struct xdpd_region place(uint32_t fd, size_t *end, size_t length)
{
	const struct xdpd_region region = {.fd = fd, .offset = *end, .length = length};

	*end += whole_pages(length);
	return region;
}

static struct xdpd_ring_place place_ring(uint32_t fd, size_t *end, uint32_t size, size_t entry)
{
	const size_t entries = 3 * LINE;

	return (struct xdpd_ring_place){
		.region = place(fd, end, entries + size * entry),
		.size = size,
		.producer = 0,
		.consumer = LINE,
		.flags = 2 * LINE,
		.entries = entries,
	};
}

static void lay_out(struct member *member, const struct member_options *options)
{
	const struct ring_sizes *rings = options->rings;
	const size_t desc = sizeof(struct xdp_desc), address = sizeof(uint64_t);
	struct xdpd_grant *grant = &member->places;

	grant->account = place(MEMBER_FD, &member->length, sizeof(struct xdpd_account));
	if (options->tap) {
		grant->rx =
			place_ring(TAP_FD, &member->tap_length,
				   rings->rx < TAP_RING_LEAST ? TAP_RING_LEAST : rings->rx, desc);
		grant->rx.region.flags = XDPD_REGION_READ_ONLY;
	} else {
		grant->rx = place_ring(MEMBER_FD, &member->length, rings->rx, desc);
		/* It holds no frame twice, so this is never full. */
		grant->fill = place_ring(MEMBER_FD, &member->length,
					 power_of_two_from(options->frames), address);
	}
	if (!options->transmit)
		return;
	grant->transmit_frames = rings->tx < TRANSMIT_FRAMES ? rings->tx : TRANSMIT_FRAMES;
	grant->tx = place_ring(MEMBER_FD, &member->length, rings->tx, desc);
	/* Nor is this: all that it can have sent has room. */
	grant->completion =
		place_ring(MEMBER_FD, &member->length,
			   power_of_two_from(options->frames + grant->transmit_frames), address);
	grant->transmit = place(MEMBER_FD, &member->length,
				(size_t)grant->transmit_frames * options->frame_size);
}

/* ---- the worker's side ---- */

static void join(struct member *member, const struct xdpd_ring_place *place, bool producer,
		 struct xdpd_ring *ret)
{
	char *base = (char *)(place->region.fd == TAP_FD ? member->tap_memory : member->memory) +
		     place->region.offset;
	uint32_t *made = (uint32_t *)(base + place->producer);
	uint32_t *taken = (uint32_t *)(base + place->consumer);

	if (place->size)
		xdpd_ring_join(ret, base + place->entries, place->size, producer ? made : taken,
			       producer ? taken : made, (uint32_t *)(base + place->flags));
}

static void join_rings(struct member *member)
{
	const struct xdpd_grant *places = &member->places;
	struct handoff_member *handoff = member->handoff;

	join(member, &places->rx, true, &handoff->rx);
	join(member, &places->fill, false, &handoff->fill);
	join(member, &places->tx, false, &handoff->tx);
	join(member, &places->completion, true, &handoff->completion);
	handoff->transmit = member->memory + places->transmit.offset;
	handoff->transmit_size = places->transmit.length;
	member->account = (struct xdpd_account *)(member->memory + places->account.offset);
	/* A tap writes nothing into its ring. */
	if (member->tap) {
		handoff->rx.flags = &member->account->flags;
		handoff->rx.shared_peer = &member->account->consumer;
	}
}

static int make_memory(struct member *member)
{
	int r = spare_take(SPARE_MEMBER, member->length, &member->fd, (void **)&member->memory);

	if (r < 0 || !member->tap)
		return r;
	r = sealed_create("xdpd-tap", member->tap_length, &member->tap_fd);
	if (r == 0)
		r = sealed_open_for_reading(member->tap_fd, &member->tap_read_only_fd);
	if (r == 0)
		r = sealed_map(member->tap_fd, member->tap_length, (void **)&member->tap_memory);
	return r;
}

void member_expect(const struct member_options *options)
{
	struct member member = {};

	lay_out(&member, options);
	spare_expect(SPARE_MEMBER, member.length);
}

static int make_bell(struct member *member)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	member->handoff->socket_fd = ends[0];
	member->consumer_socket = ends[1];
	return 0;
}

static struct member *make_member(const struct member_options *options)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return NULL;
	*member = (struct member){
		.ledger = options->ledger,
		.tap = options->tap,
		.fd = -1,
		.tap_fd = -1,
		.tap_read_only_fd = -1,
		.consumer_socket = -1,
	};
	lay_out(member, options);
	return member;
}

static struct handoff_member *reserve_place(const struct member_options *options)
{
	const size_t received = handoff_received_size(options->frames);
	struct handoff_member *place;

	if (options->ledger)
		return ledger_reserve(options->ledger);
	place = aligned_alloc(_Alignof(struct handoff_member), sizeof(*place) + received);
	if (place) {
		memset(place, 0, sizeof(*place) + received);
		place->received = (uint32_t *)(place + 1);
	}
	return place;
}

/* That was given, by this process or by one whose member is still there. */
static uint64_t last_key;

int member_create(struct member **ret, const struct member_options *options)
{
	struct member *member = make_member(options);
	int r;

	if (!member)
		return -ENOMEM;
	member->handoff = reserve_place(options);
	if (!member->handoff) {
		member_free(member, NULL);
		return -ENOMEM;
	}
	member->key = ++last_key;
	member->handoff->quota = options->quota;
	member->handoff->socket_fd = -1;
	r = make_memory(member);
	if (r == 0)
		r = make_bell(member);
	if (r < 0) {
		member_free(member, NULL);
		return r;
	}
	join_rings(member);
	*ret = member;
	return 0;
}

static bool has_length(int fd, size_t length)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	       (size_t)status.st_size == length;
}

static int map_remains(struct member *member)
{
	int r = -EBADMSG;

	if (has_length(member->fd, member->length))
		r = sealed_map(member->fd, member->length, (void **)&member->memory);
	if (r < 0 || !member->tap)
		return r;
	if (!has_length(member->tap_fd, member->tap_length))
		return -EBADMSG;
	return sealed_map(member->tap_fd, member->tap_length, (void **)&member->tap_memory);
}

/* Our indices are in the ledger alone: the shared words are the consumer's to write. */
static void rejoin_rings(struct member *member)
{
	struct handoff_member *handoff = member->handoff, joined = {.socket_fd = -1};

	member->handoff = &joined;
	join_rings(member);
	member->handoff = handoff;
	handoff_rejoin(&handoff->rx, &joined.rx);
	handoff_rejoin(&handoff->fill, &joined.fill);
	handoff_rejoin(&handoff->tx, &joined.tx);
	handoff_rejoin(&handoff->completion, &joined.completion);
	handoff->transmit = joined.transmit;
	handoff->transmit_size = joined.transmit_size;
}

void member_close_remains(const struct member_remains *remains)
{
	close_fd(remains->fd);
	close_fd(remains->tap_fd);
	close_fd(remains->socket_fd);
}

int member_adopt(struct member **ret, const struct member_options *options,
		 const struct member_remains *remains)
{
	struct member *member = make_member(options);
	struct handoff_member *place = ledger_reclaim(options->ledger, remains->place);
	int r = -ENOMEM;

	if (member) {
		member->handoff = place;
		member->fd = remains->fd;
		member->tap_fd = remains->tap_fd;
		member->key = remains->key;
		last_key = remains->key > last_key ? remains->key : last_key;
		member->overrun_seen = remains->overrun;
		r = place ? map_remains(member) : -EBADMSG;
	} else {
		member_close_remains(remains);
		if (place)
			ledger_release(options->ledger, place);
		return -ENOMEM;
	}
	if (r < 0) {
		if (place)
			place->socket_fd = -1;
		close_fd(remains->socket_fd);
		member_free(member, NULL);
		return r;
	}
	place->socket_fd = remains->socket_fd;
	rejoin_rings(member);
	*ret = member;
	return 0;
}

size_t member_describe_grant(struct member *member, const struct umem *umem, bool writable,
			     struct xdpd_grant *ret, int fds[MEMBER_FDS])
{
	const struct xdpd_header header = ret->header;

	writable = writable && !member->tap;
	*ret = member->places;
	ret->header = header;
	ret->flags = (member->tap ? XDPD_GRANT_TAP : XDPD_GRANT_RUNS) |
		     (writable ? XDPD_GRANT_WRITABLE : 0);
	ret->n_fds = member->tap ? 4 : 3;
	ret->wait_fd = BELL_FD;
	ret->frames = ret->filled = umem->frames;
	ret->frame_size = umem->frame_size;
	ret->headroom = umem->headroom;
	ret->quota = member->tap ? 0 : member->handoff->quota;
	ret->umem = (struct xdpd_region){
		.fd = UMEM_FD,
		.flags = writable ? 0 : XDPD_REGION_READ_ONLY,
		.length = umem->size,
	};
	if (member->tap)
		ret->sequences = (struct xdpd_region){
			.fd = UMEM_FD,
			.flags = XDPD_REGION_READ_ONLY,
			.offset = umem->size,
			.length = umem->tail_length,
		};
	fds[UMEM_FD] = writable ? umem->fd : umem->read_only_fd;
	fds[MEMBER_FD] = member->fd;
	fds[BELL_FD] = member->consumer_socket;
	fds[TAP_FD] = member->tap_read_only_fd;
	return ret->n_fds;
}

void member_handed_over(struct member *member)
{
	member->consumer_socket = close_fd(member->consumer_socket);
}

uint64_t member_overrun(struct member *member)
{
	const uint64_t given =
		__atomic_load_n(&member->handoff->counters.receive_packets, __ATOMIC_RELAXED);
	uint64_t overrun;

	if (!member->tap)
		return 0;
	overrun = __atomic_load_n(&member->account->overrun, __ATOMIC_RELAXED);
	/* It only grows, whatever is written there. */
	if (overrun > member->overrun_seen)
		member->overrun_seen = overrun < given ? overrun : given;
	return member->overrun_seen;
}

/* It may be taking what has arrived, and what it reads meanwhile stays as it is. */
static void give_memory_back(struct member *member, sd_event *event)
{
	if (event) {
		sealed_close_later(member->fd, member->length, event);
		sealed_close_later(member->tap_fd, member->tap_length, event);
	} else {
		sealed_close(member->fd, member->length);
		sealed_close(member->tap_fd, member->tap_length);
	}
}

struct member *member_free(struct member *member, sd_event *event)
{
	if (!member)
		return NULL;
	if (member->memory)
		munmap(member->memory, member->length);
	if (member->tap_memory)
		munmap(member->tap_memory, member->tap_length);
	give_memory_back(member, event);
	close_fd(member->tap_read_only_fd);
	close_fd(member->consumer_socket);
	if (member->handoff)
		close_fd(member->handoff->socket_fd);
	if (member->handoff && member->ledger)
		ledger_release(member->ledger, member->handoff);
	else
		free(member->handoff);
	free(member);
	return NULL;
}

// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "client/client.h"
#include "daemon/cleanup.h"

/* All that a grant becomes, until it has succeeded as a whole. */
struct parts {
	const struct xdpd_received *received;
	struct xdpd_mapping mappings[XDPD_MAPPINGS_MAX];
	uint32_t n_mappings;
	struct xdpd_region together; /* mapped at once; no length: none is */
	char *together_at;
	uint64_t *spare;
	struct xdpd_tap *tap;
};

static void cleanup_parts(struct parts *parts)
{
	for (uint32_t i = 0; i < parts->n_mappings; i++)
		munmap(parts->mappings[i].address, parts->mappings[i].length);
	free(parts->spare);
	free(parts->tap);
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/*
 * A mapping past a memfd's end would be SIGBUS at the first touch. An AF_XDP socket has no size to ask for;
 * its mmap() refuses what is not exactly a ring.
 */
static int check_extent(int fd, const struct xdpd_region *region, bool exclusive)
{
	struct stat status;
	uint64_t end;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (region->length == 0 || region->length > SIZE_MAX ||
	    __builtin_add_overflow(region->offset, region->length, &end) || end > INT64_MAX)
		return -EPROTO;
	if (S_ISREG(status.st_mode))
		return end <= (uint64_t)status.st_size ? 0 : -EPROTO;
	return exclusive && S_ISSOCK(status.st_mode) ? 0 : -EPROTO;
}

static void keep_mapping(struct parts *parts, void *address, size_t length)
{
	parts->mappings[parts->n_mappings++] = (struct xdpd_mapping){address, length};
}

static int check_region(const struct parts *parts, const struct xdpd_region *region)
{
	const struct xdpd_received *received = parts->received;

	if (region->fd >= received->n_fds)
		return -EPROTO;
	return check_extent(received->fds[region->fd], region,
			    received->grant.flags & XDPD_GRANT_EXCLUSIVE);
}

/*
 * To `address`, over what is mapped there, or anywhere if it is NULL. Frames are many, and their pages are mapped when
 * they are first touched, 16 at once: attaching takes no longer for more of them, and the first ones are in hand before
 * the last are mapped. What is touched for each frame is mapped right away.
 */
static int map_at(const struct parts *parts, const struct xdpd_region *region, void *address,
		  bool writable, bool frames, void **ret)
{
	int r = check_region(parts, region);

	if (r < 0)
		return r;
	address = mmap(address, region->length, PROT_READ | (writable ? PROT_WRITE : 0),
		       MAP_SHARED | (frames ? 0 : MAP_POPULATE) | (address ? MAP_FIXED : 0),
		       parts->received->fds[region->fd], (off_t)region->offset);
	if (address == MAP_FAILED)
		return -errno;
	*ret = address;
	return 0;
}

/* Whether it lies in `whole`, as a mapping of its own could. */
static bool is_part(const struct xdpd_region *region, const struct xdpd_region *whole)
{
	return region->length && region->fd == whole->fd && region->flags == whole->flags &&
	       region->offset % (uint64_t)sysconf(_SC_PAGESIZE) == 0 &&
	       region->offset >= whole->offset && region->length <= whole->length &&
	       region->offset - whole->offset <= whole->length - region->length;
}

static int map_region(struct parts *parts, const struct xdpd_region *region, bool frames,
		      void **ret)
{
	int r;

	if (is_part(region, &parts->together)) {
		*ret = parts->together_at + (region->offset - parts->together.offset);
		return 0;
	}
	r = map_at(parts, region, NULL, !(region->flags & XDPD_REGION_READ_ONLY), frames, ret);
	if (r == 0)
		keep_mapping(parts, *ret, region->length);
	return r;
}

/*
 * A member's account and rings lie one right behind the other in one memfd, as a rule: then they are mapped at once. Whatever
 * lies elsewhere is mapped by itself.
 */
static int map_together(struct parts *parts, const struct xdpd_grant *grant)
{
	const struct xdpd_region *const regions[] = {&grant->rx.region, &grant->fill.region,
						     &grant->tx.region, &grant->completion.region};
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct xdpd_region together = grant->account;
	void *address;
	int r;

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		const struct xdpd_region *next = regions[i];
		uint64_t end = together.offset + together.length;

		/* No sum of what has not been checked may become a small number. */
		if (together.length > INT64_MAX / 4 || together.offset > INT64_MAX / 4)
			return 0;
		end = (end + page - 1) / page * page;
		if (next->fd == together.fd && next->flags == together.flags &&
		    next->offset == end && next->length <= INT64_MAX / 4)
			together.length = end + next->length - together.offset;
	}
	r = map_at(parts, &together, NULL, true, false, &address);
	if (r < 0)
		return r;
	keep_mapping(parts, address, together.length);
	parts->together = together;
	parts->together_at = address;
	return 0;
}

static bool has_word(const struct xdpd_ring_place *place, uint64_t offset)
{
	return offset % sizeof(uint32_t) == 0 && offset <= place->region.length - sizeof(uint32_t);
}

static bool place_is_sound(const struct xdpd_ring_place *place, size_t entry)
{
	uint64_t length = place->region.length;

	return is_power_of_two(place->size) && length >= sizeof(uint32_t) &&
	       !(place->region.flags & XDPD_REGION_READ_ONLY) && has_word(place, place->producer) &&
	       has_word(place, place->consumer) && has_word(place, place->flags) &&
	       place->entries % sizeof(uint64_t) == 0 && place->entries <= length &&
	       place->size <= (length - place->entries) / entry;
}

enum side { PRODUCER, CONSUMER };

static int join_ring(struct parts *parts, const struct xdpd_ring_place *place, enum side side,
		     size_t entry, struct xdpd_ring *ret)
{
	uint32_t *producer, *consumer;
	void *address;
	char *base;
	int r;

	if (!place->size)
		return 0;
	if (!place_is_sound(place, entry))
		return -EPROTO;
	r = map_region(parts, &place->region, false, &address);
	if (r < 0)
		return r;
	base = address;
	producer = (uint32_t *)(base + place->producer);
	consumer = (uint32_t *)(base + place->consumer);
	xdpd_ring_join(ret, base + place->entries, place->size,
		       side == PRODUCER ? producer : consumer,
		       side == PRODUCER ? consumer : producer, (uint32_t *)(base + place->flags));
	return 0;
}

static int join_receiving(struct parts *parts, const struct xdpd_grant *grant, struct xdpd *x)
{
	int r = join_ring(parts, &grant->rx, CONSUMER, sizeof(struct xdp_desc), &x->rx);

	if (r == 0)
		r = join_ring(parts, &grant->fill, PRODUCER, sizeof(uint64_t), &x->fill);
	return r;
}

static int join_transmitting(struct parts *parts, const struct xdpd_grant *grant, struct xdpd *x)
{
	int r = join_ring(parts, &grant->tx, PRODUCER, sizeof(struct xdp_desc), &x->tx);

	if (r == 0)
		r = join_ring(parts, &grant->completion, CONSUMER, sizeof(uint64_t),
			      &x->completion);
	return r;
}

/* ---- a tap ---- */

/* Of its RX ring only the producer's index and the entries are looked at. */
static bool tap_is_sound(const struct xdpd_grant *grant)
{
	const struct xdpd_ring_place *rx = &grant->rx;
	uint64_t length = rx->region.length;

	return is_power_of_two(rx->size) && rx->size > XDPD_TAP_BURST &&
	       length >= sizeof(uint32_t) && has_word(rx, rx->producer) &&
	       rx->entries % sizeof(uint64_t) == 0 && rx->entries <= length &&
	       rx->size <= (length - rx->entries) / sizeof(struct xdp_desc) &&
	       grant->sequences.length / sizeof(uint32_t) >= grant->frames;
}

/* Maps what a tap reads, all of it read-only, whatever it may be. */
static int join_tap(struct parts *parts, const struct xdpd_grant *grant, uint32_t snap_length,
		    struct xdpd *x)
{
	const struct xdpd_region *const regions[] = {&grant->umem, &grant->rx.region,
						     &grant->sequences};
	void *address[3];
	struct xdpd_tap_source source;

	for (int i = 0; i < 3; i++) {
		int r = map_at(parts, regions[i], NULL, false, i == 0, &address[i]);

		if (r < 0)
			return r;
		keep_mapping(parts, address[i], regions[i]->length);
	}
	source = (struct xdpd_tap_source){
		.umem = address[0],
		.sequences = address[2],
		.entries = (struct xdp_desc *)((char *)address[1] + grant->rx.entries),
		.producer = (uint32_t *)((char *)address[1] + grant->rx.producer),
		.size = grant->rx.size,
		.frames = grant->frames,
		.frame_size = grant->frame_size,
	};
	parts->tap = xdpd_tap_new(&source, snap_length, x);
	return parts->tap ? 0 : -ENOMEM;
}

/* ---- memory for frames ---- */

/* A tap's frames are its own, in the place of the UMEM, of which they take up a part. */
static int map_copies(const struct xdpd_grant *grant, void *space)
{
	size_t length = (size_t)xdpd_tap_frames(grant->frames) * grant->frame_size;

	return mmap(space, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == MAP_FAILED
		       ? -errno
		       : 0;
}

static bool is_writable(const struct xdpd_grant *grant)
{
	return (grant->flags & XDPD_GRANT_WRITABLE) && !(grant->umem.flags & XDPD_REGION_READ_ONLY);
}

/* The frames to transmit with lie right behind the UMEM, as their addresses do. */
static int map_space(struct parts *parts, const struct xdpd_grant *grant, void **ret)
{
	const size_t length = grant->umem.length + grant->transmit.length;
	void *space, *mapped;
	int r = check_region(parts, &grant->umem);

	if (r == 0 && grant->transmit.length)
		r = check_region(parts, &grant->transmit);
	if (r < 0)
		return r;
	space = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		return -errno;
	keep_mapping(parts, space, length);
	if (grant->flags & XDPD_GRANT_TAP)
		r = map_copies(grant, space);
	else
		r = map_at(parts, &grant->umem, space, is_writable(grant), true, &mapped);
	if (r == 0 && grant->transmit.length)
		r = map_at(parts, &grant->transmit, (char *)space + grant->umem.length, true, true,
			   &mapped);
	*ret = space;
	return r;
}

/* ---- a grant as a whole ---- */

static bool exclusive_is_sound(const struct xdpd_grant *grant)
{
	return !(grant->flags & XDPD_GRANT_TAP) && grant->filled <= grant->fill.size &&
	       grant->account.length >= offsetof(struct xdpd_account, overrun) && grant->fill.size;
}

static bool transmit_is_sound(const struct xdpd_grant *grant)
{
	const struct xdpd_region *transmit = &grant->transmit;

	if (!grant->tx.size)
		return !transmit->length && !grant->transmit_frames;
	return grant->transmit_frames &&
	       transmit->length / grant->frame_size >= grant->transmit_frames &&
	       !(transmit->flags & XDPD_REGION_READ_ONLY) &&
	       transmit->length <= SIZE_MAX - grant->umem.length;
}

/* So many of the UMEM's pages and frames that what lies behind it begins both a page and a frame. */
static bool shared_is_sound(const struct xdpd_grant *grant)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return grant->umem.length % page == 0 && grant->umem.length % grant->frame_size == 0 &&
	       grant->umem.length <= INT64_MAX && grant->frame_size >= sizeof(uint64_t) &&
	       grant->account.length >= sizeof(struct xdpd_account) && transmit_is_sound(grant) &&
	       (grant->flags & XDPD_GRANT_TAP ? tap_is_sound(grant)
					      : grant->fill.size >= grant->frames);
}

static bool grant_is_sound(const struct xdpd_grant *grant, uint32_t n_fds)
{
	return grant->n_fds == n_fds && grant->wait_fd < n_fds && grant->frames &&
	       is_power_of_two(grant->frame_size) && grant->headroom < grant->frame_size &&
	       grant->filled <= grant->frames &&
	       grant->umem.length >= (uint64_t)grant->frames * grant->frame_size &&
	       !(grant->account.flags & XDPD_REGION_READ_ONLY) && grant->rx.size &&
	       (!grant->tx.size || grant->completion.size) &&
	       (grant->flags & XDPD_GRANT_EXCLUSIVE ? exclusive_is_sound(grant)
						    : shared_is_sound(grant));
}

/* A datagram socket would not tell that the other end was closed. */
static bool is_stream(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

struct xdpd xdpd_grant_nothing(struct xdpd_client *client)
{
	struct xdpd_ring none;

	xdpd_ring_join(&none, &client->no_entry, 0, &client->no_word, &client->no_word,
		       &client->no_word);
	return (struct xdpd){
		.rx = none,
		.fill = none,
		.tx = none,
		.completion = none,
		.account = &client->no_account,
	};
}

void xdpd_grant_none(struct xdpd_client *client)
{
	client->x = xdpd_grant_nothing(client);
	client->n_mappings = 0;
	client->wait_fd = -1;
	xdpd_await_none(client);
	client->exclusive = client->raw = false;
	client->tap = NULL;
	client->group[0] = '\0';
	client->quota = client->forwarded = 0;
	client->sleep_flags = NULL;
	client->armed = client->hung_up = false;
}

/* `count` frames from `first` on, the lowest on top. */
static uint64_t *stack_spares(uint32_t size, uint64_t first, uint32_t count, uint32_t frame_size)
{
	uint64_t *spare = malloc((size_t)(size ? size : 1) * sizeof(*spare));

	for (uint32_t i = 0; spare && i < count; i++)
		spare[i] = first + (uint64_t)(count - 1 - i) * frame_size;
	return spare;
}

static int take_exclusive(struct parts *parts, const struct xdpd_grant *grant, struct xdpd *x)
{
	void *umem = NULL;
	int r = map_region(parts, &grant->umem, true, &umem);

	if (r == 0)
		r = join_receiving(parts, grant, x);
	if (r < 0)
		return r;
	x->umem = umem;
	x->spare_size = grant->frames;
	x->spares = grant->frames - grant->filled;
	parts->spare = stack_spares(x->spare_size, (uint64_t)grant->filled * grant->frame_size,
				    x->spares, grant->frame_size);
	return parts->spare ? 0 : -ENOMEM;
}

static int take_shared(struct parts *parts, const struct xdpd_grant *grant, uint32_t snap_length,
		       struct xdpd *x)
{
	const bool tap = grant->flags & XDPD_GRANT_TAP;
	void *space = NULL;
	int r = map_space(parts, grant, &space);

	if (r == 0)
		r = tap ? join_tap(parts, grant, snap_length, x) : join_receiving(parts, grant, x);
	if (r < 0)
		return r;
	x->umem = space;
	x->lent = grant->umem.length;
	x->read_only = !tap && !is_writable(grant);
	x->takes_runs = grant->flags & XDPD_GRANT_RUNS;
	x->spare_size = x->spares = grant->transmit_frames;
	/* Who has frames of its own may give them back with the others: they are sorted. */
	x->owed = !tap && x->spare_size;
	parts->spare = stack_spares(x->spare_size, x->lent, x->spares, grant->frame_size);
	return parts->spare ? 0 : -ENOMEM;
}

static void keep_shared(struct xdpd_client *client, const struct xdpd_grant *grant)
{
	const struct xdpd *x = &client->x;

	memcpy(client->group, grant->group, sizeof(client->group));
	client->group[sizeof(client->group) - 1] = '\0';
	client->quota = client->tap ? xdpd_tap_frames(grant->frames) : grant->quota;
	client->fill_rung = x->fill.own;
	client->tx_rung = x->tx.own;
	client->sleep_flags = client->tap ? &x->account->flags : x->rx.flags;
}

int xdpd_grant_map(struct xdpd_client *client, struct xdpd_received *received, uint32_t snap_length)
{
	const struct xdpd_grant *grant = &received->grant;
	const bool exclusive = grant->flags & XDPD_GRANT_EXCLUSIVE;
	__attribute__((cleanup(cleanup_parts))) struct parts parts = {.received = received};
	struct xdpd x = client->x; /* absent rings stay so */
	void *account;
	int r;

	if (!grant_is_sound(grant, received->n_fds) ||
	    (!exclusive && !is_stream(received->fds[grant->wait_fd])))
		return -EPROTO;
	r = exclusive ? 0 : map_together(&parts, grant);
	if (r == 0)
		r = map_region(&parts, &grant->account, false, &account);
	if (r == 0)
		r = exclusive ? take_exclusive(&parts, grant, &x)
			      : take_shared(&parts, grant, snap_length, &x);
	if (r == 0)
		r = join_transmitting(&parts, grant, &x);
	if (r < 0)
		return r;

	x.account = account;
	x.transmit_bytes = __atomic_load_n(&x.account->transmit_bytes, __ATOMIC_RELAXED);
	x.frames = grant->frames;
	x.frame_size = grant->frame_size;
	x.frame_mask = ~((uint64_t)grant->frame_size - 1);
	x.spare = TAKE_PTR(parts.spare);
	client->x = x;
	client->tap = TAKE_PTR(parts.tap);
	memcpy(client->mappings, parts.mappings, sizeof(parts.mappings));
	client->n_mappings = parts.n_mappings;
	parts.n_mappings = 0;
	client->exclusive = exclusive;
	client->headroom = grant->headroom;
	client->filled = grant->filled;
	client->umem_size = grant->umem.length;
	client->rx_start = x.rx.own;
	client->waited_at = client->rx_start;
	client->fill_start = x.fill.own;
	if (!exclusive)
		keep_shared(client, grant);
	client->wait_fd = TAKE_FD(received->fds[grant->wait_fd]);
	return 0;
}

/*
 * With rings of no entries a release finds no room, and the stack of spare frames takes none. A tap's copies and
 * their lengths stay, and what is read-only stays so, lest xdpd_make_writable() says that it can be written to.
 */
void xdpd_grant_void(struct xdpd_client *client)
{
	const struct xdpd old = client->x;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < client->n_mappings; i++)
		if (client->mappings[i].address == old.umem)
			client->mappings[kept++] = client->mappings[i];
		else
			munmap(client->mappings[i].address, client->mappings[i].length);
	client->n_mappings = kept;
	free(old.spare);
	client->x = xdpd_grant_nothing(client);
	client->x.umem = old.umem;
	client->x.frame_mask = old.frame_mask;
	client->x.frame_size = old.frame_size;
	client->x.frames = old.frames;
	client->x.lent = old.lent;
	client->x.read_only = old.read_only;
	xdpd_await_end(client);
	client->wait_fd = close_fd(client->wait_fd);
	client->exclusive = false;
	client->forwarded = client->fill_rung = client->tx_rung = 0;
	client->sleep_flags = NULL;
	client->armed = client->hung_up = false;
}

void xdpd_grant_unmap(struct xdpd_client *client)
{
	for (uint32_t i = 0; i < client->n_mappings; i++)
		munmap(client->mappings[i].address, client->mappings[i].length);
	free(client->x.spare);
	free(client->tap);
	xdpd_await_end(client);
	close_fd(client->wait_fd);
	xdpd_grant_none(client);
}

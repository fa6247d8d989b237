// SPDX-License-Identifier: BSD-2-Clause
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client/client.h"
#include "daemon/cleanup.h"

/* All that a grant becomes, until it has succeeded as a whole. */
struct parts {
	const struct xdpd_received *received;
	struct xdpd_mapping mappings[XDPD_MAPPINGS_MAX];
	uint32_t n_mappings;
	uint64_t *spare;
};

static void cleanup_parts(struct parts *parts)
{
	for (uint32_t i = 0; i < parts->n_mappings; i++)
		munmap(parts->mappings[i].address, parts->mappings[i].length);
	free(parts->spare);
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

static int map_region(struct parts *parts, const struct xdpd_region *region, void **ret)
{
	const struct xdpd_received *received = parts->received;
	bool read_only = region->flags & XDPD_REGION_READ_ONLY;
	void *address;
	int r;

	if (region->fd >= received->n_fds)
		return -EPROTO;
	r = check_extent(received->fds[region->fd], region,
			 received->grant.flags & XDPD_GRANT_EXCLUSIVE);
	if (r < 0)
		return r;
	address = mmap(NULL, region->length, PROT_READ | (read_only ? 0 : PROT_WRITE),
		       MAP_SHARED | MAP_POPULATE, received->fds[region->fd], (off_t)region->offset);
	if (address == MAP_FAILED)
		return -errno;
	parts->mappings[parts->n_mappings++] = (struct xdpd_mapping){address, region->length};
	*ret = address;
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
	r = map_region(parts, &place->region, &address);
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

static int join_rings(struct parts *parts, const struct xdpd_grant *grant, struct xdpd *x)
{
	int r = join_ring(parts, &grant->rx, CONSUMER, sizeof(struct xdp_desc), &x->rx);

	if (r == 0)
		r = join_ring(parts, &grant->tx, PRODUCER, sizeof(struct xdp_desc), &x->tx);
	if (r == 0)
		r = join_ring(parts, &grant->fill, PRODUCER, sizeof(uint64_t), &x->fill);
	if (r == 0)
		r = join_ring(parts, &grant->completion, CONSUMER, sizeof(uint64_t),
			      &x->completion);
	return r;
}

static bool grant_is_sound(const struct xdpd_grant *grant, uint32_t n_fds)
{
	return grant->n_fds == n_fds && grant->wait_fd < n_fds && grant->frames &&
	       is_power_of_two(grant->frame_size) && grant->headroom < grant->frame_size &&
	       grant->filled <= grant->frames && grant->filled <= grant->fill.size &&
	       grant->umem.length >= (uint64_t)grant->frames * grant->frame_size &&
	       grant->account.length >= sizeof(struct xdpd_account) &&
	       !(grant->account.flags & XDPD_REGION_READ_ONLY) && grant->rx.size &&
	       grant->fill.size && (!grant->tx.size || grant->completion.size);
}

void xdpd_grant_none(struct xdpd_client *client)
{
	struct xdpd_ring none;

	xdpd_ring_join(&none, NULL, 0, &client->no_word, &client->no_word, &client->no_word);
	client->x = (struct xdpd){
		.rx = none,
		.fill = none,
		.tx = none,
		.completion = none,
		.account = &client->no_account,
	};
	client->n_mappings = 0;
	client->wait_fd = -1;
	client->exclusive = client->raw = false;
}

/* The frames that are in no ring, the lowest on top. */
static uint64_t *stack_spares(const struct xdpd_grant *grant)
{
	uint64_t *spare = malloc(grant->frames * sizeof(*spare));

	for (uint32_t i = 0; spare && i < grant->frames - grant->filled; i++)
		spare[i] = (uint64_t)(grant->frames - 1 - i) * grant->frame_size;
	return spare;
}

int xdpd_grant_map(struct xdpd_client *client, struct xdpd_received *received)
{
	const struct xdpd_grant *grant = &received->grant;
	__attribute__((cleanup(cleanup_parts))) struct parts parts = {.received = received};
	struct xdpd x = client->x; /* absent rings stay so */
	void *umem, *account;
	int r;

	if (!grant_is_sound(grant, received->n_fds))
		return -EPROTO;
	r = map_region(&parts, &grant->umem, &umem);
	if (r == 0)
		r = map_region(&parts, &grant->account, &account);
	if (r == 0)
		r = join_rings(&parts, grant, &x);
	if (r < 0)
		return r;
	parts.spare = stack_spares(grant);
	if (!parts.spare)
		return -ENOMEM;

	x.umem = umem;
	x.account = account;
	x.transmit_bytes = __atomic_load_n(&x.account->transmit_bytes, __ATOMIC_RELAXED);
	x.frames = grant->frames;
	x.frame_size = grant->frame_size;
	x.frame_mask = ~((uint64_t)grant->frame_size - 1);
	x.spares = grant->frames - grant->filled;
	x.spare = TAKE_PTR(parts.spare);
	client->x = x;
	memcpy(client->mappings, parts.mappings, sizeof(parts.mappings));
	client->n_mappings = parts.n_mappings;
	parts.n_mappings = 0;
	client->exclusive = grant->flags & XDPD_GRANT_EXCLUSIVE;
	client->headroom = grant->headroom;
	client->filled = grant->filled;
	client->umem_size = grant->umem.length;
	client->rx_start = x.rx.own;
	client->wait_fd = TAKE_FD(received->fds[grant->wait_fd]);
	return 0;
}

void xdpd_grant_unmap(struct xdpd_client *client)
{
	for (uint32_t i = 0; i < client->n_mappings; i++)
		munmap(client->mappings[i].address, client->mappings[i].length);
	free(client->x.spare);
	close_fd(client->wait_fd);
	xdpd_grant_none(client);
}

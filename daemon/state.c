// SPDX-License-Identifier: BSD-2-Clause
/*
 * The state's memfd. Why it can be read whatever a writer was about when it was killed:
 *
 * - The slot that counts and its records are not touched by a write: the new records go where these are not, and are
 *   told by the other slot.
 * - That slot is written after its records, in one write of 64 bytes. Until then it is the older one, of a smaller
 *   generation (and of records that may be overwritten by now, so that it is not whole either). If it were ever torn,
 *   its checksum would tell.
 * - So the last byte of it changes which slot counts, and all before and after that byte does not. The file grows by
 *   being written to and shrinks behind both slots' records, after that.
 *
 * A process that is killed has made its writes in their order, all up to some byte of one and none beyond it.
 */
#include "daemon/state.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/cleanup.h"
#include "daemon/crc64.h"
#include "daemon/state_format.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

/* Of a file that is taken over: never reached by counting, and what is counted on from it stays greater. */
#define GENERATION_MAX INT64_MAX

static uint64_t slot_checksum(const struct state_slot *slot)
{
	return crc64(slot, offsetof(struct state_slot, checksum));
}

/* ---- reading and writing all of it ---- */

static int read_all(int fd, void *to, size_t length, uint64_t offset)
{
	char *at = to;

	while (length) {
		const ssize_t n = pread(fd, at, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EBADMSG;
		at += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *from, size_t length, uint64_t offset)
{
	const char *at = from;

	while (length) {
		const ssize_t n = pwrite(fd, at, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* ---- which slot counts ---- */

struct found {
	struct state_header header;
	uint64_t size;
	int slot;		/* -1: none is whole */
	unsigned char *records; /* its own */
};

static void cleanup_found(struct found *found)
{
	free(found->records);
}

static bool is_empty(const struct state_slot *slot)
{
	return !memcmp(slot, &(struct state_slot){}, sizeof(*slot));
}

static bool is_sound(const struct state_slot *slot, uint64_t size)
{
	return slot->checksum == slot_checksum(slot) && slot->generation && slot->version &&
	       slot->offset >= STATE_RECORDS_FROM && slot->offset <= size &&
	       slot->length <= STATE_SIZE_MAX && slot->length <= size - slot->offset;
}

/* Returns 0, or -EBADMSG if they are not as its checksum says, or -ENOMEM. */
static int read_records(int fd, const struct state_slot *slot, unsigned char **ret)
{
	cleanup_free unsigned char *records = malloc(slot->length + 1);
	int r;

	if (!records)
		return -ENOMEM;
	r = read_all(fd, records, slot->length, slot->offset);
	if (r < 0)
		return r;
	if (crc64(records, slot->length) != slot->records_checksum)
		return -EBADMSG;
	*ret = TAKE_PTR(records);
	return 0;
}

static int find_slot(int fd, struct found *found)
{
	const struct state_slot *slots = found->header.slots;
	const unsigned int newer = slots[1].generation > slots[0].generation;

	found->slot = -1;
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int slot = newer ^ i;
		int r = -EBADMSG;

		if (is_sound(&slots[slot], found->size))
			r = read_records(fd, &slots[slot], &found->records);
		if (r == 0)
			found->slot = (int)slot;
		if (r != -EBADMSG)
			return r;
	}
	return 0;
}

/* Its size and content may be any, and change under our eyes. */
static int look_into(int fd, struct found *found)
{
	struct stat status;
	int r;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < 0)
		return -EBADMSG;
	found->size = (uint64_t)status.st_size;
	r = read_all(fd, &found->header, sizeof(found->header), 0);
	if (r < 0)
		return r;
	if (found->header.magic != STATE_MAGIC)
		return -EBADMSG;
	return find_slot(fd, found);
}

int state_read(const struct state_file *file, struct state *ret)
{
	__attribute__((cleanup(cleanup_found))) struct found found = {};
	const struct state_slot *slots = found.header.slots;
	int r = look_into(file->fd, &found);

	if (r < 0)
		return r;
	if (found.slot < 0)
		return is_empty(&slots[0]) && is_empty(&slots[1]) ? -ENODATA : -EBADMSG;
	if (slots[found.slot].version > STATE_VERSION)
		return -EPROTONOSUPPORT;
	return state_decode(found.records, slots[found.slot].length, ret);
}

/* ---- the file ---- */

int state_file_create(struct state_file *ret)
{
	const struct state_header header = {.magic = STATE_MAGIC};
	cleanup_fd int fd = memfd_create("xdpd-state", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, &header, sizeof(header), 0);
	if (r < 0)
		return r;
	*ret = STATE_FILE_NONE;
	ret->fd = TAKE_FD(fd);
	ret->size = sizeof(header);
	return 0;
}

/* A memfd that can be written to, anywhere. */
static bool can_be_used(int fd)
{
	const int flags = fcntl(fd, F_GETFL), seals = fcntl(fd, F_GET_SEALS);

	return flags >= 0 && (flags & (O_ACCMODE | O_APPEND)) == O_RDWR && seals >= 0 &&
	       !(seals & SEALS);
}

/*
 * Of a slot whose records are not whole, too: they could be by the next write, if they are none and lie where the file
 * does not reach yet. So what is written next is newer than all that is there.
 */
static uint64_t greatest_generation(const struct state_slot slots[2])
{
	uint64_t greatest = 0;

	for (int i = 0; i < 2; i++)
		if (slots[i].checksum == slot_checksum(&slots[i]) && slots[i].generation > greatest)
			greatest = slots[i].generation;
	return greatest;
}

int state_file_open(struct state_file *ret, int fd)
{
	__attribute__((cleanup(cleanup_found))) struct found found = {};
	const struct state_slot *slots = found.header.slots;
	cleanup_fd int taken = fd;
	uint64_t greatest;
	int r;

	if (!can_be_used(fd))
		return -EBADMSG;
	r = look_into(fd, &found);
	if (r < 0)
		return r;
	greatest = greatest_generation(slots);
	if (greatest > GENERATION_MAX)
		return -EBADMSG;
	*ret = STATE_FILE_NONE;
	ret->fd = TAKE_FD(taken);
	ret->size = found.size;
	ret->generation = greatest;
	if (found.slot >= 0) {
		ret->slot = (unsigned int)found.slot;
		ret->offset = slots[found.slot].offset;
		ret->length = slots[found.slot].length;
	}
	return 0;
}

void state_file_close(struct state_file *file)
{
	close_fd(file->fd);
	free(file->records);
	*file = STATE_FILE_NONE;
}

/* ---- writing ---- */

static int encode(struct state_file *file, const struct state *state, size_t *ret_length)
{
	const size_t length = state_encoded_length(state);

	if (length > STATE_SIZE_MAX)
		return -EFBIG;
	if (length > file->capacity) {
		/* A little more, so that a state that grows with each write does not allocate each time. */
		const size_t capacity = length + length / 4;
		unsigned char *records = realloc(file->records, capacity);

		if (!records)
			return -ENOMEM;
		file->records = records;
		file->capacity = capacity;
	}
	*ret_length = length;
	return state_encode(state, file->records) == length ? 0 : -EINVAL;
}

/* Where the records that count are not: before them if there is room, else behind them. */
static uint64_t place(const struct state_file *file, size_t length)
{
	const uint64_t page = STATE_RECORDS_FROM;

	if (!file->length || length <= file->offset - STATE_RECORDS_FROM)
		return STATE_RECORDS_FROM;
	return (file->offset + file->length + page - 1) / page * page;
}

/* Behind the records of both slots; not for a little. */
static void shrink(struct state_file *file, uint64_t end)
{
	if (file->size / 2 > end && ftruncate(file->fd, (off_t)end) == 0)
		file->size = end;
}

int state_write(struct state_file *file, const struct state *state)
{
	const uint64_t end_before = file->offset + file->length;
	struct state_slot slot = {.generation = file->generation + 1, .version = STATE_VERSION};
	const unsigned int other = !file->slot;
	uint64_t end;
	size_t length;
	int r;

	r = encode(file, state, &length);
	if (r < 0)
		return r;
	slot.offset = place(file, length);
	slot.length = length;
	slot.records_checksum = crc64(file->records, length);
	slot.checksum = slot_checksum(&slot);
	end = slot.offset + length;
	r = write_all(file->fd, file->records, length, slot.offset);
	if (r < 0)
		return r;
	if (file->size < end)
		file->size = end;
	r = write_all(file->fd, &slot, sizeof(slot),
		      offsetof(struct state_header, slots) + other * sizeof(slot));
	if (r < 0)
		return r;
	file->generation = slot.generation;
	file->slot = other;
	file->offset = slot.offset;
	file->length = length;
	shrink(file, end > end_before ? end : end_before);
	return 0;
}

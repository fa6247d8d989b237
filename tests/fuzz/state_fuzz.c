// SPDX-License-Identifier: BSD-2-Clause
/*
 * Any bytes as the records of a state, and as the memfd of one. What is accepted is sound: it can be written again, and
 * is the same when it is read again. The memfd is read as it is, and with the checksums of its slots put right, so that
 * places and lengths that make no sense come through to where they are looked at.
 *
 * A folder of inputs that is named first gets states of the encoder's to start from.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/crc64.h"
#include "daemon/state_format.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool held)
{
	if (!held)
		abort();
}

static int image_fd = -1;			  /* holds the input */
static struct state_file again = STATE_FILE_NONE; /* what was accepted is written to it */

/* ---- states to start from ---- */

static struct saved_interface interfaces[2] = {
	{.device = "eth0",
	 .key = 1,
	 .ifindex = 3,
	 .slots = 8,
	 .mode = XDPD_MODE_NATIVE,
	 .program_id = 9,
	 .groups = {"ids", "dns"}},
	{.device = "eth1"},
};
static struct saved_rule rules[2] = {
	{.rule = 0, .action = XDPD_ACTION_PASS, .match = "port: 22"},
	{.rule = XDPD_RULES_MAX, .action = XDPD_ACTION_REDIRECT, .groups = "ids, dns"},
};
static uint32_t rule_parents[2];
static struct saved_totals totals[2] = {{.device = "eth0"}, {.device = "eth0", .queue = 1}};
static struct saved_queue queues[2] = {
	{.device = "eth0",
	 .key = 2,
	 .delivery = XDPD_EXCLUSIVE,
	 .frames = 4096,
	 .frame_size = 4096,
	 .rx = 2048,
	 .tx = 2048,
	 .fill = 2048,
	 .completion = 2048,
	 .receive_frames = 2048,
	 .filled = 2048,
	 .bind_mode = XDPD_BIND_COPY},
	{.device = "eth0",
	 .key = 3,
	 .queue = 1,
	 .delivery = XDPD_SHARED,
	 .frames = 64,
	 .frame_size = 2048,
	 .rx = 64,
	 .fill = 64,
	 .receive_frames = 64,
	 .filled = 64,
	 .bind_mode = XDPD_BIND_ZERO_COPY,
	 .epoch = 1,
	 .capacity = 1792},
};
static struct saved_group groups[2] = {{.name = "ids", .bit = 0}, {.name = "capture", .bit = 31}};
static uint32_t group_parents[2] = {1, 1};
static struct saved_consumer consumers[3] = {
	{.name = "rx", .key = 4, .uid = 1000, .pid = 77, .transmit = 1},
	{.name = "ids", .key = 5, .group = "ids", .slot = 0, .member_key = 1},
	{.name = "tap", .key = 6, .group = "capture", .slot = 1, .tap = 1, .member_key = 2},
};
static uint32_t consumer_parents[3] = {0, 1, 1};
static char running[] = "interfaces: [{ name: eth0 }]";

static const struct state full = {
	.daemon = {.started = 1, .last_reload_ok = 1, .last_key = 6},
	.running = running,
	.file = running,
	.interfaces = interfaces,
	.n_interfaces = 2,
	.rules = rules,
	.rule_parents = rule_parents,
	.n_rules = 2,
	.totals = totals,
	.n_totals = 2,
	.queues = queues,
	.n_queues = 2,
	.groups = groups,
	.group_parents = group_parents,
	.n_groups = 2,
	.consumers = consumers,
	.consumer_parents = consumer_parents,
	.n_consumers = 3,
};

static void leave_seed(const char *folder, const char *name, const void *bytes, size_t length)
{
	char path[4096];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	expect(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static void leave_seeds(const char *folder)
{
	static unsigned char bytes[65536];
	struct state_file file;
	ssize_t n;

	state_encode(&full, bytes);
	leave_seed(folder, "records", bytes, state_encoded_length(&full));
	expect(state_file_create(&file) == 0 && state_write(&file, &(struct state){}) == 0);
	n = pread(file.fd, bytes, sizeof(bytes), 0);
	leave_seed(folder, "memfd-empty", bytes, (size_t)n);
	expect(state_write(&file, &full) == 0);
	n = pread(file.fd, bytes, sizeof(bytes), 0);
	leave_seed(folder, "memfd-full", bytes, (size_t)n);
	state_file_close(&file);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct state decoded;

	image_fd = memfd_create("image", MFD_CLOEXEC);
	expect(image_fd >= 0 && state_file_create(&again) == 0);
	expect(state_write(&again, &full) == 0 && state_read(&again, &decoded) == 0);
	expect(decoded.n_consumers == 3);
	state_clear(&decoded);
	for (int i = 1; i < *argc; i++) {
		if ((*argv)[i][0] == '-')
			continue;
		leave_seeds((*argv)[i]);
		break;
	}
	return 0;
}

/* ---- what is checked ---- */

static bool same_text(const char *a, const char *b)
{
	return !a == !b && (!a || !strcmp(a, b));
}

static void expect_same(const struct state *a, const struct state *b)
{
#define SAME(array, count)             \
	expect(a->count == b->count && \
	       (!a->count || !memcmp(a->array, b->array, a->count * sizeof(*a->array))))

	expect(!memcmp(&a->daemon, &b->daemon, sizeof(a->daemon)));
	expect(same_text(a->running, b->running) && same_text(a->file, b->file));
	SAME(interfaces, n_interfaces);
	SAME(rules, n_rules);
	SAME(rule_parents, n_rules);
	SAME(totals, n_totals);
	SAME(queues, n_queues);
	SAME(groups, n_groups);
	SAME(group_parents, n_groups);
	SAME(consumers, n_consumers);
	SAME(consumer_parents, n_consumers);
#undef SAME
}

/* Ends the state. */
static void expect_sound(struct state *state)
{
	struct state read;

	for (size_t i = 0; i < state->n_rules; i++)
		expect(state->rule_parents[i] < state->n_interfaces);
	for (size_t i = 0; i < state->n_groups; i++)
		expect(state->group_parents[i] < state->n_queues);
	for (size_t i = 0; i < state->n_consumers; i++)
		expect(state->consumer_parents[i] < state->n_queues);
	expect(state_write(&again, state) == 0);
	expect(state_read(&again, &read) == 0);
	expect_same(state, &read);
	state_clear(&read);
	state_clear(state);
}

/* As a daemon that finds it: reads, and goes on to write. */
static void take_over_image(void)
{
	struct state_file file;
	struct state state;
	int r;

	if (state_file_open(&file, dup(image_fd)) < 0)
		return;
	r = state_read(&file, &state);
	if (r == 0)
		expect_sound(&state);
	expect(state_write(&file, &full) == 0);
	expect(state_read(&file, &state) == 0 && state.n_consumers == 3);
	expect_same(&state, &full);
	state_clear(&state);
	state_file_close(&file);
}

static void set_image(const void *bytes, size_t size)
{
	expect(ftruncate(image_fd, 0) == 0);
	expect(pwrite(image_fd, bytes, size, 0) == (ssize_t)size);
}

static void put_right(unsigned char *image, size_t size)
{
	struct state_header header;

	memcpy(&header, image, sizeof(header));
	header.magic = STATE_MAGIC;
	for (int i = 0; i < 2; i++) {
		struct state_slot *slot = &header.slots[i];

		if (slot->offset <= size && slot->length <= size - slot->offset &&
		    slot->offset >= sizeof(header))
			slot->records_checksum = crc64(image + slot->offset, slot->length);
		slot->checksum = crc64(slot, offsetof(struct state_slot, checksum));
	}
	memcpy(image, &header, sizeof(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *image;
	struct state state;

	if (state_decode(data, size, &state) == 0)
		expect_sound(&state);
	if (size < sizeof(struct state_header))
		return 0;
	set_image(data, size);
	take_over_image();
	image = malloc(size);
	if (!image)
		return 0;
	memcpy(image, data, size);
	put_right(image, size);
	set_image(image, size);
	take_over_image();
	free(image);
	return 0;
}

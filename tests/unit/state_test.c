// SPDX-License-Identifier: BSD-2-Clause
/*
 * What one daemon leaves to the next: it comes back whole, whatever the writer was about when it ended, and whatever
 * else is found in its place is refused or sound in itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/crc64.h"
#include "daemon/state_format.h"

/* ---- states ---- */

/* How much there is of each: rules for each interface, groups and consumers for each queue. */
struct sizes {
	size_t interfaces, rules, totals, queues, groups, consumers;
	size_t text;
};

static const struct sizes small = {2, 2, 2, 3, 2, 2, 40};
static const struct sizes tiny = {1, 1, 1, 1,
				  1, 2, 10}; /* one of each, for what looks at every byte */

static void *array_of(size_t n, size_t size)
{
	void *array = n ? calloc(n, size) : NULL;

	assert_true(array || !n);
	return array;
}

static char *make_text(size_t length, char letter)
{
	char *text = malloc(length + 1);

	assert_non_null(text);
	memset(text, letter, length);
	text[length] = '\0';
	return text;
}

static void make_interface(struct saved_interface *ret, uint32_t i, uint64_t mark)
{
	*ret = (struct saved_interface){
		.key = 1 + i,
		.ifindex = 10,
		.slots = 64,
		.mode = XDPD_MODE_NATIVE,
		.multi_buffer = 1,
		.program_id = 77,
		.bank = 1,
		.steered = 1,
		.counting = 1,
		.retired = {mark, mark + 1},
		.plain = {mark + 2, mark + 3},
		.groups = {"ids", "dns"},
		.changes = {[CHANGE_GONE] = mark},
	};
	(void)snprintf(ret->device, sizeof(ret->device), "eth%u", i);
}

static void make_rule(struct saved_rule *ret, size_t i, size_t n, uint64_t mark)
{
	*ret = (struct saved_rule){
		.rule = i + 1 == n ? XDPD_RULES_MAX : (uint32_t)i,
		.action = XDPD_ACTION_REDIRECT,
		.sum = {mark, mark},
		.match = "proto: tcp, port: 22",
		.groups = "ids, dns",
	};
}

static void make_totals(struct saved_totals *ret, size_t i, uint64_t mark)
{
	*ret = (struct saved_totals){
		.device = "eth0",
		.queue = (uint32_t)i,
		.receive_packets = mark,
		.statistics = {.rx_dropped = mark, .tx_ring_empty_descs = mark + 1},
		.verdicts = {{mark, mark}, {mark + 1, mark + 1}},
	};
}

static void make_queue(struct saved_queue *ret, uint32_t i, uint64_t mark)
{
	*ret = (struct saved_queue){
		.key = 100 + i,
		.queue = i % 4096,
		.delivery = XDPD_SHARED,
		.frames = 4096,
		.frame_size = 2048,
		.rx = 2048,
		.tx = 1024,
		.fill = 4096,
		.completion = 1024,
		.receive_frames = 3072,
		.filled = 3072,
		.bind_mode = XDPD_BIND_COPY,
		.counting = 1,
		.writable = 1,
		.seen_bytes = mark,
		.generation = 5,
		.epoch = 6,
		.capacity = 1792,
		.groups = 3,
		.marks = 1,
		.violations = mark,
	};
	(void)snprintf(ret->device, sizeof(ret->device), "eth%u", i / 4096);
}

static void make_group(struct saved_group *ret, size_t i, uint64_t mark)
{
	*ret = (struct saved_group){.bit = (uint32_t)i, .receive_packets = mark, .overrun = mark};
	(void)snprintf(ret->name, sizeof(ret->name), "group%zu", i);
}

static void make_consumer(struct saved_consumer *ret, size_t i, size_t n, uint64_t mark)
{
	*ret = (struct saved_consumer){
		.name = "suricata",
		.key = 1000000 + i,
		.uid = 1000,
		.pid = 4321,
		.transmit = 1,
		.attached = mark,
		.group = "group0",
		.slot = (uint32_t)(i % n),
		.tap = 1,
		.member_key = 1 + i,
		.overrun = mark,
	};
}

/* `mark` is in all of it, so that no two are alike. */
static void make_state(struct state *ret, const struct sizes *sizes, uint64_t mark)
{
	*ret = (struct state){
		.daemon = {.started = 1700000000, .restarts = mark, .last_reload_ok = 1},
		.running = make_text(sizes->text, 'r'),
		.file = make_text(sizes->text / 2, 'f'),
		.n_interfaces = sizes->interfaces,
		.n_rules = sizes->interfaces * sizes->rules,
		.n_totals = sizes->totals,
		.n_queues = sizes->queues,
		.n_groups = sizes->queues * sizes->groups,
		.n_consumers = sizes->queues * sizes->consumers,
	};
	ret->daemon.last_key = 2000000;
	ret->daemon.disconnects[DETACH_REASON_COUNT - 1] = mark;
	ret->daemon.request_failures[REQUEST_COUNT - 1] = mark;
	ret->interfaces = array_of(ret->n_interfaces, sizeof(*ret->interfaces));
	ret->rules = array_of(ret->n_rules, sizeof(*ret->rules));
	ret->rule_parents = array_of(ret->n_rules, sizeof(uint32_t));
	ret->totals = array_of(ret->n_totals, sizeof(*ret->totals));
	ret->queues = array_of(ret->n_queues, sizeof(*ret->queues));
	ret->groups = array_of(ret->n_groups, sizeof(*ret->groups));
	ret->group_parents = array_of(ret->n_groups, sizeof(uint32_t));
	ret->consumers = array_of(ret->n_consumers, sizeof(*ret->consumers));
	ret->consumer_parents = array_of(ret->n_consumers, sizeof(uint32_t));
	for (size_t i = 0; i < ret->n_interfaces; i++)
		make_interface(&ret->interfaces[i], (uint32_t)i, mark);
	for (size_t i = 0; i < ret->n_rules; i++) {
		make_rule(&ret->rules[i], i % sizes->rules, sizes->rules, mark);
		ret->rule_parents[i] = (uint32_t)(i / sizes->rules);
	}
	for (size_t i = 0; i < ret->n_totals; i++)
		make_totals(&ret->totals[i], i, mark);
	for (size_t i = 0; i < ret->n_queues; i++)
		make_queue(&ret->queues[i], (uint32_t)i, mark);
	for (size_t i = 0; i < ret->n_groups; i++) {
		make_group(&ret->groups[i], i % sizes->groups, mark);
		ret->group_parents[i] = (uint32_t)(i / sizes->groups);
	}
	for (size_t i = 0; i < ret->n_consumers; i++) {
		make_consumer(&ret->consumers[i], i, sizes->consumers, mark);
		ret->consumer_parents[i] = (uint32_t)(i / sizes->consumers);
	}
}

static void expect_text(const char *a, const char *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_string_equal(a, b);
}

static void expect_equal(const struct state *a, const struct state *b)
{
#define EXPECT(array, count)                  \
	assert_int_equal(a->count, b->count); \
	if (a->count)                         \
	assert_memory_equal(a->array, b->array, a->count * sizeof(*a->array))

	assert_memory_equal(&a->daemon, &b->daemon, sizeof(a->daemon));
	expect_text(a->running, b->running);
	expect_text(a->file, b->file);
	EXPECT(interfaces, n_interfaces);
	EXPECT(rules, n_rules);
	EXPECT(rule_parents, n_rules);
	EXPECT(totals, n_totals);
	EXPECT(queues, n_queues);
	EXPECT(groups, n_groups);
	EXPECT(group_parents, n_groups);
	EXPECT(consumers, n_consumers);
	EXPECT(consumer_parents, n_consumers);
#undef EXPECT
}

/* ---- bytes ---- */

struct bytes {
	unsigned char *at;
	size_t length;
};

static struct bytes encoded(const struct state *state)
{
	struct bytes bytes = {.length = state_encoded_length(state)};

	bytes.at = malloc(bytes.length);
	assert_non_null(bytes.at);
	assert_int_equal(state_encode(state, bytes.at), bytes.length);
	return bytes;
}

static struct bytes encoded_tiny(void)
{
	struct state state;
	struct bytes bytes;

	make_state(&state, &tiny, 7);
	bytes = encoded(&state);
	state_clear(&state);
	return bytes;
}

static void append(struct bytes *bytes, uint32_t kind, const void *body, size_t length)
{
	const struct state_record record = {.kind = kind, .length = (uint32_t)length};

	bytes->at = realloc(bytes->at, bytes->length + sizeof(record) + length);
	assert_non_null(bytes->at);
	memcpy(bytes->at + bytes->length, &record, sizeof(record));
	if (length)
		memcpy(bytes->at + bytes->length + sizeof(record), body, length);
	bytes->length += sizeof(record) + length;
}

/* Frees the bytes. */
static int decode(struct bytes bytes, struct state *ret)
{
	const int r = state_decode(bytes.at, bytes.length, ret);

	free(bytes.at);
	return r;
}

/* What the one who adopts it may rely on. */
static void expect_sound(const struct state *state)
{
	for (size_t i = 0; i < state->n_interfaces; i++) {
		assert_in_range(strnlen(state->interfaces[i].device, 16), 1, 15);
		assert_true(state->interfaces[i].slots <= 65536);
		for (int bit = 0; bit < XDPD_GROUPS_MAX; bit++)
			assert_in_range(strnlen(state->interfaces[i].groups[bit], 32), 0, 31);
	}
	for (size_t i = 0; i < state->n_rules; i++) {
		assert_true(state->rule_parents[i] < state->n_interfaces);
		assert_true(!i || state->rule_parents[i] >= state->rule_parents[i - 1]);
		assert_true(state->rules[i].rule <= XDPD_RULES_MAX);
		assert_in_range(state->rules[i].action, 1, 3);
		assert_in_range(strnlen(state->rules[i].match, 1024), 0, 1023);
	}
	for (size_t i = 0; i < state->n_totals; i++)
		assert_true(state->totals[i].queue < 65536);
	for (size_t i = 0; i < state->n_queues; i++) {
		const struct saved_queue *queue = &state->queues[i];

		assert_in_range(queue->delivery, XDPD_EXCLUSIVE, XDPD_SHARED);
		assert_true(queue->queue < 4096 && queue->frames && queue->rx && queue->fill);
		assert_true(queue->frame_size == 2048 || queue->frame_size == 4096);
		assert_int_equal(queue->rx & (queue->rx - 1), 0);
		assert_true(queue->filled <= queue->receive_frames &&
			    queue->receive_frames <= queue->frames);
		assert_true(queue->key <= state->daemon.last_key);
	}
	for (size_t i = 0; i < state->n_groups; i++) {
		assert_true(state->group_parents[i] < state->n_queues);
		assert_true(!i || state->group_parents[i] >= state->group_parents[i - 1]);
		assert_true(state->groups[i].bit <= 32);
	}
	for (size_t i = 0; i < state->n_consumers; i++) {
		assert_true(state->consumer_parents[i] < state->n_queues);
		assert_true(!i || state->consumer_parents[i] >= state->consumer_parents[i - 1]);
		assert_true(state->consumers[i].slot < 64);
		assert_in_range(strnlen(state->consumers[i].name, 32), 1, 31);
		assert_true(state->consumers[i].key <= state->daemon.last_key);
	}
}

/* A copy of its own size, so that a byte beyond it is noticed. Returns whether it was taken. */
static bool decode_copy(const unsigned char *bytes, size_t length)
{
	struct bytes copy = {malloc(length), length};
	struct state state;
	int r;

	assert_non_null(copy.at);
	memcpy(copy.at, bytes, length);
	r = decode(copy, &state);
	if (r < 0) {
		assert_int_equal(r, -EBADMSG);
		return false;
	}
	expect_sound(&state);
	state_clear(&state);
	return true;
}

/* ---- files ---- */

static struct bytes contents(int fd)
{
	struct bytes bytes;
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	bytes.length = (size_t)status.st_size;
	bytes.at = malloc(bytes.length);
	assert_non_null(bytes.at);
	assert_int_equal(pread(fd, bytes.at, bytes.length, 0), bytes.length);
	return bytes;
}

static int memfd_of(const unsigned char *bytes, size_t length)
{
	int fd = memfd_create("state-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, length, 0), length);
	return fd;
}

static uint64_t size_of(const struct state_file *file)
{
	struct stat status;

	assert_int_equal(fstat(file->fd, &status), 0);
	return (uint64_t)status.st_size;
}

/* As the next daemon does. */
static void open_anew(struct state_file *file)
{
	int fd = dup(file->fd);

	state_file_close(file);
	assert_int_equal(state_file_open(file, fd), 0);
}

/* By a daemon that finds it. */
static int read_left(int fd, struct state *ret)
{
	struct state_file file;
	int r = state_file_open(&file, dup(fd));

	if (r < 0)
		return r;
	r = state_read(&file, ret);
	state_file_close(&file);
	return r;
}

static void write_marked(struct state_file *file, const struct sizes *sizes, uint64_t mark)
{
	struct state state;

	make_state(&state, sizes, mark);
	assert_int_equal(state_write(file, &state), 0);
	state_clear(&state);
}

static void expect_left(int fd, const struct sizes *sizes, uint64_t mark)
{
	struct state expected, state;

	make_state(&expected, sizes, mark);
	assert_int_equal(read_left(fd, &state), 0);
	expect_equal(&state, &expected);
	state_clear(&expected);
	state_clear(&state);
}

/* ---- what comes back ---- */

static void a_full_state_comes_back_as_it_was(void **unused)
{
	const struct sizes full = {20, 65, 300, 500, 3, 4, 100000};
	struct state_file file;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	for (uint64_t mark = 1; mark < 5; mark++) {
		write_marked(&file, &full, mark);
		expect_left(file.fd, &full, mark);
	}
	state_file_close(&file);
	assert_int_equal(file.fd, -1);
}

static void an_empty_state_comes_back_empty(void **unused)
{
	const struct state empty = {};
	struct state_file file;
	struct state state;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	assert_int_equal(state_write(&file, &empty), 0);
	assert_int_equal(state_read(&file, &state), 0);
	expect_equal(&state, &empty);
	assert_null(state.running);
	assert_null(state.queues);
	state_clear(&state);
	state_file_close(&file);
	assert_int_equal(state_decode(NULL, 0, &state), 0);
	expect_equal(&state, &empty);
}

static void before_the_first_write_there_is_no_state(void **unused)
{
	struct state_file file;
	struct state state;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	assert_int_equal(state_read(&file, &state), -ENODATA);
	assert_int_equal(read_left(file.fd, &state), -ENODATA);
	state_file_close(&file);
}

static void a_daemon_goes_on_in_the_file_that_it_found(void **unused)
{
	struct state_file file;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	for (uint64_t mark = 1; mark < 20; mark++) {
		const struct sizes sizes = {1, 1, mark * 37 % 11, 2, 1, mark * 31 % 7, 100};

		open_anew(&file);
		write_marked(&file, &sizes, mark);
		expect_left(file.fd, &sizes, mark);
		assert_int_equal(file.generation, mark);
	}
	state_file_close(&file);
}

static void a_state_of_the_same_size_needs_no_memory(void **unused)
{
	const unsigned char *records;
	struct state_file file;
	uint64_t size;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 1);
	write_marked(&file, &small, 2);
	records = file.records;
	size = size_of(&file);
	for (uint64_t mark = 3; mark < 20; mark++) {
		write_marked(&file, &small, mark);
		assert_ptr_equal(file.records, records);
		assert_int_equal(size_of(&file), size);
	}
	state_file_close(&file);
}

static void memory_goes_back_when_the_state_has_shrunk(void **unused)
{
	const struct sizes large = {1, 1, 0, 100, 1, 50, 100};
	struct state_file file;
	uint64_t size;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	for (uint64_t mark = 1; mark < 30; mark++)
		write_marked(&file, &large, mark);
	size = size_of(&file);
	assert_true(size < 3 * file.length + 8192);
	for (uint64_t mark = 1; mark < 5; mark++)
		write_marked(&file, &small, mark);
	assert_true(size_of(&file) < size / 10);
	expect_left(file.fd, &small, 4);
	state_file_close(&file);
}

static void more_than_fits_is_refused_and_what_was_there_stays(void **unused)
{
	const struct state huge = {.n_rules = STATE_SIZE_MAX / sizeof(struct saved_rule)};
	struct state_file file;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 3);
	assert_int_equal(state_write(&file, &huge), -EFBIG);
	expect_left(file.fd, &small, 3);
	state_file_close(&file);
}

static void what_has_no_sorted_parents_is_refused_and_what_was_there_stays(void **unused)
{
	struct state_file file;
	struct state state;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 3);
	make_state(&state, &small, 4);
	state.consumer_parents[0] = 1;
	assert_int_equal(state_write(&file, &state), -EINVAL);
	state.consumer_parents[0] = 0;
	state.rule_parents[state.n_rules - 1] = 2;
	assert_int_equal(state_write(&file, &state), -EINVAL);
	expect_left(file.fd, &small, 3);
	state_clear(&state);
	state_file_close(&file);
}

/* ---- a writer that ends amid a write ---- */

static void expect_either(const unsigned char *bytes, size_t length, const struct state *before,
			  const struct state *after, bool is_after)
{
	int fd = memfd_of(bytes, length);
	struct state state;

	assert_int_equal(read_left(fd, &state), 0);
	expect_equal(&state, is_after ? after : before);
	state_clear(&state);
	close(fd);
}

/* The bytes of a write one by one: the records, then the slot. Only the last makes it count. */
static void cut_one_write(struct state_file *file, const struct state *before,
			  const struct state *after)
{
	const struct bytes old = contents(file->fd);
	struct bytes new, image = {};
	size_t slot, from, to;

	assert_int_equal(state_write(file, after), 0);
	new = contents(file->fd);
	slot = offsetof(struct state_header, slots) + file->slot * sizeof(struct state_slot);
	from = file->offset;
	to = from + file->length;
	image.length = old.length > to ? old.length : to;
	image.at = calloc(1, image.length);
	assert_non_null(image.at);
	memcpy(image.at, old.at, old.length);
	for (size_t at = from; at < to; at++) {
		image.at[at] = new.at[at];
		if (at % 97 == 0 || at < from + 64 || at > to - 64)
			expect_either(image.at, old.length > at + 1 ? old.length : at + 1, before,
				      after, false);
	}
	for (size_t at = slot; at < slot + sizeof(struct state_slot); at++) {
		bool complete;

		image.at[at] = new.at[at];
		complete = !memcmp(image.at + slot, new.at + slot, sizeof(struct state_slot));
		expect_either(image.at, image.length, before, after, complete);
	}
	expect_either(new.at, new.length, before, after, true);
	free(image.at);
	free(old.at);
	free(new.at);
}

static void a_write_that_is_cut_anywhere_leaves_the_state_before(void **unused)
{
	struct state_file file;
	struct state before, after;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	make_state(&before, &small, 0);
	assert_int_equal(state_write(&file, &before), 0);
	for (uint64_t mark = 1; mark < 8; mark++) {
		const struct sizes sizes = {mark % 2,
					    1,
					    mark * 5 % 7,
					    2,
					    1,
					    1 + mark * mark % 13,
					    mark == 4 ? 20000 : 50};

		make_state(&after, &sizes, mark);
		cut_one_write(&file, &before, &after);
		state_clear(&before);
		before = after;
	}
	state_clear(&after);
	state_file_close(&file);
}

/* Shared with a writer: numbers of the states whose write has begun, and has returned. */
struct progress {
	uint64_t begun, returned;
};

static struct sizes sizes_of(uint64_t mark)
{
	return (struct sizes){
		.interfaces = mark % 3,
		.rules = 1,
		.totals = mark * 7 % 50,
		.queues = 1 + mark % 5,
		.groups = 1,
		.consumers = mark % 16 == 0 ? 60 : mark % 7,
		.text = mark % 32 == 0 ? 300000 : mark * 13 % 5000,
	};
}

static void write_on(struct state_file *file, struct progress *progress)
{
	for (;;) {
		const uint64_t mark = progress->begun + 1;
		const struct sizes sizes = sizes_of(mark);
		struct state state;

		make_state(&state, &sizes, mark);
		__atomic_store_n(&progress->begun, mark, __ATOMIC_RELEASE);
		if (state_write(file, &state) < 0)
			_exit(1);
		__atomic_store_n(&progress->returned, mark, __ATOMIC_RELEASE);
		state_clear(&state);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/*
 * A writer that takes over what is there, and its end some time after it has begun. By an alarm, which ends it as
 * SIGKILL does, but on the same CPU and at the moment that is asked for.
 */
static void write_until_killed(int fd, struct progress *progress, unsigned int usecs)
{
	const struct itimerval alarm_then = {.it_value.tv_usec = usecs};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct state_file file;

		if (state_file_open(&file, dup(fd)) < 0 ||
		    setitimer(ITIMER_REAL, &alarm_then, NULL))
			_exit(1);
		write_on(&file, progress);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
}

/* Read after a writer has ended: a whole one, that was being written or the last that was. */
static void expect_newest(int fd, struct progress *progress)
{
	struct state state, expected;
	struct sizes sizes;
	int r = read_left(fd, &state);

	if (r == -ENODATA && !progress->returned)
		return;
	assert_int_equal(r, 0);
	assert_in_range(state.daemon.restarts, progress->returned, progress->begun);
	sizes = sizes_of(state.daemon.restarts);
	make_state(&expected, &sizes, state.daemon.restarts);
	expect_equal(&state, &expected);
	/* What was read once is not older the next time. */
	progress->returned = state.daemon.restarts;
	state_clear(&state);
	state_clear(&expected);
}

static void a_writer_that_is_killed_leaves_a_whole_state_and_none_older_than_it_wrote(void **unused)
{
	static const long usecs[] = {100, 200, 400, 2000};
	const bool slow = getenv("MEMCHECK") != NULL;
	const double end = now() + (slow ? 2 : 10);
	unsigned int kills = 0, amid = 0;
	struct progress *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct state_file file;

	(void)unused;
	assert_ptr_not_equal(progress, MAP_FAILED);
	assert_int_equal(state_file_create(&file), 0);
	srandom(4);
	while (kills < 4000 && now() < end) {
		const long limit = slow ? 20000 : usecs[kills % 4];

		write_until_killed(file.fd, progress, 1 + (unsigned int)(random() % limit));
		kills++;
		amid += progress->returned < progress->begun;
		expect_newest(file.fd, progress);
	}
	printf("# %u kills, %u of them amid a write, of %u\n", kills, amid,
	       (unsigned int)progress->begun);
	assert_true(kills > 3);
	state_file_close(&file);
	munmap(progress, sizeof(*progress));
}

/* ---- what is no state ---- */

static void expect_refused(int fd)
{
	struct state_file file = STATE_FILE_NONE;

	assert_int_equal(state_file_open(&file, fd), -EBADMSG);
	assert_int_equal(file.fd, -1);
	if (fd >= 0)
		assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void any_other_fd_is_refused_and_closed(void **unused)
{
	const struct state_header header = {.magic = STATE_MAGIC};
	const unsigned char *bytes = (const unsigned char *)&header;
	char path[] = "/tmp/xdpd-state.XXXXXX", link[64];
	int ends[2], fd;

	(void)unused;
	expect_refused(-1);
	assert_int_equal(pipe(ends), 0);
	expect_refused(ends[0]);
	expect_refused(ends[1]);
	expect_refused(open("/dev/zero", O_RDWR));
	expect_refused(open("/", O_RDONLY));
	fd = mkostemp(path, O_APPEND);
	assert_int_equal(write(fd, bytes, sizeof(header)), sizeof(header));
	unlink(path);
	expect_refused(fd);
	expect_refused(memfd_of(bytes, 0));
	expect_refused(memfd_of(bytes, sizeof(header) - 1));
	expect_refused(memfd_of(bytes + 1, sizeof(header) - 1));
	fd = memfd_of(bytes, sizeof(header));
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	expect_refused(open(link, O_RDONLY));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	expect_refused(fd);
}

static void every_truncation_of_the_file_is_refused_or_one_of_the_two(void **unused)
{
	struct state_file file;
	struct bytes bytes;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &tiny, 1);
	write_marked(&file, &tiny, 2);
	bytes = contents(file.fd);
	for (size_t length = 0; length < bytes.length; length++) {
		int fd = memfd_of(bytes.at, length);
		struct state state;
		int r = read_left(fd, &state);

		if (r == 0) {
			assert_int_equal(state.daemon.restarts, 1);
			state_clear(&state);
		} else {
			assert_int_equal(r, -EBADMSG);
		}
		close(fd);
	}
	free(bytes.at);
	state_file_close(&file);
}

static void every_changed_byte_of_the_file_is_noticed(void **unused)
{
	struct state_file file;
	struct bytes bytes;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &tiny, 1);
	write_marked(&file, &tiny, 2);
	bytes = contents(file.fd);
	for (size_t at = 0; at < bytes.length; at++) {
		const unsigned char changed = (unsigned char)~bytes.at[at];
		struct state state;
		int r;

		assert_int_equal(pwrite(file.fd, &changed, 1, (off_t)at), 1);
		r = read_left(file.fd, &state);
		if (r == 0) {
			assert_in_range(state.daemon.restarts, 1, 2);
			assert_int_equal(state.n_queues, tiny.queues);
			state_clear(&state);
		} else {
			assert_int_equal(r, -EBADMSG);
			assert_true(at < sizeof(uint64_t)); /* the magic */
		}
		assert_int_equal(pwrite(file.fd, &bytes.at[at], 1, (off_t)at), 1);
	}
	free(bytes.at);
	state_file_close(&file);
}

static void change_size(int fd, uint64_t size)
{
	static const uint64_t sizes[] = {0, 64, 4096, INT64_MAX};

	for (unsigned int i = 0;; i++)
		if (ftruncate(fd, (off_t)(i % 2 ? sizes[i / 2 % 4] : size)) < 0)
			_exit(1);
}

static void a_file_whose_size_changes_meanwhile_is_refused(void **unused)
{
	struct state_file file;
	unsigned int refused = 0;
	pid_t pid;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		change_size(file.fd, size_of(&file));
	while (refused < 2000) {
		struct state state;
		int r = state_read(&file, &state);

		if (r == 0) /* not yet */
			state_clear(&state);
		else
			assert_int_equal(r, -EBADMSG);
		refused += r < 0;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	state_file_close(&file);
}

static void what_is_not_whole_is_no_state_and_can_be_written_over(void **unused)
{
	struct state_file file;
	struct state state;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 1);
	assert_int_equal(pwrite(file.fd, "?", 1, (off_t)file.offset + 50), 1);
	assert_int_equal(state_read(&file, &state), -EBADMSG);
	open_anew(&file);
	for (uint64_t mark = 2; mark < 5; mark++) {
		write_marked(&file, &small, mark);
		expect_left(file.fd, &small, mark);
	}
	state_file_close(&file);
}

static void a_slot_that_becomes_whole_as_the_file_grows_does_not_count(void **unused)
{
	struct state_header header = {
		.magic = STATE_MAGIC,
		.slots[0] = {.generation = 100, .version = STATE_VERSION, .offset = 5000},
	};
	struct state_slot *slot = &header.slots[0];
	struct state_file file;
	struct state state;

	(void)unused;
	slot->checksum = crc64(slot, offsetof(struct state_slot, checksum));
	assert_int_equal(state_file_open(&file, memfd_of((void *)&header, sizeof(header))), 0);
	assert_int_equal(state_read(&file, &state), -EBADMSG);
	write_marked(&file, &small, 1);
	expect_left(file.fd, &small, 1);
	state_file_close(&file);

	/* Nor can one be taken over that leaves no number for the next. */
	slot->generation = UINT64_MAX;
	slot->checksum = crc64(slot, offsetof(struct state_slot, checksum));
	expect_refused(memfd_of((void *)&header, sizeof(header)));
}

static void every_truncation_of_the_records_is_refused_or_sound(void **unused)
{
	const struct bytes bytes = encoded_tiny();

	(void)unused;
	for (size_t length = 0; length < bytes.length; length++)
		(void)decode_copy(bytes.at, length);
	assert_true(decode_copy(bytes.at, bytes.length));
	free(bytes.at);
}

static void every_changed_byte_of_the_records_is_refused_or_sound(void **unused)
{
	static const unsigned char changes[] = {0x01, 0x02, 0x40, 0x80, 0xff};
	const struct bytes bytes = encoded_tiny();
	size_t refused = 0;

	(void)unused;
	for (size_t at = 0; at < bytes.length; at++) {
		const unsigned char before = bytes.at[at];

		for (size_t i = 0; i < sizeof(changes); i++) {
			bytes.at[at] = before ^ changes[i];
			refused += !decode_copy(bytes.at, bytes.length);
		}
		bytes.at[at] = 0;
		(void)decode_copy(bytes.at, bytes.length);
		bytes.at[at] = before;
	}
	assert_true(refused);
	free(bytes.at);
}

/* ---- versions ---- */

static void what_an_older_writer_did_not_have_reads_0(void **unused)
{
	struct saved_queue queue;
	struct saved_consumer consumer;
	const uint64_t disconnects[] = {11, 12};
	const uint64_t daemon[] = {1700000000, 3};
	struct bytes bytes = {};
	struct state state;

	(void)unused;
	make_queue(&queue, 0, 9);
	queue.delivery = XDPD_EXCLUSIVE;
	make_consumer(&consumer, 0, 1, 9);
	append(&bytes, STATE_DAEMON, daemon, sizeof(daemon));
	append(&bytes, STATE_DISCONNECTS, disconnects, sizeof(disconnects));
	append(&bytes, STATE_QUEUE, &queue, offsetof(struct saved_queue, generation));
	append(&bytes, STATE_CONSUMER, &consumer, offsetof(struct saved_consumer, group));
	assert_int_equal(decode(bytes, &state), 0);
	assert_int_equal(state.daemon.restarts, 3);
	assert_int_equal(state.daemon.last_reload, 0);
	assert_int_equal(state.daemon.last_key, consumer.key);
	assert_int_equal(state.daemon.disconnects[1], 12);
	assert_int_equal(state.daemon.disconnects[2], 0);
	assert_int_equal(state.queues[0].seen_bytes, 9);
	assert_int_equal(state.queues[0].violations, 0);
	assert_string_equal(state.consumers[0].group, "");
	assert_int_equal(state.consumers[0].overrun, 0);
	state_clear(&state);
}

static void what_a_newer_writer_added_is_passed_over(void **unused)
{
	struct {
		struct saved_queue known;
		uint64_t added[3];
	} queue = {.added = {1, 2, 3}};
	const uint64_t failures[REQUEST_COUNT + 5] = {[0] = 1, [REQUEST_COUNT] = 2};
	struct saved_consumer consumer;
	struct bytes bytes = {};
	struct state state;

	(void)unused;
	make_queue(&queue.known, 0, 9);
	make_consumer(&consumer, 0, 1, 9);
	append(&bytes, STATE_KINDS, "new", 3);
	append(&bytes, STATE_REQUEST_FAILURES, failures, sizeof(failures));
	append(&bytes, STATE_QUEUE, &queue, sizeof(queue));
	append(&bytes, UINT32_MAX, NULL, 0);
	append(&bytes, STATE_CONSUMER, &consumer, sizeof(consumer));
	assert_int_equal(decode(bytes, &state), 0);
	assert_int_equal(state.daemon.request_failures[0], 1);
	assert_memory_equal(&state.queues[0], &queue.known, sizeof(queue.known));
	assert_memory_equal(&state.consumers[0], &consumer, sizeof(consumer));
	state_clear(&state);
}

static void a_newer_version_is_refused_although_an_older_state_is_there(void **unused)
{
	struct state_file file;
	struct state_header header;
	struct state_slot *slot;
	struct state state;

	(void)unused;
	assert_int_equal(state_file_create(&file), 0);
	write_marked(&file, &small, 1);
	write_marked(&file, &small, 2);
	assert_int_equal(pread(file.fd, &header, sizeof(header), 0), sizeof(header));
	slot = &header.slots[file.slot];
	slot->version = STATE_VERSION + 1;
	slot->checksum = crc64(slot, offsetof(struct state_slot, checksum));
	assert_int_equal(pwrite(file.fd, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(read_left(file.fd, &state), -EPROTONOSUPPORT);
	/* Whoever starts afresh can use the file. */
	open_anew(&file);
	write_marked(&file, &small, 3);
	expect_left(file.fd, &small, 3);
	state_file_close(&file);
}

/* ---- what makes no sense ---- */

static void expect_senseless(const struct state *state)
{
	const struct bytes bytes = encoded(state);
	struct state decoded;

	assert_int_equal(decode(bytes, &decoded), -EBADMSG);
}

static void what_is_out_of_range_is_refused(void **unused)
{
	struct state state;

	(void)unused;
	make_state(&state, &small, 1);
#define REFUSED(member, value)                        \
	do {                                          \
		const typeof(member) kept = (member); \
                                                      \
		(member) = (typeof(member))(value);   \
		expect_senseless(&state);             \
		(member) = kept;                      \
	} while (0)

	REFUSED(state.daemon.last_reload_ok, 2);
	REFUSED(state.daemon.last_key, UINT64_MAX);
	REFUSED(state.interfaces[0].device[0], 0);
	REFUSED(state.interfaces[0].key, UINT64_MAX);
	REFUSED(state.interfaces[0].ifindex, 0);
	REFUSED(state.interfaces[0].ifindex, INT32_MIN);
	REFUSED(state.interfaces[0].slots, 65537);
	REFUSED(state.interfaces[0].slots, 0);
	REFUSED(state.interfaces[0].mode, XDPD_MODE_AUTO);
	REFUSED(state.interfaces[0].mode, 4);
	REFUSED(state.interfaces[0].bank, 2);
	REFUSED(state.interfaces[0].counting, 2);
	REFUSED(state.rules[0].rule, XDPD_RULES_MAX + 1);
	REFUSED(state.rules[0].action, 0);
	REFUSED(state.rules[0].action, 4);
	REFUSED(state.totals[0].device[0], 0);
	REFUSED(state.totals[0].queue, 65536);
	REFUSED(state.queues[0].queue, 4096);
	REFUSED(state.queues[0].delivery, 0);
	REFUSED(state.queues[0].delivery, 3);
	REFUSED(state.queues[0].frames, 0);
	REFUSED(state.queues[0].frame_size, 1024);
	REFUSED(state.queues[0].headroom, 2048 - 256);
	REFUSED(state.queues[0].rx, 0);
	REFUSED(state.queues[0].rx, 1000);
	REFUSED(state.queues[0].rx, 1u << 21);
	REFUSED(state.queues[0].fill, 0);
	REFUSED(state.queues[0].tx, 3);
	REFUSED(state.queues[0].completion, 0);
	REFUSED(state.queues[0].receive_frames, 4097);
	REFUSED(state.queues[0].receive_frames, 0);
	REFUSED(state.queues[0].filled, 3073);
	REFUSED(state.queues[0].bind_mode, XDPD_BIND_AUTO);
	REFUSED(state.queues[0].bind_mode, 4);
	REFUSED(state.queues[0].counting, 2);
	REFUSED(state.queues[0].writable, 2);
	REFUSED(state.queues[0].capacity, 2049);
	REFUSED(state.groups[0].name[0], 0);
	REFUSED(state.groups[0].bit, 33);
	REFUSED(state.consumers[0].name[0], 0);
	REFUSED(state.consumers[0].group[0], 0);
	REFUSED(state.consumers[0].slot, 64);
	REFUSED(state.consumers[0].pid, INT32_MIN);
	REFUSED(state.consumers[0].transmit, 2);
	REFUSED(state.consumers[0].subscribed, 2);
	REFUSED(state.consumers[0].tap, 2);
	state_clear(&state);
}

static void what_is_there_twice_is_refused(void **unused)
{
	const uint64_t once[] = {1, 2};
	struct bytes bytes = {};
	struct state state;

	(void)unused;
	make_state(&state, &small, 1);
	REFUSED(state.interfaces[1].device[3], '0');
	REFUSED(state.interfaces[1].key, state.interfaces[0].key);
	memcpy(state.interfaces[0].groups[31], "dns", 4);
	expect_senseless(&state);
	state.interfaces[0].groups[31][0] = '\0';
	REFUSED(state.rules[1].rule, 0);
	REFUSED(state.totals[1].queue, 0);
	REFUSED(state.queues[1].queue, 0);
	REFUSED(state.queues[1].key, state.queues[0].key);
	REFUSED(state.groups[1].bit, state.groups[0].bit);
	REFUSED(state.groups[1].name[5], '0');
	REFUSED(state.consumers[1].slot, state.consumers[0].slot);
	REFUSED(state.consumers[1].member_key, state.consumers[0].member_key);
	REFUSED(state.consumers[1].key, state.consumers[0].key);
	REFUSED(state.consumers[2].key, state.consumers[0].key); /* of another queue */
	state_clear(&state);

	append(&bytes, STATE_DAEMON, once, sizeof(once));
	append(&bytes, STATE_DAEMON, once, sizeof(once));
	assert_int_equal(decode(bytes, &state), -EBADMSG);
	bytes = (struct bytes){};
	append(&bytes, STATE_RUNNING, "a", 1);
	append(&bytes, STATE_RUNNING, "b", 1);
	assert_int_equal(decode(bytes, &state), -EBADMSG);
}

static void a_text_without_an_end_is_refused(void **unused)
{
	struct bytes bytes = {};
	struct state state;

	(void)unused;
	make_state(&state, &small, 1);
#define ENDLESS(member)                                                                \
	do {                                                                           \
		char kept[sizeof(member)];                                             \
                                                                                       \
		memcpy(kept, (member), sizeof(kept));                                  \
		memset((member) + strlen(member), 'x', sizeof(kept) - strlen(member)); \
		expect_senseless(&state);                                              \
		memcpy((member), kept, sizeof(kept));                                  \
	} while (0)

	ENDLESS(state.interfaces[0].device);
	ENDLESS(state.interfaces[0].groups[0]);
	ENDLESS(state.rules[0].match);
	ENDLESS(state.rules[0].groups);
	ENDLESS(state.totals[0].device);
	ENDLESS(state.queues[0].device);
	ENDLESS(state.groups[0].name);
	ENDLESS(state.consumers[0].name);
	ENDLESS(state.consumers[0].group);
	state_clear(&state);

	append(&bytes, STATE_RUNNING, "one\0two", 7);
	assert_int_equal(decode(bytes, &state), -EBADMSG);
}

static void what_is_behind_the_end_of_a_text_is_cleared(void **unused)
{
	struct bytes bytes;
	struct state state;

	(void)unused;
	make_state(&state, &small, 1);
	state.consumers[0].name[sizeof(state.consumers[0].name) - 1] = 'x';
	bytes = encoded(&state);
	state_clear(&state);
	assert_int_equal(decode(bytes, &state), 0);
	assert_int_equal(state.consumers[0].name[sizeof(state.consumers[0].name) - 1], 0);
	state_clear(&state);
}

static void what_belongs_to_nothing_is_refused(void **unused)
{
	struct bytes bytes = {};
	struct saved_queue queue;
	struct saved_group group;
	struct saved_consumer consumers[2];
	struct saved_rule rule;
	struct state state;

	(void)unused;
	make_rule(&rule, 0, 1, 0);
	make_group(&group, 0, 0);
	make_queue(&queue, 0, 0);
	make_consumer(&consumers[0], 0, 2, 0);
	make_consumer(&consumers[1], 1, 2, 0);
	append(&bytes, STATE_RULE, &rule, sizeof(rule));
	assert_int_equal(decode(bytes, &state), -EBADMSG);

	bytes = (struct bytes){};
	append(&bytes, STATE_CONSUMER, &consumers[0], sizeof(consumers[0]));
	append(&bytes, STATE_QUEUE, &queue, sizeof(queue));
	assert_int_equal(decode(bytes, &state), -EBADMSG);

	/* Groups and a second consumer are for shared delivery. */
	queue.delivery = XDPD_EXCLUSIVE;
	bytes = (struct bytes){};
	append(&bytes, STATE_QUEUE, &queue, sizeof(queue));
	append(&bytes, STATE_GROUP, &group, sizeof(group));
	assert_int_equal(decode(bytes, &state), -EBADMSG);

	bytes = (struct bytes){};
	consumers[0].group[0] = consumers[1].group[0] = '\0';
	append(&bytes, STATE_QUEUE, &queue, sizeof(queue));
	append(&bytes, STATE_CONSUMER, &consumers[0], sizeof(consumers[0]));
	append(&bytes, STATE_CONSUMER, &consumers[1], sizeof(consumers[1]));
	assert_int_equal(decode(bytes, &state), -EBADMSG);
}

static void interfaces_without_a_program_need_no_key(void **unused)
{
	struct state state;

	(void)unused;
	make_state(&state, &small, 1);
	for (size_t i = 0; i < state.n_interfaces; i++) {
		state.interfaces[i].key = 0;
		state.interfaces[i].slots = 0;
		state.interfaces[i].mode = XDPD_MODE_NONE;
		state.interfaces[i].ifindex = 0;
	}
	{
		const struct bytes bytes = encoded(&state);
		struct state decoded;

		assert_int_equal(decode(bytes, &decoded), 0);
		expect_equal(&decoded, &state);
		state_clear(&decoded);
	}
	state_clear(&state);
}

static void the_checksum_is_crc_64_xz(void **unused)
{
	(void)unused;
	assert_true(crc64("123456789", 9) == UINT64_C(0x995dc9bbdf1939fa));
	assert_true(crc64("", 0) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_state_comes_back_as_it_was),
		cmocka_unit_test(an_empty_state_comes_back_empty),
		cmocka_unit_test(before_the_first_write_there_is_no_state),
		cmocka_unit_test(a_daemon_goes_on_in_the_file_that_it_found),
		cmocka_unit_test(a_state_of_the_same_size_needs_no_memory),
		cmocka_unit_test(memory_goes_back_when_the_state_has_shrunk),
		cmocka_unit_test(more_than_fits_is_refused_and_what_was_there_stays),
		cmocka_unit_test(what_has_no_sorted_parents_is_refused_and_what_was_there_stays),
		cmocka_unit_test(a_write_that_is_cut_anywhere_leaves_the_state_before),
		cmocka_unit_test(
			a_writer_that_is_killed_leaves_a_whole_state_and_none_older_than_it_wrote),
		cmocka_unit_test(any_other_fd_is_refused_and_closed),
		cmocka_unit_test(every_truncation_of_the_file_is_refused_or_one_of_the_two),
		cmocka_unit_test(every_changed_byte_of_the_file_is_noticed),
		cmocka_unit_test(a_file_whose_size_changes_meanwhile_is_refused),
		cmocka_unit_test(what_is_not_whole_is_no_state_and_can_be_written_over),
		cmocka_unit_test(a_slot_that_becomes_whole_as_the_file_grows_does_not_count),
		cmocka_unit_test(every_truncation_of_the_records_is_refused_or_sound),
		cmocka_unit_test(every_changed_byte_of_the_records_is_refused_or_sound),
		cmocka_unit_test(what_an_older_writer_did_not_have_reads_0),
		cmocka_unit_test(what_a_newer_writer_added_is_passed_over),
		cmocka_unit_test(a_newer_version_is_refused_although_an_older_state_is_there),
		cmocka_unit_test(what_is_out_of_range_is_refused),
		cmocka_unit_test(what_is_there_twice_is_refused),
		cmocka_unit_test(a_text_without_an_end_is_refused),
		cmocka_unit_test(what_is_behind_the_end_of_a_text_is_cleared),
		cmocka_unit_test(what_belongs_to_nothing_is_refused),
		cmocka_unit_test(interfaces_without_a_program_need_no_key),
		cmocka_unit_test(the_checksum_is_crc_64_xz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

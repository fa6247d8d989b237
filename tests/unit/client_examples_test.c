// SPDX-License-Identifier: BSD-2-Clause
/* The examples on a shared queue, run as programs: they hold, tap, send, and send back. */
#include "client_worker.h"

#include <spawn.h>
#include <sys/wait.h>

static char output[4096]; /* of the last example */

static bool has_example(const char *name, char ret[256])
{
	const char *build = getenv("BUILD");

	snprintf(ret, 256, "%s/examples/%s", build ? build : "build", name);
	if (access(ret, X_OK) == 0)
		return true;
	print_message("skipped: %s is not built\n", ret);
	return false;
}

/* ---- a worker that goes on by itself ---- */

static struct {
	pthread_t thread;
	bool stop;
	uint32_t transmitted,
		own;		 /* packets sent, and those of them in the consumer's own memory */
	unsigned char first[64]; /* bytes of the first one */
} run;

static void look_at_transmitted(void)
{
	const struct xdpd_ring *tx = &kernel.ring[TX];
	uint32_t count = *word_of(TX, 0) - tx->own;

	for (uint32_t i = 0; i < count; i++) {
		const struct xdp_desc *entry = xdpd_ring_desc(tx, tx->own + i);
		bool is_own = entry->addr >= LENT_END;

		if (run.transmitted + i == 0)
			memcpy(run.first,
			       is_own ? worker.own + TRANSMIT_AT + entry->addr - LENT_END
				      : worker.umem + entry->addr,
			       sizeof(run.first));
		run.own += is_own;
	}
	run.transmitted += kernel_transmit(count);
}

static void *work(void *context)
{
	(void)context;
	await(&fake.said);
	while (!__atomic_load_n(&run.stop, __ATOMIC_RELAXED)) {
		if (fake.grant.flags & XDPD_GRANT_TAP) {
			show(8, 100);
		} else {
			take_returns();
			lend(8);
		}
		if (fake.grant.tx.size &&
		    __atomic_load_n(word_of(TX, 0), __ATOMIC_ACQUIRE) != kernel.ring[TX].own)
			look_at_transmitted();
		(void)wake_sleeper(sleep_flags());
		usleep(500);
	}
	return NULL;
}

/* Its exit status; -1: a signal. What it says is then in `output`. */
static int run_program(const char *path, char *const arguments[])
{
	posix_spawn_file_actions_t actions;
	int fd = memfd_create("output", 0), status = 0;
	ssize_t n;
	pid_t pid;

	memset(&run, 0, sizeof(run));
	assert_int_equal(pthread_create(&run.thread, NULL, work, NULL), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	posix_spawn_file_actions_adddup2(&actions, fd, 2);
	assert_int_equal(posix_spawn(&pid, path, &actions, NULL, arguments, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	__atomic_store_n(&run.stop, true, __ATOMIC_RELAXED);
	/* Had it never attached, the worker would wait for that. */
	post(&fake.said);
	pthread_join(run.thread, NULL);
	n = pread(fd, output, sizeof(output) - 1, 0);
	output[n > 0 ? n : 0] = '\0';
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs an example up to its count on a queue that is shared so. */
static void run_example(const char *name, uint32_t flags, bool transmits, char *const options[])
{
	char path[256];
	char *arguments[16] = {path, "-q", "-t", "20", "-s", fake.path};
	int n = 6;

	if (!has_example(name, path))
		skip();
	begin_shared(flags, transmits);
	while (*options)
		arguments[n++] = *options++;
	arguments[n++] = "eth0";
	arguments[n++] = "3";
	n = run_program(path, arguments);
	if (n != 0)
		fail_msg("%s ended with status %d: %s", name, n, output);
	end_shared(NULL);
}

static void assert_said(const char *text)
{
	if (!strstr(output, text))
		fail_msg("`%s` is not in: %s", text, output);
}

/* ---- */

static void xdpd_rx_holds_and_taps(void **state)
{
	(void)state;
	run_example("xdpd-rx", 0, false,
		    (char *[]){"--hold", "-g", "ids", "-c", "200", "-v", NULL});
	assert_int_equal(fake.in.attach.header.type, XDPD_DETACH);
	assert_said("in group ids, holding frames");
	assert_said("received 200 frames");
	assert_null(strstr(output, "overrun"));

	run_example("xdpd-rx", XDPD_GRANT_TAP, false, (char *[]){"--tap", "-c", "200", NULL});
	assert_said("received 200 frames 20000 bytes");
	assert_said("overrun 0");
}

/* The first connection ends after a while; the rings are those of before in the second one, too. */
static void script_end_once(struct fake *it)
{
	const int fds[WORKER_FDS] = {worker.umem_read_fd, kernel.rings_fd, kernel.sockets[0],
				     worker.own_fd, worker.rings_read_fd};

	if (!welcome() || !expect(XDPD_ATTACH))
		return;
	say_with_fds(XDPD_GRANT, fake.in.header.id, &it->grant, worker.grant_length, fds,
		     WORKER_FDS);
	if (!start())
		return;
	post(&it->said);
	if (it->connections > 1)
		until_it_goes();
	else
		usleep(50000);
}

static void xdpd_rx_attaches_again_where_it_is_told_to(void **state)
{
	char path[256];
	char *arguments[] = {path, "-q",   "-t",   "20", "-s", fake.path, "--hold",
			     "-c", "4000", "eth0", "3",	 NULL, NULL};

	(void)state;
	if (!has_example("xdpd-rx", path))
		skip();
	begin_shared_with(script_end_once, 0, false, 0);
	assert_int_equal(run_program(path, arguments), 3);
	assert_said("can't go on: xdpd has ended");
	end_shared(NULL);

	arguments[11] = "--reattach";
	begin_shared_with(script_end_once, 0, false, 0);
	assert_int_equal(run_program(path, arguments), 0);
	assert_said("xdpd-rx: eth0 queue 3: detached, and trying to attach again: xdpd has ended");
	assert_said("xdpd-rx: eth0 queue 3: attached again: 64 frames of 2048 bytes");
	assert_said("attached again 1 times");
	assert_said("received 4000 frames");
	end_shared(NULL);
}

static void xdpd_reflect_sends_back_what_it_may_not_write_to_by_a_copy(void **state)
{
	static const uint32_t kinds[] = {0, XDPD_GRANT_WRITABLE, XDPD_GRANT_TAP};
	/* What was lent first began with its number, and zeroes. */
	const uint32_t number = UINT32_MAX - 40;

	(void)state;
	for (int i = 0; i < 3; i++) {
		run_example("xdpd-reflect", kinds[i], true, (char *[]){"-c", "100", NULL});
		assert_said("reflected 100 frames");
		assert_true(run.transmitted > 0);
		assert_int_equal(run.own, kinds[i] == XDPD_GRANT_WRITABLE ? 0 : run.transmitted);
		if (kinds[i] != XDPD_GRANT_TAP)
			assert_memory_equal(run.first + 6, &number, sizeof(number));
	}
}

static void xdpd_tx_sends_from_memory_of_its_own(void **state)
{
	static const unsigned char beginning[] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45};

	(void)state;
	run_example("xdpd-tx", 0, true,
		    (char *[]){"-d", "02:00:00:00:00:09", "-c", "300", "-r", "max", NULL});
	assert_said("sent 300 frames");
	assert_int_equal(run.own, run.transmitted);
	assert_true(run.transmitted > 200);
	assert_memory_equal(run.first, beginning, sizeof(beginning));
}

/* As pcap's readers do. */
static void xdpd_dump_writes_what_pcap_readers_read(void **state)
{
	struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snap_length, link;
	} file;
	struct {
		uint32_t seconds, nanoseconds, kept, length;
	} packet;
	char path[] = "/tmp/xdpd-dump-test-XXXXXX";
	int fd = mkstemp(path), n = 0;
	time_t now = time(NULL);

	(void)state;
	run_example("xdpd-dump", XDPD_GRANT_TAP, false,
		    (char *[]){"-w", path, "--snap-length", "64", "-c", "100", NULL});
	unlink(path);
	assert_said("wrote 100 frames of 10000 bytes, overrun 0");
	assert_int_equal(read(fd, &file, sizeof(file)), 24);
	assert_int_equal(file.magic, 0xa1b23c4d);
	assert_int_equal(file.major, 2);
	assert_int_equal(file.minor, 4);
	assert_int_equal(file.zone | file.accuracy, 0);
	assert_int_equal(file.snap_length, 64);
	assert_int_equal(file.link, 1);
	while (read(fd, &packet, sizeof(packet)) == sizeof(packet)) {
		uint64_t words[8];

		n++;
		assert_int_equal(packet.kept, 64);
		assert_int_equal(packet.length, 100);
		assert_true(packet.seconds + 100u > (uint32_t)now &&
			    packet.nanoseconds < 1000000000);
		assert_int_equal(read(fd, words, sizeof(words)), 64);
		for (int i = 0; i < 8; i++)
			assert_true(words[i] == word_of_number((uint32_t)n));
	}
	assert_int_equal(n, 100);
	close(fd);
}

static void one_can_not_both_hold_and_tap(void **state)
{
	char path[256];
	char *arguments[] = {path, "--hold", "--tap", "eth0", "3", NULL};

	(void)state;
	if (!has_example("xdpd-rx", path))
		skip();
	begin_shared(0, false);
	assert_int_equal(run_program(path, arguments), 1);
	assert_said("--hold");
	end_shared(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xdpd_rx_holds_and_taps),
		cmocka_unit_test(xdpd_rx_attaches_again_where_it_is_told_to),
		cmocka_unit_test(xdpd_reflect_sends_back_what_it_may_not_write_to_by_a_copy),
		cmocka_unit_test(xdpd_tx_sends_from_memory_of_its_own),
		cmocka_unit_test(xdpd_dump_writes_what_pcap_readers_read),
		cmocka_unit_test(one_can_not_both_hold_and_tap),
	};

	return cmocka_run_group_tests_name("client examples", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each start of a daemon is a child of its own here, with fds from 3 on and the variables that a service manager sets;
 * the manager is a socket of the test's.
 */
#include "daemon/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cleanup.h"

#define FIRST_FD 3

static char folder[] = "/tmp/xdpd-store-XXXXXX";
static int manager = -1;

/* In the children, where cmocka's asserts would go on with the parent's tests. */
#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			_exit(1);                                               \
		}                                                               \
	} while (0)

/* ---- the manager ---- */

static void bind_manager(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);

	close_fd(manager);
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(manager >= 0);
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(manager, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
			 0);
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("FDSTORE", "8192", 1);
}

/* The next message, "": there is none. */
static void read_manager(char text[512], int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec part = {text, 511};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length = recvmsg(manager, &message, MSG_CMSG_CLOEXEC);

	text[length > 0 ? length : 0] = '\0';
	*ret_fd = -1;
	if (length > 0 && CMSG_FIRSTHDR(&message))
		memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(int));
}

static void assert_told(const char *expected)
{
	char text[512];
	int fd;

	read_manager(text, &fd);
	close_fd(fd);
	assert_string_equal(text, expected);
}

static int set_up(void **state)
{
	char path[sizeof(folder) + 8];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/notify", folder);
	unlink(path);
	bind_manager(path);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

/* ---- a start ---- */

/*
 * `n` fds from 3 on, each a memfd that holds its place, from 0. `names` NULL: the variable is not set; `count` NULL: it
 * is theirs.
 */
static void inherit(const char *names, const char *count, int n)
{
	char number[16];

	close_range(FIRST_FD, ~0u, 0);
	for (int i = 0; i < n; i++) {
		CHECK(memfd_create("test", 0) == FIRST_FD + i);
		CHECK(write(FIRST_FD + i, &i, sizeof(i)) == sizeof(i));
	}
	(void)snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	(void)snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", count ? count : number, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
}

/* -1: it is no such memfd. */
static int place_of(int fd)
{
	int place;

	return fd >= 0 && pread(fd, &place, sizeof(place), 0) == sizeof(place) ? place : -1;
}

static int open_fds(int up_to)
{
	int n = 0;

	for (int fd = FIRST_FD; fd < up_to; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void in_child(void (*start)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		start();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child failed (status %#x)", status);
}

static void start_with_all_kinds(void)
{
	struct store *store;
	int listen_fd;

	inherit("q17.xsk:xdpd.socket:state:c3.conn:i1.prog", NULL, 5);
	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(listen_fd == FIRST_FD + 1 && place_of(listen_fd) == 1);
	CHECK(store_has_fds(store));
	for (int i = 0; i < 5; i++)
		CHECK(fcntl(FIRST_FD + i, F_GETFD) == FD_CLOEXEC);
	CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	CHECK(place_of(store_take(store, "state")) == 2);
	CHECK(place_of(store_take(store, "i1.prog")) == 4);
	CHECK(place_of(store_take(store, "q17.xsk")) == 0);
	CHECK(store_take(store, "q17.xsk") == -1);
	CHECK(store_take(store, "xdpd.socket") == -1);
	CHECK(store_take(store, "") == -1);
	CHECK(store_take(store, "zzz") == -1);
	CHECK(store_has_fds(store));
	CHECK(store_free(store) == NULL);
	/* What was taken, and the listening socket, stay open. */
	CHECK(open_fds(FIRST_FD + 5) == 4);
	CHECK(fcntl(FIRST_FD + 3, F_GETFD) < 0);
}

static void fds_come_back_by_their_names(void **state)
{
	(void)state;
	in_child(start_with_all_kinds);
	assert_told("FDSTOREREMOVE=1\nFDNAME=c3.conn");
	assert_told("");
}

static void start_with_some_of_a_kind(void)
{
	struct store *store = NULL;
	uint64_t key = 0;
	int listen_fd;

	inherit("c7.conn:q7.conn:c9.bell:c12.conn:c7.connection", NULL, 5);
	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(place_of(store_take(store, "c12.conn")) == 3);
	CHECK(place_of(store_take_any(store, 'c', "conn", &key)) == 0);
	CHECK(key == 7);
	CHECK(store_take_any(store, 'c', "conn", &key) == -1);
	CHECK(key == 7);
	CHECK(store_leave(store) == NULL);
	CHECK(store_leave(NULL) == NULL);
}

static void those_of_a_kind_can_be_taken_without_knowing_their_keys(void **state)
{
	(void)state;
	in_child(start_with_some_of_a_kind);
	assert_told("");
}

static void start_with_nothing(void)
{
	struct store *store;
	int listen_fd = 4711;

	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(listen_fd == -1 && !store_has_fds(store));
	CHECK(store_take(store, "state") == -1);
	CHECK(store_free(store) == NULL);
	CHECK(store_free(NULL) == NULL);
}

static void start_for_another(void)
{
	inherit("state:q1.xsk", NULL, 2);
	setenv("LISTEN_PID", "1", 1);
	start_with_nothing();
	/* They are somebody else's. */
	CHECK(open_fds(FIRST_FD + 2) == 2);
}

static void without_fds_of_its_own_there_was_no_daemon(void **state)
{
	(void)state;
	in_child(start_with_nothing);
	in_child(start_for_another);
	assert_told("");
}

static void start_with_one_without_name(void)
{
	struct store *store;
	int listen_fd = -1;

	inherit(NULL, NULL, 1);
	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(listen_fd == FIRST_FD && !store_has_fds(store));
	store_free(store);
}

static void start_with_garbage_name(void)
{
	static const char *const names[] = {"",
					    "q",
					    "q1",
					    "q1.",
					    "q.xsk",
					    "1.xsk",
					    "Q1.xsk",
					    "states",
					    "q-1.xsk",
					    "qq1.xsk",
					    "q1.much-longer-than-any-that-the-daemon-puts",
					    "\xff\xfe",
					    "unknown",
					    "stored"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct store *store;
		int listen_fd = -1;

		inherit(names[i], NULL, 1);
		CHECK(store_open(&store, &listen_fd) == 0);
		CHECK(listen_fd == FIRST_FD && !store_has_fds(store));
		store_free(store);
	}
}

static void any_other_name_is_the_listening_socket(void **state)
{
	(void)state;
	in_child(start_with_one_without_name);
	in_child(start_with_garbage_name);
	assert_told("");
}

static void start_with_names_of_a_newer_version(void)
{
	struct store *store;
	int listen_fd;

	inherit("z5.future:xdpd.socket:q18446744073709551615.xsk", NULL, 3);
	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(place_of(listen_fd) == 1);
	CHECK(place_of(store_take(store, store_name('q', UINT64_MAX, "xsk").text)) == 2);
	store_free(store);
}

static void fds_of_a_newer_version_are_left_over(void **state)
{
	(void)state;
	in_child(start_with_names_of_a_newer_version);
	assert_told("FDSTOREREMOVE=1\nFDNAME=z5.future");
	assert_told("");
}

static void start_with_twins(void)
{
	struct store *store;
	int listen_fd;

	inherit("q1.xsk:q2.xsk:q1.xsk:q2.xsk:q1.xsk", NULL, 5);
	CHECK(store_open(&store, &listen_fd) == 0);
	CHECK(listen_fd == -1);
	CHECK(place_of(store_take(store, "q1.xsk")) == 0);
	CHECK(place_of(store_take(store, "q1.xsk")) == 2);
	store_free(store);
	CHECK(open_fds(FIRST_FD + 5) == 2);
}

/* Removing by name would remove the taken one too. */
static void of_one_name_none_is_removed_while_one_is_taken(void **state)
{
	(void)state;
	in_child(start_with_twins);
	assert_told("FDSTOREREMOVE=1\nFDNAME=q2.xsk");
	assert_told("");
}

static void start_with_what_makes_no_sense(void)
{
	static const struct {
		const char *names, *count;
		int n;
		int r;
		int left_open;
	} cases[] = {
		{"xdpd.socket:other.socket", NULL, 2, -EINVAL, 0},
		{NULL, NULL, 2, -EINVAL, 0},
		{"state:a:q1.xsk:b", NULL, 4, -EINVAL, 0},
		{"state", NULL, 2, -EINVAL, 0},
		{"state:q1.xsk:q2.xsk", NULL, 2, -EINVAL, 0},
		{"state:q1.xsk", "2x", 2, -EINVAL, 2},
		{"state:q1.xsk", "-2", 2, -EINVAL, 2},
		{"state:q1.xsk", "2147483647", 2, -EINVAL, 2},
		{"state:q1.xsk:q2.xsk", "3", 2, -EBADF, 2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct store *store = NULL;
		int listen_fd = 4711;
		int r;

		unsetenv("LISTEN_FDNAMES");
		inherit(cases[i].names, cases[i].count, cases[i].n);
		r = store_open(&store, &listen_fd);
		if (r != cases[i].r)
			fprintf(stderr, "case %zu: %d\n", i, r);
		CHECK(r == cases[i].r);
		CHECK(!store && listen_fd == 4711);
		CHECK(open_fds(FIRST_FD + 8) == cases[i].left_open);
	}
}

static void variables_that_make_no_sense_are_refused(void **state)
{
	(void)state;
	in_child(start_with_what_makes_no_sense);
	assert_told(""); /* whatever it is, nothing is removed from the store */
}

static void start_with_hundreds(void)
{
	enum { N = 900 };
	static char names[N * 16];
	size_t length = 0;
	struct store *store;
	int listen_fd;

	/* In an order that is not theirs. */
	for (int i = 0; i < N; i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length, "%sq%d.xsk",
					   i ? ":" : "", i * 7 % N);
	inherit(names, NULL, N);
	CHECK(store_open(&store, &listen_fd) == 0);
	for (int i = 0; i < N; i++) {
		struct store_name name = store_name('q', (uint64_t)(i * 7 % N), "xsk");

		CHECK(place_of(store_take(store, name.text)) == i);
		CHECK(store_take(store, name.text) == -1);
	}
	store_free(store);
}

static void hundreds_come_back(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 1000) {
		print_message("skipped: the limit of open files is below 1000\n");
		skip();
	}
	in_child(start_with_hundreds);
	assert_told("");
}

static void names_read_kind_key_and_part(void **state)
{
	(void)state;
	assert_string_equal(store_name('q', 17, "xsk").text, "q17.xsk");
	assert_string_equal(store_name('c', UINT64_MAX, "conn").text, "c18446744073709551615.conn");
}

static void assert_put(int fd)
{
	char text[512];
	struct stat mine, theirs;
	int got;

	assert_int_equal(store_put("q1.umem", fd, true), 0);
	read_manager(text, &got);
	assert_string_equal(text, "FDSTORE=1\nFDNAME=q1.umem");
	assert_true(got >= 0);
	assert_int_equal(fstat(fd, &mine), 0);
	assert_int_equal(fstat(got, &theirs), 0);
	assert_true(mine.st_ino == theirs.st_ino && mine.st_dev == theirs.st_dev);
	close(got);
}

static void the_manager_gets_a_duplicate_under_the_name(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char abstract[32];

	(void)state;
	assert_put(fd);
	assert_int_equal(store_put("i1.link", fd, false), 0);
	assert_told("FDSTORE=1\nFDNAME=i1.link\nFDPOLL=0");
	store_remove("q1.umem");
	assert_told("FDSTOREREMOVE=1\nFDNAME=q1.umem");
	(void)snprintf(abstract, sizeof(abstract), "@xdpd-store-test-%d", getpid());
	bind_manager(abstract);
	assert_put(fd);
	close(fd);
}

static void without_a_manager_putting_does_nothing(void **state)
{
	char path[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(store_put("state", 0, false), 0);
	store_remove("state");
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(store_put("state", 0, false), 0);
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_int_equal(store_put("state", 0, false), 0);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	setenv("FDSTORE", "8192", 1);
	assert_int_equal(store_put("state", 0, false), 0);
}

static void a_manager_that_has_gone_is_told_apart(void **state)
{
	(void)state;
	manager = close_fd(manager);
	assert_int_equal(store_put("state", 0, false), -ECONNREFUSED);
	store_remove("state");
	setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
	assert_int_equal(store_put("state", 0, false), -ENOENT);
}

static void an_fd_that_is_none_is_refused(void **state)
{
	(void)state;
	assert_int_equal(store_put("state", 1000000, false), -EBADF);
	assert_told("");
}

static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void a_manager_that_does_not_read_is_waited_for_once(void **state)
{
	double start = seconds();
	char text[512];
	int r = 0, sent = -1, fd, got = 0;

	(void)state;
	for (; r == 0 && sent < 100000; sent++)
		r = store_put("state", 0, false);
	assert_int_equal(r, -ETIMEDOUT);
	for (int i = 0; i < 100; i++)
		assert_int_equal(store_put("state", 0, false), -ETIMEDOUT);
	store_remove("state");
	assert_true(seconds() - start >= STORE_WAIT_SECONDS * 0.9);
	assert_true(seconds() - start < STORE_WAIT_SECONDS * 1.9);
	/* It reads again: all that was promised is there, and it is waited for again. */
	for (read_manager(text, &fd); *text; read_manager(text, &fd)) {
		close_fd(fd);
		got++;
	}
	assert_int_equal(got, sent);
	assert_int_equal(store_put("q1.xsk", 0, true), 0);
	assert_told("FDSTORE=1\nFDNAME=q1.xsk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fds_come_back_by_their_names, set_up),
		cmocka_unit_test_setup(those_of_a_kind_can_be_taken_without_knowing_their_keys,
				       set_up),
		cmocka_unit_test_setup(without_fds_of_its_own_there_was_no_daemon, set_up),
		cmocka_unit_test_setup(any_other_name_is_the_listening_socket, set_up),
		cmocka_unit_test_setup(fds_of_a_newer_version_are_left_over, set_up),
		cmocka_unit_test_setup(of_one_name_none_is_removed_while_one_is_taken, set_up),
		cmocka_unit_test_setup(variables_that_make_no_sense_are_refused, set_up),
		cmocka_unit_test_setup(hundreds_come_back, set_up),
		cmocka_unit_test_setup(names_read_kind_key_and_part, set_up),
		cmocka_unit_test_setup(the_manager_gets_a_duplicate_under_the_name, set_up),
		cmocka_unit_test_setup(without_a_manager_putting_does_nothing, set_up),
		cmocka_unit_test_setup(a_manager_that_has_gone_is_told_apart, set_up),
		cmocka_unit_test_setup(an_fd_that_is_none_is_refused, set_up),
		cmocka_unit_test_setup(a_manager_that_does_not_read_is_waited_for_once, set_up),
	};
	char path[sizeof(folder) + 8];
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	close_fd(manager);
	(void)snprintf(path, sizeof(path), "%s/notify", folder);
	unlink(path);
	rmdir(folder);
	return failed;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real supervisor over a program that does as the test tells it: this one, started as `supervise_test child`, which
 * takes orders on its stdin. That is a socket that the supervisor inherits and each new child has again; fds go over it
 * both ways, so that what comes back out of the store can be held against what was put in.
 */
#include "daemon/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "daemon/cleanup.h"

#define TIMEOUT_MS 20000
#define TEXT_MAX   (1 << 18) /* all names of a full store */

static char supervisor_path[4096], self_path[4096];

/* ---- the line between test and child ---- */

static void send_text(int line, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec part = {(char *)text, strlen(text) + 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	if (sendmsg(line, &message, MSG_NOSIGNAL) < 0)
		_exit(99);
}

/* false: the other end has gone. */
static bool receive_text(int line, char text[TEXT_MAX], int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec part = {text, TEXT_MAX};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length;

	do
		length = recvmsg(line, &message, MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length <= 0)
		return false;
	*ret_fd = -1;
	if (CMSG_FIRSTHDR(&message))
		memcpy(ret_fd, CMSG_DATA(&control.header), sizeof(int));
	return true;
}

/* ---- the child ---- */

static int term_status;
static bool ignores; /* signals */

static void on_child_signal(int number)
{
	switch (number) {
	case SIGUSR1:
		send_text(0, "usr1", -1);
		_exit(0);
	case SIGHUP:
		send_text(0, "hup", -1);
		break;
	default:
		send_text(0, "term", -1);
		_exit(term_status);
	}
}

static void make_orphan(void)
{
	int ends[2];
	char byte;
	pid_t pid, orphan = 0;

	if (pipe(ends) < 0)
		_exit(98);
	pid = fork();
	if (pid == 0) {
		pid_t other = fork();

		if (other == 0) {
			close(ends[0]);
			pause();
		}
		if (write(ends[1], &other, sizeof(other)) < 0)
			_exit(98);
		_exit(0);
	}
	if (read(ends[0], &orphan, sizeof(orphan)) != sizeof(orphan))
		_exit(98);
	waitpid(pid, NULL, 0);
	close(ends[1]);
	kill(orphan, SIGKILL);
	while (read(ends[0], &byte, 1) > 0)
		;
	close(ends[0]);
	/* Reaped by PID 1 sooner or later; then there is no such process. */
	for (int i = 0; i < 1000 && kill(orphan, 0) == 0; i++)
		usleep(10000);
	send_text(0, kill(orphan, 0) < 0 ? "reaped" : "a zombie", -1);
}

/* An order is a word and what it is about. */
static void obey(char *order, int fd, struct store *store)
{
	char *about = strchr(order, ' ') ? strchr(order, ' ') + 1 : order + strlen(order);
	char text[256];
	const char *value;
	int taken;

	if (strncmp(order, "exit ", 5) == 0)
		_exit(atoi(about));
	if (strncmp(order, "term ", 5) == 0)
		term_status = atoi(about);
	if (strncmp(order, "ignore", 6) == 0) {
		ignores = true;
		signal(SIGABRT, SIG_IGN);
	}
	if (strncmp(order, "notify ", 7) == 0)
		sd_pid_notify_with_fds(0, 0, about, &fd, fd >= 0);
	if (strncmp(order, "put ", 4) == 0 && store_put(about, fd, false) < 0)
		_exit(97);
	if (strncmp(order, "remove ", 7) == 0)
		store_remove(about);
	if (strncmp(order, "from-another ", 13) == 0) {
		pid_t pid = fork();

		if (pid == 0) {
			sd_pid_notify_with_fds(0, 0, about, &fd, fd >= 0);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	if (strncmp(order, "orphan", 6) == 0) {
		make_orphan();
		return;
	}
	if (strncmp(order, "fd ", 3) == 0) {
		send_text(0, "fd", SD_LISTEN_FDS_START + atoi(about));
		return;
	}
	if (strncmp(order, "take ", 5) == 0) {
		taken = store_take(store, about);
		send_text(0, taken < 0 ? "none" : "fd", taken);
		return;
	}
	if (strncmp(order, "forget", 6) == 0)
		store_free(store);
	if (strncmp(order, "env ", 4) == 0) {
		value = getenv(about);
		(void)snprintf(text, sizeof(text), "%s", value ? value : "(not set)");
		send_text(0, text, -1);
		return;
	}
	send_text(0, "done", -1);
}

/* With `uses_store` fds are taken in by store.c, else they stay as they came. */
static int child_main(bool uses_store)
{
	static char text[TEXT_MAX];
	struct pollfd inputs[2] = {{.events = POLLIN}, {.events = POLLIN}};
	struct signalfd_siginfo info;
	sigset_t signals;
	struct store *store = NULL;
	char **names = NULL;
	int listen_fd = -1, fd, n;
	size_t length;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	n = sd_listen_fds_with_names(0, &names);
	length = (size_t)snprintf(text, sizeof(text), "started %d", n);
	for (int i = 0; i < n; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, " %s", names[i]);
	if (uses_store && store_open(&store, &listen_fd) < 0)
		_exit(96);
	send_text(0, text, -1);
	inputs[1].fd = signalfd(-1, &signals, SFD_CLOEXEC);
	while (poll(inputs, 2, -1) >= 0) {
		if (inputs[1].revents && read(inputs[1].fd, &info, sizeof(info)) == sizeof(info))
			on_child_signal((int)info.ssi_signo);
		if (!inputs[0].revents)
			continue;
		if (!receive_text(0, text, &fd))
			break;
		obey(text, fd, store);
		close_fd(fd);
		if (ignores)
			inputs[1].fd = -1;
	}
	_exit(0);
}

/* ---- the test's side ---- */

struct run {
	pid_t supervisor;
	int line;
	char folder[64], status_file[80];
	char text[TEXT_MAX]; /* of the last answer */
};

static int hear_any(struct run *run, const char *expected)
{
	struct pollfd wait = {run->line, POLLIN, 0};
	int fd = -1;

	if (poll(&wait, 1, TIMEOUT_MS) <= 0)
		fail_msg("nothing is heard instead of `%s`", expected);
	if (!receive_text(run->line, run->text, &fd))
		fail_msg("the end instead of `%s`", expected);
	return fd;
}

static void hear(struct run *run, const char *expected, int *ret_fd)
{
	int fd = hear_any(run, expected);

	if (strcmp(run->text, expected))
		fail_msg("`%.200s` instead of `%s`", run->text, expected);
	if (ret_fd)
		*ret_fd = fd;
	else
		close_fd(fd);
}

static void order(struct run *run, const char *text, int fd, const char *answer)
{
	send_text(run->line, text, fd);
	if (answer)
		hear(run, answer, NULL);
}

static int order_fd(struct run *run, const char *text)
{
	int fd;

	send_text(run->line, text, -1);
	hear(run, "fd", &fd);
	assert_true(fd >= 0);
	return fd;
}

static void read_field(const struct run *run, const char *field, char value[512])
{
	cleanup_file FILE *file = fopen(run->status_file, "re");
	size_t length = strlen(field);
	char line[512];

	value[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, field, length) == 0 && line[length] == ':')
			(void)snprintf(value, 512, "%s", line + length + 2);
	}
}

static void wait_for(const struct run *run, const char *field, const char *expected)
{
	char value[512];

	for (int i = 0; i < TIMEOUT_MS / 5; i++) {
		read_field(run, field, value);
		if (strcmp(value, expected) == 0)
			return;
		usleep(5000);
	}
	fail_msg("%s stays `%s` instead of `%s`", field, value, expected);
}

static pid_t child_pid(const struct run *run)
{
	char value[512];

	read_field(run, "pid", value);
	assert_true(atoi(value) > 1);
	return atoi(value);
}

/* `options` ends with NULL. */
static void begin(struct run *run, const char *mode, const char *const *options)
{
	const char *argv[32] = {supervisor_path, "--status-file", run->status_file};
	int n = 3, ends[2];

	(void)snprintf(run->folder, sizeof(run->folder), "/tmp/xdpd-supervise-test-XXXXXX");
	assert_non_null(mkdtemp(run->folder));
	(void)snprintf(run->status_file, sizeof(run->status_file), "%s/status", run->folder);
	for (; options && *options; options++)
		argv[n++] = *options;
	argv[n++] = "--";
	argv[n++] = self_path;
	argv[n++] = mode;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	run->line = ends[0];
	run->supervisor = fork();
	if (run->supervisor == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TMPDIR", run->folder, 1);
		dup2(ends[1], 0);
		execv(supervisor_path, (char *const *)argv);
		_exit(95);
	}
	close(ends[1]);
	hear(run, "started 0", NULL);
}

/* It ends by itself, or has been told to. */
static void assert_ends(struct run *run, int expected)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	int status, waited = 0;

	for (int i = 0; i < TIMEOUT_MS / 5 && !waited; i++) {
		waited = waitpid(run->supervisor, &status, WNOHANG);
		if (!waited)
			nanosleep(&pause, NULL);
	}
	if (!waited)
		fail_msg("the supervisor does not end");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
	wait_for(run, "state", "ended");
	close(run->line);
	unlink(run->status_file);
	/* Nothing else is left in it: neither the socket nor its folder. */
	assert_int_equal(rmdir(run->folder), 0);
}

static void end(struct run *run)
{
	kill(run->supervisor, SIGTERM);
	hear(run, "term", NULL);
	assert_ends(run, 0);
}

static void kill_child(struct run *run)
{
	kill(child_pid(run), SIGKILL);
}

static int memfd(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text) + 1), strlen(text) + 1);
	return fd;
}

static void assert_memfd(int fd, const char *text)
{
	char content[64] = {};

	assert_true(pread(fd, content, sizeof(content), 0) > 0);
	assert_string_equal(content, text);
	close(fd);
}

/* ---- tests ---- */

static void memfds_sockets_and_eventfds_come_back_after_kills(void **state)
{
	static struct run run;
	int ends[2], counter = eventfd(3, EFD_CLOEXEC), memory = memfd("first"), back;
	uint64_t count;
	char byte = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	begin(&run, "child", NULL);
	order(&run, "notify FDSTORE=1\nFDNAME=one", memory, "done");
	order(&run, "notify FDSTORE=1\nFDNAME=two", ends[0], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=three", counter, "done");
	close(ends[0]);
	for (int kills = 1; kills <= 5; kills++) {
		char restarts[16];

		order(&run, "notify READY=1", -1, "done");
		wait_for(&run, "state", "ready");
		kill_child(&run);
		hear(&run, "started 3 one two three", NULL);
		(void)snprintf(restarts, sizeof(restarts), "%d", kills);
		wait_for(&run, "restarts", restarts);
		assert_memfd(order_fd(&run, "fd 0"), "first");
		back = order_fd(&run, "fd 1");
		assert_int_equal(write(back, "x", 1), 1);
		assert_int_equal(read(ends[1], &byte, 1), 1);
		close(back);
		back = order_fd(&run, "fd 2");
		assert_int_equal(write(back, &(uint64_t){4}, 8), 8);
		assert_int_equal(read(counter, &count, sizeof(count)), 8);
		assert_int_equal(count, kills == 1 ? 7 : 4);
		close(back);
	}
	end(&run);
	/* The store is closed: nobody holds the other end any more. */
	assert_int_equal(read(ends[1], &byte, 1), 0);
	close(ends[1]);
	close(memory);
	close(counter);
}

static void what_is_said_right_before_death_counts(void **state)
{
	static struct run run;
	char names[256] = "started 0";

	(void)state;
	begin(&run, "child", NULL);
	for (int i = 0; i < 8; i++) {
		char text[64];
		int fd = memfd("x");
		size_t length = strlen(names);

		wait_for(&run, "state", "starting");
		(void)snprintf(text, sizeof(text), "notify READY=1\nFDSTORE=1\nFDNAME=n%d", i);
		send_text(run.line, text, fd);
		send_text(run.line, "exit 9", -1);
		(void)snprintf(names + length, sizeof(names) - length, " n%d", i);
		names[strlen("started ")] = (char)('1' + i);
		hear(&run, "done", NULL);
		hear(&run, names, NULL);
		close(fd);
	}
	end(&run);
}

static void names_go_in_order_and_are_removed_together(void **state)
{
	static struct run run;
	int fds[5];

	(void)state;
	begin(&run, "child", NULL);
	for (int i = 0; i < 5; i++)
		fds[i] = memfd((const char[]){(char)('a' + i), '\0'});
	order(&run, "notify FDSTORE=1\nFDNAME=z", fds[0], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=twin", fds[1], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=m", fds[2], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=twin", fds[3], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=a:b\x01", fds[4], "done");
	wait_for(&run, "fds", "5");
	kill_child(&run);
	hear(&run, "started 5 z twin m twin stored", NULL);
	for (int i = 0; i < 5; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "fd %d", i);
		assert_memfd(order_fd(&run, text), (const char[]){(char)('a' + i), '\0'});
		close(fds[i]);
	}
	order(&run, "notify FDSTOREREMOVE=1\nFDNAME=twin", -1, "done");
	order(&run, "notify FDSTOREREMOVE=1\nFDNAME=nobody", -1, "done");
	wait_for(&run, "fds", "3");
	kill_child(&run);
	hear(&run, "started 3 z m stored", NULL);
	assert_memfd(order_fd(&run, "fd 1"), "c");
	end(&run);
}

static void an_open_file_is_kept_once(void **state)
{
	static struct run run;
	int memory = memfd("x"), one = eventfd(0, 0), other = eventfd(0, 0);

	(void)state;
	begin(&run, "child", NULL);
	order(&run, "notify FDSTORE=1\nFDNAME=first", memory, "done");
	order(&run, "notify FDSTORE=1\nFDNAME=second", memory, "done");
	/* These share their inode. */
	order(&run, "notify FDSTORE=1\nFDNAME=one", one, "done");
	order(&run, "notify FDSTORE=1\nFDNAME=other", other, "done");
	wait_for(&run, "fds", "3");
	kill_child(&run);
	hear(&run, "started 3 first one other", NULL);
	end(&run);
	close(memory);
	close(one);
	close(other);
}

static void a_polled_one_leaves_when_it_hangs_up(void **state)
{
	static struct run run;
	int polled[2], unpolled[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, polled), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unpolled), 0);
	begin(&run, "child", NULL);
	order(&run, "notify FDSTORE=1\nFDNAME=polled", polled[0], "done");
	order(&run, "notify FDSTORE=1\nFDNAME=unpolled\nFDPOLL=0", unpolled[0], "done");
	wait_for(&run, "fds", "2");
	close(polled[1]);
	close(unpolled[1]);
	wait_for(&run, "fds", "1");
	kill_child(&run);
	hear(&run, "started 1 unpolled", NULL);
	/* One that has hung up already. */
	order(&run, "notify FDSTORE=1\nFDNAME=late\nSTATUS=said", polled[0], "done");
	wait_for(&run, "status", "said");
	wait_for(&run, "fds", "1");
	end(&run);
	close(polled[0]);
	close(unpolled[0]);
}

static void a_full_store_keeps_what_it_has(void **state)
{
	const char *const options[] = {"--max", "2", NULL};
	static struct run run;

	(void)state;
	begin(&run, "child", options);
	order(&run, "env FDSTORE", -1, "2");
	for (int i = 0; i < 4; i++) {
		char text[64];
		int fd = memfd("x");

		(void)snprintf(text, sizeof(text), "notify FDSTORE=1\nFDNAME=n%d", i);
		order(&run, text, fd, "done");
		close(fd);
	}
	wait_for(&run, "refused", "2");
	wait_for(&run, "fds", "2");
	kill_child(&run);
	hear(&run, "started 2 n0 n1", NULL);
	end(&run);
}

static void hundreds_are_kept_and_names_stay_within_an_environment_string(void **state)
{
	static struct run run;
	char text[512], value[512];

	(void)state;
	begin(&run, "child", NULL);
	for (int i = 0; i < 600; i++) {
		int fd = memfd("x");

		/* 250 characters and a colon each: 522 of them fit in 128 KiB */
		(void)snprintf(text, sizeof(text), "notify FDSTORE=1\nFDNAME=n%0249d", i);
		order(&run, text, fd, "done");
		close(fd);
	}
	wait_for(&run, "fds", "522");
	wait_for(&run, "refused", "78");
	for (int i = 1; i < 522; i += 2) {
		(void)snprintf(text, sizeof(text), "notify FDSTOREREMOVE=1\nFDNAME=n%0249d", i);
		order(&run, text, -1, "done");
	}
	wait_for(&run, "fds", "261");
	for (int i = 0; i < 261; i++) {
		int fd = eventfd(0, EFD_CLOEXEC);

		(void)snprintf(text, sizeof(text), "notify FDSTORE=1\nFDNAME=m%0249d", i);
		order(&run, text, fd, "done");
		close(fd);
	}
	wait_for(&run, "fds", "522");
	kill_child(&run);
	(void)hear_any(&run, "started 522");
	assert_int_equal(strncmp(run.text, "started 522 n000", 16), 0);
	assert_memfd(order_fd(&run, "fd 260"), "x");
	read_field(&run, "restarts", value);
	assert_string_equal(value, "1");
	end(&run);
}

static void only_the_program_itself_is_heard(void **state)
{
	static struct run run;
	int fd = memfd("x");

	(void)state;
	begin(&run, "child", NULL);
	order(&run, "from-another FDSTORE=1\nFDNAME=foreign\nSTATUS=foreign", fd, "done");
	order(&run, "notify STATUS=own", -1, "done");
	wait_for(&run, "status", "own");
	wait_for(&run, "fds", "0");
	wait_for(&run, "state", "starting");
	order(&run, "notify READY=1", -1, "done");
	wait_for(&run, "state", "ready");
	end(&run);
	close(fd);
}

static void the_restart_signal_starts_anew_after_exit_0(void **state)
{
	const char *const options[] = {"--stop-seconds", "0.3", NULL};
	static struct run run;
	int fd = memfd("x");

	(void)state;
	begin(&run, "child", options);
	order(&run, "notify FDSTORE=1\nFDNAME=it", fd, "done");
	wait_for(&run, "fds", "1");
	for (int i = 0; i < 3; i++) {
		kill(run.supervisor, SIGUSR1);
		hear(&run, "usr1", NULL);
		hear(&run, "started 1 it", NULL);
	}
	/* One that does not listen is killed, and starts anew as well. */
	order(&run, "ignore", -1, "done");
	kill(run.supervisor, SIGUSR1);
	hear(&run, "started 1 it", NULL);
	wait_for(&run, "restarts", "4");
	end(&run);
	close(fd);
}

static void exit_0_and_78_end_it_and_others_do_not(void **state)
{
	static struct run run;

	(void)state;
	begin(&run, "child", NULL);
	order(&run, "exit 1", -1, NULL);
	hear(&run, "started 0", NULL);
	order(&run, "exit 77", -1, NULL);
	hear(&run, "started 0", NULL);
	order(&run, "exit 0", -1, NULL);
	assert_ends(&run, 0);
	begin(&run, "child", NULL);
	order(&run, "exit 78", -1, NULL);
	assert_ends(&run, 78);
}

static void it_ends_with_the_status_of_a_program_told_to_stop(void **state)
{
	const char *const options[] = {"--stop-seconds", "0.3", NULL};
	static struct run run;

	(void)state;
	begin(&run, "child", NULL);
	order(&run, "term 5", -1, "done");
	kill(run.supervisor, SIGINT);
	hear(&run, "term", NULL);
	assert_ends(&run, 5);
	begin(&run, "child", options);
	order(&run, "ignore", -1, "done");
	kill(run.supervisor, SIGTERM);
	assert_ends(&run, 128 + SIGKILL);
}

static void a_hang_up_signal_goes_to_the_program(void **state)
{
	static struct run run;

	(void)state;
	begin(&run, "child", NULL);
	kill(run.supervisor, SIGHUP);
	hear(&run, "hup", NULL);
	end(&run);
}

static void quick_deaths_in_a_row_wait_longer_each_time(void **state)
{
	struct timespec before, after;
	static struct run run;

	(void)state;
	begin(&run, "child", NULL);
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int i = 0; i < 4; i++) {
		order(&run, "exit 1", -1, NULL);
		hear(&run, "started 0", NULL);
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* 0, 0.1, 0.2 and 0.4 s */
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 >=
		    700);
	/* While it waits it can be told to end: with what the program ended with. */
	order(&run, "exit 3", -1, NULL);
	wait_for(&run, "state", "waiting");
	kill(run.supervisor, SIGTERM);
	assert_ends(&run, 3);
}

static void a_silent_program_gets_sigabrt_once_it_was_ready(void **state)
{
	const char *const options[] = {"--watchdog", "0.4", "--stop-seconds", "0.2", NULL};
	static struct run run;

	(void)state;
	begin(&run, "child", options);
	order(&run, "env WATCHDOG_USEC", -1, "400000");
	usleep(600000); /* not ready: it may take its time */
	order(&run, "notify READY=1", -1, "done");
	for (int i = 0; i < 8; i++) {
		usleep(100000);
		order(&run, "notify WATCHDOG=1", -1, "done");
	}
	wait_for(&run, "restarts", "0");
	hear(&run, "started 0", NULL);
	wait_for(&run, "restarts", "1");
	/* SIGKILL follows. */
	order(&run, "ignore", -1, "done");
	order(&run, "notify READY=1", -1, "done");
	hear(&run, "started 0", NULL);
	end(&run);
}

static void nothing_of_another_manager_is_handed_on(void **state)
{
	static struct run run;

	(void)state;
	setenv("LISTEN_FDS", "3", 1);
	setenv("WATCHDOG_USEC", "1000", 1);
	begin(&run, "child", NULL);
	order(&run, "env LISTEN_FDS", -1, "(not set)");
	order(&run, "env WATCHDOG_USEC", -1, "(not set)");
	end(&run);
	unsetenv("LISTEN_FDS");
	unsetenv("WATCHDOG_USEC");
}

static void the_program_ends_when_its_supervisor_is_killed(void **state)
{
	static struct run run;
	char command[128];

	(void)state;
	begin(&run, "child", NULL);
	kill(run.supervisor, SIGKILL);
	hear(&run, "term", NULL);
	waitpid(run.supervisor, NULL, 0);
	close(run.line);
	(void)snprintf(command, sizeof(command), "rm -r %s", run.folder);
	assert_int_equal(system(command), 0);
}

static void orphans_are_reaped_as_pid_1(void **state)
{
	static struct run run;
	pid_t pid;
	int status;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		begin(&run, "child", NULL); /* its fork is the new namespace's PID 1 */
		order(&run, "orphan", -1, "reaped");
		end(&run);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: a PID namespace needs CAP_SYS_ADMIN\n");
		skip();
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void the_store_puts_takes_and_removes(void **state)
{
	static struct run run;
	int memory = memfd("state"), socket_memory = memfd("xsk"), conn = memfd("conn");

	(void)state;
	begin(&run, "child-with-store", NULL);
	order(&run, "put state", memory, "done");
	order(&run, "put q17.xsk", socket_memory, "done");
	order(&run, "put c4.conn", conn, "done");
	wait_for(&run, "fds", "3");
	kill_child(&run);
	hear(&run, "started 3 state q17.xsk c4.conn", NULL);
	assert_memfd(order_fd(&run, "take q17.xsk"), "xsk");
	order(&run, "take q17.xsk", -1, "none");
	order(&run, "take q1.xsk", -1, "none");
	assert_memfd(order_fd(&run, "take state"), "state");
	/* Nobody takes c4.conn: it is left over. */
	order(&run, "forget", -1, "done");
	wait_for(&run, "fds", "2");
	order(&run, "remove q17.xsk", -1, "done");
	wait_for(&run, "fds", "1");
	kill_child(&run);
	hear(&run, "started 1 state", NULL);
	end(&run);
	close(memory);
	close(socket_memory);
	close(conn);
}

/* What the command line says, in one go. */
static int run_once(const char *arguments)
{
	char command[8192 + 256];

	(void)snprintf(command, sizeof(command), "%s %s 2>/dev/null >/dev/null </dev/null",
		       supervisor_path, arguments);
	return WEXITSTATUS(system(command));
}

static void a_wrong_command_line_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_once("--help"), 0);
	assert_int_equal(run_once("--version"), 0);
	assert_int_equal(run_once(""), 1);
	assert_int_equal(run_once("--"), 1);
	assert_int_equal(run_once("--max x -- true"), 1);
	assert_int_equal(run_once("--max -1 -- true"), 1);
	assert_int_equal(run_once("--watchdog 0 -- true"), 1);
	assert_int_equal(run_once("--watchdog nan -- true"), 1);
	assert_int_equal(run_once("--unknown -- true"), 1);
	assert_int_equal(run_once("/no/such/program"), 127);
	assert_int_equal(run_once("true"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memfds_sockets_and_eventfds_come_back_after_kills),
		cmocka_unit_test(what_is_said_right_before_death_counts),
		cmocka_unit_test(names_go_in_order_and_are_removed_together),
		cmocka_unit_test(an_open_file_is_kept_once),
		cmocka_unit_test(a_polled_one_leaves_when_it_hangs_up),
		cmocka_unit_test(a_full_store_keeps_what_it_has),
		cmocka_unit_test(hundreds_are_kept_and_names_stay_within_an_environment_string),
		cmocka_unit_test(only_the_program_itself_is_heard),
		cmocka_unit_test(the_restart_signal_starts_anew_after_exit_0),
		cmocka_unit_test(exit_0_and_78_end_it_and_others_do_not),
		cmocka_unit_test(it_ends_with_the_status_of_a_program_told_to_stop),
		cmocka_unit_test(a_hang_up_signal_goes_to_the_program),
		cmocka_unit_test(quick_deaths_in_a_row_wait_longer_each_time),
		cmocka_unit_test(a_silent_program_gets_sigabrt_once_it_was_ready),
		cmocka_unit_test(nothing_of_another_manager_is_handed_on),
		cmocka_unit_test(the_program_ends_when_its_supervisor_is_killed),
		cmocka_unit_test(orphans_are_reaped_as_pid_1),
		cmocka_unit_test(the_store_puts_takes_and_removes),
		cmocka_unit_test(a_wrong_command_line_is_refused),
	};
	ssize_t n;
	char *slash;

	if (argc > 1)
		return child_main(strcmp(argv[1], "child-with-store") == 0);
	/* BUILD/tests/unit/supervise_test -> BUILD/xdpd-supervise */
	n = readlink("/proc/self/exe", self_path, sizeof(self_path) - 1);
	if (n <= 0)
		return 1;
	memcpy(supervisor_path, self_path, sizeof(supervisor_path));
	for (int i = 0; i < 3; i++) {
		slash = strrchr(supervisor_path, '/');
		if (!slash)
			return 1;
		*slash = '\0';
	}
	if (strlen(supervisor_path) + sizeof("/xdpd-supervise") > sizeof(supervisor_path))
		return 1;
	strcat(supervisor_path, "/xdpd-supervise");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

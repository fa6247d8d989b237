// SPDX-License-Identifier: BSD-2-Clause
#include "tests/live/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/live/child.h"

static char group_folder[] = "/tmp/xdpd-live-XXXXXX";
static char test_folder[sizeof(group_folder) + 16];
static unsigned int tests_begun;
static int outside = -1; /* the namespace that the program was started in */

uint64_t live_now_us(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 * 1000 + (uint64_t)time.tv_nsec / 1000;
}

uint64_t live_now_ms(void)
{
	return live_now_us() / 1000;
}

void live_sleep_ms(unsigned int ms)
{
	(void)nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000 * 1000}, NULL);
}

int live_cpus(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ? 1 : CPU_COUNT(&cpus);
}

const char *live_folder(void)
{
	return test_folder;
}

void *live_shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

/* ---- each test ---- */

static int remove_entry(const char *path, const struct stat *file, int kind, struct FTW *where)
{
	(void)file, (void)kind, (void)where;
	(void)remove(path);
	return 0;
}

static void remove_folder(const char *path)
{
	(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int live_begin(void **state)
{
	int r = netns_enter_new();

	*state = NULL;
	if (r < 0) {
		print_error("no network namespace: %s\n", strerror(-r));
		return r;
	}
	(void)snprintf(test_folder, sizeof(test_folder), "%s/%u", group_folder, ++tests_begun);
	return mkdir(test_folder, 0755) < 0 ? -errno : 0;
}

int live_end(void **state)
{
	(void)state;
	children_end();
	remove_folder(test_folder);
	return netns_enter(outside);
}

/* ---- the program ---- */

/* In the child: why live tests can't be run here; NULL if they can. */
static const char *find_obstacle(void)
{
	static char text[128];
	int r;

	if (geteuid() != 0)
		return "needs root";
	outside = netns_current();
	r = outside < 0 ? outside : netns_enter_new();
	if (r == 0)
		r = veth_add(&(struct veth_options){.name = "near", .peer = "far"});
	if (outside >= 0)
		(void)netns_enter(outside);
	if (r == 0)
		return NULL;
	(void)snprintf(text, sizeof(text), "no veth pairs in a network namespace of one's own: %s",
		       strerror(-r));
	return text;
}

static const char *obstacle;

/* In a test's place; its initial state is the test's name. */
static void skip_for_obstacle(void **state)
{
	print_message("skipped: %s: %s\n", (const char *)*state, obstacle);
	skip();
}

static int run_group(const char *group, const struct CMUnitTest *tests, size_t count)
{
	cleanup_free struct CMUnitTest *run = calloc(count, sizeof(*run));
	const char *pattern = getenv("LIVE_TEST"), *skip_pattern = getenv("LIVE_TEST_SKIP");

	if (!run)
		return 1;
	obstacle = find_obstacle();
	for (size_t i = 0; i < count; i++) {
		run[i] = tests[i];
		if (obstacle)
			run[i] = (struct CMUnitTest){.name = tests[i].name,
						     .test_func = skip_for_obstacle,
						     .initial_state = (void *)tests[i].name};
	}
	if (pattern)
		cmocka_set_test_filter(pattern);
	if (skip_pattern)
		cmocka_set_skip_filter(skip_pattern);
	return _cmocka_run_group_tests(group, run, count, NULL, NULL) ? 1 : 0;
}

/* Reaps what a test orphaned, which became this process's child, too. */
static bool has_ended(pid_t child, int *status)
{
	pid_t ended;

	do
		ended = waitpid(-1, status, WNOHANG);
	while (ended > 0 && ended != child);
	return ended == child;
}

/* Waits for the child's end, the deadline or a signal to this process; returns the exit status. */
static int supervise(const char *group, pid_t child, const sigset_t *signals, unsigned int seconds)
{
	uint64_t deadline = live_now_ms() + seconds * 1000ULL;
	int status;

	while (!has_ended(child, &status)) {
		uint64_t now = live_now_ms(), left = now < deadline ? deadline - now : 0;
		const struct timespec timeout = {(time_t)(left / 1000),
						 (long)(left % 1000) * 1000 * 1000};
		int signal = left ? sigtimedwait(signals, NULL, &timeout) : -1;

		if (signal == SIGCHLD || (signal < 0 && left))
			continue;
		if (!left)
			print_error("%s: not done within %u s, killed\n", group, seconds);
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
		return 1;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	print_error("%s: killed by signal %d\n", group, WTERMSIG(status));
	return 1;
}

/* Whatever a test left running. */
static void end_orphans(void)
{
	char list[4096];
	ssize_t length;

	for (;;) {
		cleanup_fd int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
		char *rest = list;

		length = fd < 0 ? 0 : read(fd, list, sizeof(list) - 1);
		if (length <= 0)
			return;
		list[length] = '\0';
		for (char *word; (word = strtok_r(rest, " ", &rest));) {
			pid_t pid = (pid_t)strtol(word, NULL, 10);

			if (pid <= 0 || kill(pid, SIGKILL) < 0 || waitpid(pid, NULL, 0) < 0)
				return;
		}
	}
}

int live_run_tests(const char *group, const struct CMUnitTest *tests, size_t count,
		   unsigned int seconds)
{
	sigset_t signals, before;
	pid_t child, parent = getpid();
	int status;

	if (!mkdtemp(group_folder) || chmod(group_folder, 0755) < 0) {
		print_error("%s: %s\n", group_folder, strerror(errno));
		return 1;
	}
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	(void)fflush(NULL);
	child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		if (getppid() != parent)
			_exit(1);
		exit(run_group(group, tests, count));
	}
	status = child < 0 ? 1 : supervise(group, child, &signals, seconds);
	end_orphans();
	remove_folder(group_folder);
	return status;
}

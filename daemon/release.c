// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/release.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "daemon/cleanup.h"

/* More than a few do not wait any longer, but a thousand at a time would be a burden of their own. */
#define THREADS_MAX 64
#define STACK_SIZE  ((size_t)65536)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;
static struct {
	int *fds;
	size_t n, capacity;
	unsigned int threads;
} waiting;

/* Called with the lock. The memory goes with the last thread, as the next time may be years away. */
static void end_thread(void)
{
	if (--waiting.threads)
		return;
	free(waiting.fds);
	waiting.fds = NULL;
	waiting.capacity = 0;
	pthread_cond_broadcast(&settled);
}

static void *run(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&lock);
	while (waiting.n) {
		int fd = waiting.fds[--waiting.n];

		pthread_mutex_unlock(&lock);
		close_fd(fd);
		pthread_mutex_lock(&lock);
	}
	end_thread();
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(void)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, &attributes, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

/* Called with the lock. Returns 0, or -ENOMEM or what there is no thread for. */
static int hand_over(int fd)
{
	int r;

	if (waiting.n == waiting.capacity) {
		size_t capacity = waiting.capacity ? waiting.capacity * 2 : 16;
		int *grown = reallocarray(waiting.fds, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		waiting.fds = grown;
		waiting.capacity = capacity;
	}
	if (waiting.threads < THREADS_MAX) {
		r = start_thread();
		if (r == 0)
			waiting.threads++;
		else if (!waiting.threads)
			return r;
	}
	waiting.fds[waiting.n++] = fd;
	return 0;
}

void release_fd(int fd)
{
	int r;

	pthread_mutex_lock(&lock);
	r = hand_over(fd);
	pthread_mutex_unlock(&lock);
	if (r < 0)
		close_fd(fd);
}

void release_settle(void)
{
	pthread_mutex_lock(&lock);
	while (waiting.threads)
		pthread_cond_wait(&settled, &lock);
	pthread_mutex_unlock(&lock);
}

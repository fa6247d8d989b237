// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/renewal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "daemon/cleanup.h"

struct renewal {
	struct renewal *next;
	struct renewal_wish wish;
	renewal_done done;
	void *context;
	bool abandoned; /* the main thread's to set; the renewal thread only saves itself work by it */
	/* what became of it; the renewal thread's until it is among the finished */
	struct umem umem;
	struct xsk xsk;
	int r;
};

struct renewal_list {
	struct renewal *first, **last;
};

struct renewer {
	sd_event_source *source;
	int news_fd;  /* something is finished */
	bool started; /* the thread has to be joined */
	pthread_t thread;

	pthread_mutex_t mutex; /* of what follows */
	struct renewal_list waiting, finished;
	bool running; /* it will look at `waiting` once more */
};

static void append(struct renewal_list *list, struct renewal *renewal)
{
	renewal->next = NULL;
	*list->last = renewal;
	list->last = &renewal->next;
}

static struct renewal *take_first(struct renewal_list *list)
{
	struct renewal *renewal = list->first;

	if (renewal) {
		list->first = renewal->next;
		if (!list->first)
			list->last = &list->first;
	}
	return renewal;
}

/* ---- on the renewal thread ---- */

static void renew(struct renewal *renewal)
{
	struct renewal_wish *wish = &renewal->wish;

	xsk_close(&wish->old_xsk);
	umem_close(&wish->old_umem);
	/* When xdpd stops that may be all queues, of which none is worth some 10 ms more. */
	if (__atomic_load_n(&renewal->abandoned, __ATOMIC_RELAXED))
		return;
	renewal->r = umem_create(&renewal->umem, wish->frames, wish->frame_size, wish->headroom,
				 wish->shared);
	if (renewal->r < 0)
		return;
	renewal->r = xsk_open(&renewal->xsk, &renewal->umem, &wish->rings, wish->transmit);
	if (renewal->r == 0)
		renewal->r = xsk_confine(&renewal->xsk, wish->device);
	if (renewal->r < 0) {
		xsk_close(&renewal->xsk);
		umem_close(&renewal->umem);
	}
}

static void *run(void *context)
{
	struct renewer *renewer = context;
	const uint64_t one = 1;
	struct renewal *renewal;

	pthread_mutex_lock(&renewer->mutex);
	while ((renewal = take_first(&renewer->waiting))) {
		pthread_mutex_unlock(&renewer->mutex);
		renew(renewal);
		pthread_mutex_lock(&renewer->mutex);
		append(&renewer->finished, renewal);
		(void)!write(renewer->news_fd, &one, sizeof(one));
	}
	renewer->running = false;
	pthread_mutex_unlock(&renewer->mutex);
	return NULL;
}

/* ---- on the main thread ---- */

static void discard(struct renewal *renewal)
{
	xsk_close(&renewal->xsk);
	umem_close(&renewal->umem);
	free(renewal);
}

static struct renewal *take_finished(struct renewer *renewer)
{
	struct renewal *renewal;

	pthread_mutex_lock(&renewer->mutex);
	renewal = take_first(&renewer->finished);
	pthread_mutex_unlock(&renewer->mutex);
	return renewal;
}

static bool is_running(struct renewer *renewer)
{
	bool running;

	pthread_mutex_lock(&renewer->mutex);
	running = renewer->running;
	pthread_mutex_unlock(&renewer->mutex);
	return running;
}

static void join(struct renewer *renewer)
{
	if (renewer->started)
		pthread_join(renewer->thread, NULL);
	renewer->started = false;
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct renewer *renewer = context;
	struct renewal *renewal;
	uint64_t count;

	(void)source;
	(void)events;
	(void)!read(fd, &count, sizeof(count));
	while ((renewal = take_finished(renewer))) {
		if (renewal->abandoned) {
			discard(renewal);
			continue;
		}
		renewal->done(renewal->context, renewal->umem, renewal->xsk, renewal->r);
		free(renewal);
	}
	/* If it is about to end, the next renewal or the renewer's end joins it. */
	if (!is_running(renewer))
		join(renewer);
	return 0;
}

int renewer_new(struct renewer **ret, sd_event *event)
{
	struct renewer *renewer = calloc(1, sizeof(*renewer));
	int r;

	if (!renewer)
		return -ENOMEM;
	renewer->waiting.last = &renewer->waiting.first;
	renewer->finished.last = &renewer->finished.first;
	pthread_mutex_init(&renewer->mutex, NULL);
	renewer->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = renewer->news_fd < 0 ? -errno
				 : sd_event_add_io(event, &renewer->source, renewer->news_fd,
						   EPOLLIN, on_news, renewer);
	if (r < 0) {
		renewer_free(renewer);
		return r;
	}
	*ret = renewer;
	return 0;
}

struct renewer *renewer_free(struct renewer *renewer)
{
	struct renewal *renewal;

	if (!renewer)
		return NULL;
	join(renewer);
	while ((renewal = take_finished(renewer)))
		discard(renewal);
	sd_event_source_disable_unref(renewer->source);
	close_fd(renewer->news_fd);
	pthread_mutex_destroy(&renewer->mutex);
	free(renewer);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct renewer *renewer)
{
	sigset_t all, before;
	int r;

	join(renewer);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&renewer->thread, NULL, run, renewer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	renewer->started = r == 0;
	return -r;
}

int renewal_begin(struct renewal **ret, struct renewer *renewer, const struct renewal_wish *wish,
		  renewal_done done, void *context)
{
	struct renewal *renewal = malloc(sizeof(*renewal));
	bool start;
	int r = 0;

	if (!renewal)
		return -ENOMEM;
	*renewal = (struct renewal){
		.wish = *wish,
		.done = done,
		.context = context,
		.umem = UMEM_NONE,
		.xsk = XSK_NONE,
	};
	pthread_mutex_lock(&renewer->mutex);
	start = !renewer->running;
	/* Of a thread that runs it is taken care of; else nobody looks until there is one. */
	append(&renewer->waiting, renewal);
	renewer->running = true;
	pthread_mutex_unlock(&renewer->mutex);
	if (start)
		r = start_thread(renewer);
	if (r < 0) {
		/* Nothing else waits where none runs. */
		(void)take_first(&renewer->waiting);
		renewer->running = false;
		free(renewal);
		return r;
	}
	*ret = renewal;
	return 0;
}

struct renewal *renewal_abandon(struct renewal *renewal)
{
	if (renewal)
		__atomic_store_n(&renewal->abandoned, true, __ATOMIC_RELAXED);
	return NULL;
}

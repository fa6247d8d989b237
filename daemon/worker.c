// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/worker.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/cleanup.h"
#include "daemon/ledger.h"
#include "daemon/uapi.h"

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_USEC 1000ull

/* Rounds between two looks at the clock, and two snapshots, while there is always something to do. */
#define ROUNDS 64

/* While something is in transmission, whose end no poll() tells: looked at again after so long, doubled each time. */
#define RETRY_FIRST_MS 1
#define RETRY_LAST_MS  64

/*
 * Members ring when they give frames back only if the kernel has few. So that the last ones of a run are not shown as
 * held for ever, they are looked for a few times: after 1, 10, 100 and 1000 ms. Then a sleep is a sleep.
 */
#define LENT_LAST_MS 1000

/*
 * Frames by place, all of one moment. The last one is in [sequence % 2], and the writer is never at work there: the main
 * thread does not wait for a worker that was preempted, as it would at an ordinary seqlock.
 */
struct snapshot {
	uint32_t sequence;
	uint32_t frames[2][XDPD_PLACE_COUNT];
};

struct worker {
	pthread_t thread;
	struct handoff *handoff; /* in the ledger, or `own` */
	struct handoff own;
	int xsk_fd;
	int kick_fd;  /* an eventfd: main -> worker */
	int news_fd;  /* an eventfd: worker -> main */
	int bells_fd; /* an epoll set of the members' sockets */
	bool stop;
	bool halted;   /* the main thread's: there is no thread any more */
	bool recovers; /* what another one left */
	const struct roster *wanted;
	uint64_t adopted;
	uint64_t violated;
	uint32_t spin_usecs, busy_poll, cpu, scheduler, priority;

	/* written by the worker */
	uint32_t tid;
	struct snapshot snapshot;
	uint64_t busy_ns, idle_ns, sleeps;

	/* the worker's own */
	char name[16];
	uint64_t mark; /* until when busy_ns and idle_ns have counted */
	bool idle;
	uint64_t idle_since;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void drain_fd(int fd)
{
	uint64_t count;

	(void)!read(fd, &count, sizeof(count));
}

/* ---- on the worker's thread: figures ---- */

static void take_snapshot(struct worker *worker)
{
	struct snapshot *snapshot = &worker->snapshot;
	const uint32_t next = snapshot->sequence + 1;
	uint32_t frames[XDPD_PLACE_COUNT];

	handoff_places(worker->handoff, frames);
	/* Who is still reading the one before the last sees the last one's sequence before any of these. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (int i = 0; i < XDPD_PLACE_COUNT; i++)
		__atomic_store_n(&snapshot->frames[next % 2][i], frames[i], __ATOMIC_RELAXED);
	__atomic_store_n(&snapshot->sequence, next, __ATOMIC_RELEASE);
}

/* Time since the last mark is what the worker was then. */
static uint64_t mark_time(struct worker *worker)
{
	const uint64_t now = now_ns();
	uint64_t *sum = worker->idle ? &worker->idle_ns : &worker->busy_ns;

	__atomic_store_n(sum, *sum + (now - worker->mark), __ATOMIC_RELAXED);
	worker->mark = now;
	return now;
}

/* ---- on the worker's thread: who has to be woken ---- */

/*
 * Once for a burst: the flag is the member's to set again. A full socket is readable anyhow, and one whose other end
 * is closed wakes nobody; without memory for the byte it is tried again.
 */
static void wake_members(struct worker *worker)
{
	struct handoff *handoff = worker->handoff;
	uint64_t again = 0;

	for (; handoff->wake; handoff->wake &= handoff->wake - 1) {
		const uint32_t slot = (uint32_t)__builtin_ctzll(handoff->wake);
		struct handoff_member *member = handoff->roster->member[slot];
		struct member_counters *counters = &member->counters;

		__atomic_store_n(member->rx.flags, 0, __ATOMIC_RELAXED);
		if (send(member->socket_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		    (errno == ENOBUFS || errno == ENOMEM))
			again |= UINT64_C(1) << slot;
		else
			__atomic_store_n(&counters->wakeups, counters->wakeups + 1,
					 __ATOMIC_RELAXED);
	}
	handoff->wake = again;
}

/* In copy mode a call transmits some 32 frames; a driver that transmits by itself clears the flag. */
static void wake_kernel(struct worker *worker)
{
	struct handoff *handoff = worker->handoff;

	if (handoff->tx.size && handoff->tx.own != handoff->tx.peer) {
		xdpd_ring_refresh(&handoff->tx);
		if (handoff->tx.own != handoff->tx.peer && xdpd_ring_needs_wakeup(&handoff->tx))
			(void)sendto(worker->xsk_fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	}
	if (__atomic_load_n(&worker->busy_poll, __ATOMIC_RELAXED) ||
	    xdpd_ring_needs_wakeup(&handoff->fill))
		(void)recvfrom(worker->xsk_fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static void tell_violations(struct worker *worker)
{
	__atomic_fetch_or(&worker->violated, worker->handoff->violated, __ATOMIC_RELEASE);
	worker->handoff->violated = 0;
	signal_fd(worker->news_fd);
}

static void adopt(struct worker *worker)
{
	const struct roster *wanted = __atomic_load_n(&worker->wanted, __ATOMIC_ACQUIRE);

	if (wanted == worker->handoff->roster || !wanted)
		return;
	handoff_adopt(worker->handoff, wanted);
	/* Who is there already may sleep, and is owed something only by one that went before. */
	if (!worker->adopted && !worker->recovers)
		worker->handoff->wake = 0;
	take_snapshot(worker);
	__atomic_store_n(&worker->adopted, wanted->generation, __ATOMIC_RELEASE);
	signal_fd(worker->news_fd);
}

/* ---- on the worker's thread: sleep ---- */

/*
 * Only the bells of those in the adopted roster: the main thread may be closing others at this moment, and give their
 * numbers to new fds. A member that closed its end is not heard any more; its connection tells of its end.
 */
static void take_bells(struct worker *worker)
{
	struct epoll_event events[ROSTER_MEMBERS];
	int count = epoll_wait(worker->bells_fd, events, ROSTER_MEMBERS, 0);

	for (int i = 0; i < count; i++) {
		struct handoff_member *member =
			worker->handoff->roster->member[(uint32_t)events[i].data.u64];
		const int fd = (int)(events[i].data.u64 >> 32);
		char bytes[256];
		ssize_t length;

		if (!member || member->socket_fd != fd)
			continue;
		length = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
			(void)epoll_ctl(worker->bells_fd, EPOLL_CTL_DEL, fd, NULL);
		else if (length > 0)
			__atomic_store_n(&member->counters.doorbells,
					 member->counters.doorbells + (uint64_t)length,
					 __ATOMIC_RELAXED);
	}
}

/* How long to sleep at most; both grow while nothing moves. */
struct patience {
	int transmission_ms, lent_ms;
};

#define PATIENCE ((struct patience){RETRY_FIRST_MS, RETRY_FIRST_MS})

static int choose_timeout(const struct handoff *handoff, struct patience *patience)
{
	int timeout = -1;

	if (handoff_has_transmission(handoff)) {
		timeout = patience->transmission_ms;
		if (patience->transmission_ms < RETRY_LAST_MS)
			patience->transmission_ms *= 2;
	} else if (handoff->lent && patience->lent_ms <= LENT_LAST_MS) {
		timeout = patience->lent_ms;
		patience->lent_ms *= 10;
	}
	return timeout;
}

static void sleep_until_woken(struct worker *worker, struct patience *patience)
{
	struct pollfd fds[] = {
		{.fd = worker->xsk_fd, .events = POLLIN},
		{.fd = worker->kick_fd, .events = POLLIN},
		{.fd = worker->bells_fd, .events = POLLIN},
	};
	int timeout = choose_timeout(worker->handoff, patience);

	__atomic_store_n(&worker->sleeps, worker->sleeps + 1, __ATOMIC_RELAXED);
	if (poll(fds, 3, timeout) > 0) {
		if (fds[1].revents)
			drain_fd(worker->kick_fd);
		if (fds[2].revents)
			take_bells(worker);
	}
	worker->mark = now_ns();
}

static void wait_for_kick(struct worker *worker)
{
	struct pollfd fd = {.fd = worker->kick_fd, .events = POLLIN};

	if (poll(&fd, 1, -1) > 0)
		drain_fd(worker->kick_fd);
}

static bool spun_enough(struct worker *worker)
{
	uint64_t now;

	if (!worker->idle) {
		now = mark_time(worker);
		worker->idle = true;
		worker->idle_since = now;
		take_snapshot(worker);
	} else {
		now = mark_time(worker);
	}
	return now - worker->idle_since >=
	       __atomic_load_n(&worker->spin_usecs, __ATOMIC_RELAXED) * NSEC_PER_USEC;
}

static void *run(void *context)
{
	struct worker *worker = context;
	struct handoff *handoff = worker->handoff;
	struct patience patience = PATIENCE;
	uint32_t rounds = 0;

	/* By itself it is one call; for another thread it is a file in /proc. */
	(void)pthread_setname_np(pthread_self(), worker->name);
	__atomic_store_n(&worker->tid, (uint32_t)gettid(), __ATOMIC_RELAXED);
	worker->mark = now_ns();
	handoff_stock(handoff);
	while (!__atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE)) {
		uint32_t moved;

		adopt(worker);
		/* Nobody is known yet who frames could be handed to: they wait. */
		if (!worker->adopted) {
			wait_for_kick(worker);
			continue;
		}
		moved = handoff_run(handoff);
		if (handoff->wake)
			wake_members(worker);
		if (handoff->violated)
			tell_violations(worker);
		wake_kernel(worker);
		if (moved) {
			patience = PATIENCE;
			if (worker->idle || ++rounds % ROUNDS == 0) {
				(void)mark_time(worker);
				worker->idle = false;
				take_snapshot(worker);
			}
			continue;
		}
		if (!spun_enough(worker)) {
			/*
			 * Members may have to run on this CPU, where there are few: better now, while there is nothing
			 * to do, than when their rings are full. Where nobody waits for it, it is a short call.
			 */
			(void)sched_yield();
			continue;
		}
		if (!handoff->wake && handoff_doze(handoff))
			sleep_until_woken(worker, &patience);
		handoff_awake(handoff);
	}
	return NULL;
}

/* ---- on the main thread ---- */

static void deny(struct worker_denied *denied, const char *what, int code, const char *remedy)
{
	if (!denied->text[0])
		(void)snprintf(denied->text, sizeof(denied->text), "%s (%s); %s", what,
			       strerrorname_np(code), remedy);
}

static void set_cpu(struct worker *worker, const struct config_worker *settings,
		    struct worker_denied *denied)
{
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	if (settings->cpu >= 0 && settings->cpu < CPU_SETSIZE)
		CPU_SET((size_t)settings->cpu, &set);
	else if (settings->cpu < 0)
		/* Any is any that this thread may use: the unit's CPUAffinity= was meant for all. */
		(void)pthread_getaffinity_np(pthread_self(), sizeof(set), &set);
	r = pthread_setaffinity_np(worker->thread, sizeof(set), &set);
	worker->cpu = r == 0 && settings->cpu >= 0 ? (uint32_t)settings->cpu : UINT32_MAX;
	if (r && settings->cpu >= 0)
		deny(denied, "its worker can't run on the CPU that `worker: { cpu: ... }` names", r,
		     r == EINVAL ? "there is no such CPU, or it is not among those that the "
				   "service may "
				   "use (AllowedCPUs=, CPUAffinity=)"
				 : "allow sched_setaffinity in the unit's SystemCallFilter=");
}

static void set_scheduler(struct worker *worker, const struct config_worker *settings,
			  struct worker_denied *denied)
{
	const struct sched_param parameters = {.sched_priority = settings->priority};
	int r = pthread_setschedparam(worker->thread, settings->scheduler, &parameters);

	if (r == 0) {
		worker->scheduler = (uint32_t)settings->scheduler;
		worker->priority = (uint32_t)settings->priority;
	} else if (settings->scheduler != (int)worker->scheduler ||
		   settings->priority != (int)worker->priority) {
		deny(denied,
		     "its worker can't have the scheduling class of `worker: { scheduler: ... }`",
		     r, "it needs CAP_SYS_NICE or LimitRTPRIO=, and RestrictRealtime=no");
	}
}

static void set_busy_poll(struct worker *worker, const struct config_worker *settings,
			  struct worker_denied *denied)
{
	const int prefer = settings->busy_poll > 0, budget = (int)settings->busy_poll;
	const int usecs = settings->busy_poll ? 20 : 0;
	int r = 0;

	if (!settings->busy_poll && !worker->busy_poll)
		return;
	if (setsockopt(worker->xsk_fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer, sizeof(prefer)) <
		    0 ||
	    setsockopt(worker->xsk_fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) < 0 ||
	    (budget && setsockopt(worker->xsk_fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget,
				  sizeof(budget)) < 0))
		r = errno;
	__atomic_store_n(&worker->busy_poll, r ? 0 : settings->busy_poll, __ATOMIC_RELAXED);
	if (r)
		deny(denied, "its socket can't be polled busily", r,
		     "it needs Linux 5.11, and CAP_NET_ADMIN for more than 64 frames at once");
}

void worker_configure(struct worker *worker, const struct config_worker *settings,
		      struct worker_denied *denied)
{
	*denied = (struct worker_denied){};
	__atomic_store_n(&worker->spin_usecs, settings->spin_usecs, __ATOMIC_RELAXED);
	set_cpu(worker, settings, denied);
	set_scheduler(worker, settings, denied);
	set_busy_poll(worker, settings, denied);
	signal_fd(worker->kick_fd);
}

/* This side of a ring of the kernel's; size 0 where there is none. */
static void join(struct xdpd_ring *ret, const struct xsk *xsk, enum xsk_ring which, bool producer)
{
	const struct xsk_ring_map *map = &xsk->rings[which];
	char *base = map->address;
	uint32_t *made, *taken;

	*ret = (struct xdpd_ring){};
	if (!base)
		return;
	made = (uint32_t *)(base + map->offset.producer);
	taken = (uint32_t *)(base + map->offset.consumer);
	xdpd_ring_join(ret, base + map->offset.desc, map->size, producer ? made : taken,
		       producer ? taken : made, (uint32_t *)(base + map->offset.flags));
}

static int start_handoff(struct worker *worker, const struct worker_options *options)
{
	struct handoff_memory memory = options->memory;
	struct xdpd_ring rx, fill, tx, completion;

	join(&rx, options->xsk, XSK_RX, false);
	join(&fill, options->xsk, XSK_FILL, true);
	join(&tx, options->xsk, XSK_TX, true);
	join(&completion, options->xsk, XSK_COMPLETION, false);
	if (!tx.size)
		completion = (struct xdpd_ring){};
	worker->handoff = &worker->own;
	if (options->ledger) {
		worker->handoff = &options->ledger->content->handoff;
		memory.arrays = ledger_arrays(options->ledger);
	}
	if (options->recover)
		return handoff_recover(worker->handoff, &memory, &rx, &fill, &tx, &completion,
				       options->fresh, options->members, options->stay);
	return handoff_init(worker->handoff, &memory, &rx, &fill, &tx, &completion);
}

/* Signals are the main thread's. */
static int start_thread(struct worker *worker, const struct worker_options *options)
{
	sigset_t all, before;
	int r;

	(void)snprintf(worker->name, sizeof(worker->name), "%.10s:%u", options->device,
		       options->queue % 10000);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static struct worker *discard(struct worker *worker)
{
	close_fd(worker->kick_fd);
	close_fd(worker->news_fd);
	close_fd(worker->bells_fd);
	/* What lies in a ledger is left as it is: somebody may go on with it. */
	handoff_clear(&worker->own);
	free(worker);
	return NULL;
}

int worker_start(struct worker **ret, const struct worker_options *options,
		 struct worker_denied *denied)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	worker->xsk_fd = options->xsk->fd;
	worker->recovers = options->recover;
	worker->cpu = UINT32_MAX;
	worker->idle = true;
	worker->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->bells_fd = epoll_create1(EPOLL_CLOEXEC);
	r = worker->kick_fd < 0 || worker->news_fd < 0 || worker->bells_fd < 0 ? -errno : 0;
	if (r == 0)
		r = start_handoff(worker, options);
	if (r == 0) {
		take_snapshot(worker);
		r = start_thread(worker, options);
	}
	if (r < 0) {
		discard(worker);
		return r;
	}
	worker_configure(worker, options->settings, denied);
	*ret = worker;
	return 0;
}

static void end_thread(struct worker *worker)
{
	__atomic_store_n(&worker->stop, true, __ATOMIC_RELEASE);
	signal_fd(worker->kick_fd);
	pthread_join(worker->thread, NULL);
	worker->halted = true;
}

void worker_halt(struct worker *worker)
{
	if (worker->halted)
		return;
	end_thread(worker);
	handoff_abandon(worker->handoff);
	take_snapshot(worker);
}

struct worker *worker_stop(struct worker *worker)
{
	if (!worker)
		return NULL;
	worker_halt(worker);
	return discard(worker);
}

void worker_publish(struct worker *worker, const struct roster *roster)
{
	__atomic_store_n(&worker->wanted, roster, __ATOMIC_RELEASE);
	signal_fd(worker->kick_fd);
}

uint64_t worker_adopted(const struct worker *worker)
{
	return __atomic_load_n(&worker->adopted, __ATOMIC_ACQUIRE);
}

int worker_hear(struct worker *worker, uint32_t slot, int socket_fd)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)(uint32_t)socket_fd << 32 | slot,
	};

	return epoll_ctl(worker->bells_fd, EPOLL_CTL_ADD, socket_fd, &event) < 0 ? -errno : 0;
}

void worker_unhear(struct worker *worker, int socket_fd)
{
	(void)epoll_ctl(worker->bells_fd, EPOLL_CTL_DEL, socket_fd, NULL);
}

int worker_news_fd(const struct worker *worker)
{
	return worker->news_fd;
}

uint64_t worker_take_news(struct worker *worker)
{
	drain_fd(worker->news_fd);
	return __atomic_exchange_n(&worker->violated, 0, __ATOMIC_ACQUIRE);
}

static void read_snapshot(const struct worker *worker, uint32_t ret[XDPD_PLACE_COUNT])
{
	const struct snapshot *snapshot = &worker->snapshot;
	uint32_t before, after;

	do {
		before = __atomic_load_n(&snapshot->sequence, __ATOMIC_ACQUIRE);
		for (int i = 0; i < XDPD_PLACE_COUNT; i++)
			ret[i] =
				__atomic_load_n(&snapshot->frames[before % 2][i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		after = __atomic_load_n(&snapshot->sequence, __ATOMIC_RELAXED);
	} while (before != after);
}

static uint64_t read_counter(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void worker_describe(const struct worker *worker, struct xdpd_worker_record *ret)
{
	const struct handoff_counters *counters = &worker->handoff->counters;

	ret->tid = __atomic_load_n(&worker->tid, __ATOMIC_RELAXED);
	ret->cpu = worker->cpu;
	ret->spin_usecs = worker->spin_usecs;
	ret->scheduler = worker->scheduler;
	ret->priority = worker->priority;
	read_snapshot(worker, ret->frames);
	ret->bursts = read_counter(&counters->bursts);
	ret->packets = read_counter(&counters->packets);
	ret->busy_ns = read_counter(&worker->busy_ns);
	ret->idle_ns = read_counter(&worker->idle_ns);
	ret->sleeps = read_counter(&worker->sleeps);
	ret->unclaimed = read_counter(&counters->unclaimed);
}

struct worker_transmitted worker_transmitted(const struct worker *worker)
{
	return (struct worker_transmitted){
		.packets = read_counter(&worker->handoff->counters.transmit_packets),
		.bytes = read_counter(&worker->handoff->counters.transmit_bytes),
	};
}

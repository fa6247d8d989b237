/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the worker: the main thread's part of the daemon (grants over a socket, rosters, whose members are
 * freed when the worker has let go of them), and consumers that attach by libxdpd, on a thread each.
 *
 * Consumers sleep without a timeout: one that is not woken stops its stream, which somebody awaits.
 */
#ifndef TESTS_UNIT_WORKER_MEMBERS_H
#define TESTS_UNIT_WORKER_MEMBERS_H

#include <dirent.h>
#include <sys/un.h>

#include "daemon/cleanup.h"
#include "daemon/member.h"
#include "daemon/worker.h"
#include "tests/unit/worker_kernel.h"

#define QUOTA	   512u
#define LITTLE	   32u /* quota of those that keep frames */
#define SEATS	   16u
#define HOARD	   24u
#define SOCKET_MAX 108

enum role {
	WAITS,	  /* sleeps in xdpd_wait() */
	POLLS,	  /* sleeps on xdpd_fd() */
	SPINS,	  /* never sleeps */
	DAWDLES,  /* takes its time */
	HOARDS,	  /* keeps as much as it can, and looks at none of it */
	SENDS,	  /* packets of its own */
	PINGS,	  /* sends one, and the next when that was transmitted */
	FORWARDS, /* what it receives */
	CHEATS,	  /* gives a frame back twice */
	NOBODY,	  /* the test moves its rings and rings its bell */
};

/* A member, by its slot, and the consumer that has it. */
static struct seat {
	struct member *member; /* NULL: free */
	uint32_t slot, group;
	enum role role;
	bool transmits, in_roster;
	int control_fd;
	pthread_t thread;
	const unsigned char *transmit; /* where the worker reads what it sends */
	uint64_t random;

	bool leave, hush; /* said by the test: goes; sends no more */
	/* of the consumer's thread, read by any */
	uint64_t received, sent, overrun;
	uint64_t last[FLOWS]; /* its own */
} seats[SEATS];

static struct daemon {
	char path[SOCKET_MAX];
	int listen_fd;
	struct worker *worker;
	struct worker_denied denied;
	struct config_worker settings;
	bool writable;
	struct roster *roster, *older;
	uint64_t generation, violated;
	struct member *leaving;
	struct member_counters gone[GROUPS]; /* of members that were freed */
	int fds_before;
} master;

static const struct ring_sizes ring_sizes = {.rx = 512, .tx = 64, .fill = 512, .completion = 64};

static inline int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* ---- the consumers' threads ---- */

static inline void add_to(uint64_t *sum, uint64_t n)
{
	__atomic_store_n(sum, *sum + n, __ATOMIC_RELEASE);
}

/* Where the other side has the bytes of an address: see mmap() in worker_kernel.h. */
static inline void *view(const struct seat *seat, const struct xdpd *x, uint64_t address)
{
	if (xdpd_is_tap(x))
		return xdpd_frame(x, address);
	return address < x->lent ? kernel.memory + address
				 : (unsigned char *)seat->transmit + (address - x->lent);
}

/* Whole, and later than what came before of the same flow. Returns the packet's number. */
static inline uint64_t inspect(struct seat *seat, const struct xdpd *x, const struct xdp_desc *desc)
{
	uint64_t number = 0;
	uint32_t flow;

	if (!read_packet(view(seat, x, desc->addr), desc->len, &number)) {
		blame("slot %u received a packet that is not whole, at %#llx", seat->slot,
		      (unsigned long long)desc->addr);
		return 0;
	}
	flow = packet_flow(number);
	if (number <= seat->last[flow])
		blame("slot %u received packet %llu after %llu", seat->slot,
		      (unsigned long long)number, (unsigned long long)seat->last[flow]);
	seat->last[flow] = number;
	return number;
}

static inline void acknowledge(struct seat *seat, uint32_t n, uint64_t sum)
{
	__atomic_fetch_add(&kernel.acked_sum[seat->group], sum, __ATOMIC_RELAXED);
	__atomic_fetch_add(&kernel.acked[seat->group], n, __ATOMIC_RELEASE);
}

static inline uint32_t take_burst(struct seat *seat, struct xdpd *x)
{
	struct xdp_desc frames[64];
	uint32_t n = xdpd_rx(x, frames, 64);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += inspect(seat, x, &frames[i]);
	if (n && seat->role == DAWDLES)
		nap(300);
	xdpd_release(x, frames, n);
	add_to(&seat->received, n);
	if (n && !xdpd_is_tap(x))
		acknowledge(seat, n, sum);
	return n;
}

static inline bool is_over(struct seat *seat)
{
	return __atomic_load_n(&seat->leave, __ATOMIC_ACQUIRE);
}

static inline void wait_and_take(struct seat *seat, struct xdpd *x)
{
	int r = 0;

	while (!is_over(seat) && r >= 0)
		if (!take_burst(seat, x))
			r = xdpd_wait(x, -1);
}

static inline void poll_and_take(struct seat *seat, struct xdpd *x)
{
	struct pollfd fd = {.fd = xdpd_fd(x), .events = POLLIN};
	int r = 0;

	while (!is_over(seat) && r >= 0) {
		if (take_burst(seat, x))
			continue;
		(void)poll(&fd, 1, -1);
		r = xdpd_wait(x, 0);
	}
}

static inline void spin_and_take(struct seat *seat, struct xdpd *x)
{
	while (!is_over(seat))
		if (!take_burst(seat, x))
			sched_yield();
}

/* Two frames are kept for each that is given back. It ends with what it has. */
static inline void hoard(struct seat *seat, struct xdpd *x)
{
	struct xdp_desc kept[HOARD];
	uint32_t n = 0;
	int r = 0;

	while (!is_over(seat) && r >= 0) {
		uint32_t taken = xdpd_rx(x, kept + n, HOARD - n);

		n += taken;
		add_to(&seat->received, taken);
		if (n == HOARD) {
			n -= HOARD / 3;
			xdpd_release(x, kept + n, HOARD / 3);
		}
		if (!taken)
			r = xdpd_wait(x, -1);
	}
}

static inline void write_packet(const struct seat *seat, const struct xdpd *x,
				struct xdp_desc *frame, uint64_t count)
{
	const uint64_t number = sent_number(seat->slot, count);
	uint64_t *words = view(seat, x, frame->addr);

	frame->len = packet_length(number);
	for (uint32_t k = 0; k < frame->len / 8; k++)
		words[k] = packet_word(number, k);
}

static inline uint32_t make_packets(struct seat *seat, struct xdpd *x, struct xdp_desc *frames)
{
	uint32_t n = xdpd_tx_alloc(x, frames, 1 + below(&seat->random, 16));

	for (uint32_t i = 0; i < n; i++)
		write_packet(seat, x, &frames[i], seat->sent + i);
	return n;
}

static inline void send_packets(struct seat *seat, struct xdpd *x)
{
	while (!is_over(seat)) {
		struct xdp_desc frames[16];
		const bool hush = __atomic_load_n(&seat->hush, __ATOMIC_ACQUIRE);
		uint32_t n = hush ? 0 : make_packets(seat, x, frames), sent = 0;

		while (sent < n && !is_over(seat)) {
			uint32_t more = xdpd_tx(x, frames + sent, n - sent);

			sent += more;
			add_to(&seat->sent, more);
			if (!more)
				sched_yield();
		}
		if (!n)
			nap(50);
		else if (!below(&seat->random, 32))
			nap(below(&seat->random, 1000));
	}
}

static inline void forward_packets(struct seat *seat, struct xdpd *x)
{
	int r = 0;

	while (!is_over(seat) && r >= 0) {
		struct xdp_desc frames[64];
		uint32_t n = xdpd_rx(x, frames, 64), sent;

		for (uint32_t i = 0; i < n; i++)
			inspect(seat, x, &frames[i]);
		sent = xdpd_forward(x, frames, n);
		xdpd_release(x, frames + sent, n - sent);
		add_to(&seat->received, n);
		add_to(&seat->sent, sent);
		if (!n)
			r = xdpd_wait(x, -1);
	}
}

static inline void cheat(struct seat *seat, struct xdpd *x)
{
	struct xdp_desc frames[8];
	uint32_t n = 0;

	while (!is_over(seat) && !(n = xdpd_rx(x, frames, 8)))
		sched_yield();
	xdpd_release(x, frames, n);
	if (n)
		xdpd_release(x, frames, 1);
	/* So that the worker looks, asleep or not. */
	while (!is_over(seat)) {
		(void)xdpd_rx(x, frames, 8);
		nap(200);
	}
}

static inline void ping(struct seat *seat, struct xdpd *x)
{
	while (!is_over(seat)) {
		struct xdp_desc frame;

		if (__atomic_load_n(&kernel.transmitted[seat->slot], __ATOMIC_ACQUIRE) !=
			    seat->sent ||
		    !xdpd_tx_alloc(x, &frame, 1)) {
			dally(1000);
			continue;
		}
		write_packet(seat, x, &frame, seat->sent);
		/* At any moment of the worker's way to sleep. */
		dally(below(&seat->random, 30000));
		add_to(&seat->sent, xdpd_tx(x, &frame, 1));
	}
}

static void (*const parts[])(struct seat *, struct xdpd *) = {
	[WAITS] = wait_and_take, [POLLS] = poll_and_take,
	[SPINS] = spin_and_take, [DAWDLES] = wait_and_take,
	[HOARDS] = hoard,	 [SENDS] = send_packets,
	[PINGS] = ping,		 [FORWARDS] = forward_packets,
	[CHEATS] = cheat,
};

static inline void *consume(void *context)
{
	struct seat *seat = context;
	const struct xdpd_attach_options options = {
		.size = sizeof(options),
		.flags = seat->transmits ? XDPD_ATTACH_TRANSMIT : 0,
		.timeout_ms = PATIENCE_MS,
	};
	struct xdpd_stats stats = {.size = sizeof(stats)};
	struct xdpd *x = NULL;
	int r = xdpd_connect(&x, master.path, "consumer");

	if (r == 0)
		r = xdpd_attach(x, "eth0", 3, &options);
	if (r < 0) {
		blame("slot %u can't attach: %s", seat->slot, strerrorname_np(-r));
	} else {
		parts[seat->role](seat, x);
		if (xdpd_stats(x, &stats) == 0)
			add_to(&seat->overrun, stats.overrun);
	}
	xdpd_close(x);
	return NULL;
}

/* ---- the main thread: rosters ---- */

static inline struct roster *make_roster(void)
{
	struct roster *roster = calloc(1, sizeof(*roster));

	for (uint32_t group = 0; group < GROUPS; group++) {
		struct roster_candidate candidates[SEATS];
		uint32_t n = 0;

		for (uint32_t slot = 0; slot < SEATS; slot++) {
			struct seat *seat = &seats[slot];

			if (!seat->in_roster || seat->group != group)
				continue;
			candidates[n++] =
				(struct roster_candidate){(uint8_t)slot, seat->member->key};
			roster->members |= UINT64_C(1) << slot;
			roster->taps |= (uint64_t)seat->member->tap << slot;
			roster->member[slot] = seat->member->handoff;
		}
		if (!n)
			continue;
		roster->groups |= 1u << group;
		roster_choose(roster->choice[group], candidates, n);
	}
	roster->classified = true;
	roster->epoch = kernel.epoch;
	roster->generation = ++master.generation;
	return roster;
}

static inline void publish(void)
{
	if (master.roster) {
		master.roster->older = master.older;
		master.older = master.roster;
	}
	master.roster = make_roster();
	worker_publish(master.worker, master.roster);
}

static inline void free_older(void)
{
	while (master.older) {
		struct roster *roster = master.older;

		master.older = roster->older;
		free(roster);
	}
}

/* As share.c does it: what it counted goes on, then it is not heard any more, then it is freed. */
static inline void retire(struct member *member)
{
	const struct member_counters *counters = &member->handoff->counters;
	struct member_counters *gone = &master.gone[member->group];

	gone->receive_packets += counters->receive_packets;
	gone->dropped_ring_full += counters->dropped_ring_full;
	gone->dropped_quota += counters->dropped_quota;
	if (master.worker)
		worker_unhear(master.worker, member->handoff->socket_fd);
	member_free(member, NULL);
}

static inline void free_leaving(uint64_t adopted)
{
	struct member **at = &master.leaving;

	while (*at) {
		struct member *member = *at;

		if (member->until > adopted) {
			at = &member->next;
			continue;
		}
		*at = member->next;
		retire(member);
	}
}

static inline void take_news(void)
{
	master.violated |= worker_take_news(master.worker);
	if (worker_adopted(master.worker) == master.generation)
		free_older();
	free_leaving(worker_adopted(master.worker));
}

/* Until the last roster is in use. */
static inline void settle(void)
{
	const uint64_t end = milliseconds() + PATIENCE_MS;

	while (worker_adopted(master.worker) != master.generation && milliseconds() < end) {
		struct pollfd fd = {.fd = worker_news_fd(master.worker), .events = POLLIN};

		(void)poll(&fd, 1, 1000);
		take_news();
	}
	assert_int_equal(worker_adopted(master.worker), master.generation);
	take_news();
	assert_null(master.older);
	assert_null(master.leaving);
}

/* ---- the main thread: members ---- */

static inline void say(int fd, uint16_t type, uint32_t id, void *body, size_t length,
		       const int *fds, size_t n_fds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MEMBER_FDS * sizeof(int))] = {};
	struct iovec io = {.iov_base = body, .iov_len = length};
	struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};

	*(struct xdpd_header *)body = (struct xdpd_header){
		XDPD_PROTOCOL_MAGIC, XDPD_PROTOCOL_VERSION, type, (uint32_t)length, id};
	if (n_fds) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		*header = (struct cmsghdr){CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), (ssize_t)length);
}

/* Returns the request's id. */
static inline uint32_t hear(int fd, uint16_t type)
{
	_Alignas(8) char bytes[XDPD_MESSAGE_MAX];
	struct xdpd_header header;

	assert_true(recv(fd, bytes, sizeof(bytes), 0) >= (ssize_t)sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	assert_int_equal(header.type, type);
	return header.id;
}

static inline void grant(struct seat *seat)
{
	struct xdpd_welcome welcome = {.version = XDPD_PROTOCOL_VERSION};
	struct xdpd_grant message = {};
	int fds[MEMBER_FDS];
	size_t n;

	say(seat->control_fd, XDPD_WELCOME, hear(seat->control_fd, XDPD_HELLO), &welcome,
	    sizeof(welcome), NULL, 0);
	n = member_describe_grant(seat->member, &kernel.umem, master.writable, &message, fds);
	say(seat->control_fd, XDPD_GRANT, hear(seat->control_fd, XDPD_ATTACH), &message,
	    sizeof(message), fds, n);
	member_handed_over(seat->member);
}

static inline void attach_consumer(struct seat *seat)
{
	struct xdpd_header started;
	uint32_t id;

	assert_int_equal(pthread_create(&seat->thread, NULL, consume, seat), 0);
	seat->control_fd = accept4(master.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(seat->control_fd, errno);
	grant(seat);
	id = hear(seat->control_fd, XDPD_READY);
	say(seat->control_fd, XDPD_STARTED, id, &started, sizeof(started), NULL, 0);
}

struct sitter {
	uint32_t slot, group;
	enum role role;
	bool tap, transmits;
	uint32_t quota; /* 0: much */
};

/* Attaches a consumer, up to where its frames would be flowing if the next roster was published. */
static inline struct seat *prepare(struct sitter sitter)
{
	struct seat *seat = &seats[sitter.slot];
	const struct member_options options = {
		.tap = sitter.tap,
		.transmit = sitter.transmits,
		.rings = &ring_sizes,
		.frames = FRAMES,
		.frame_size = FRAME_SIZE,
		.quota = sitter.quota ? sitter.quota : QUOTA,
	};

	assert_null(seat->member);
	*seat = (struct seat){.slot = sitter.slot,
			      .group = sitter.group,
			      .role = sitter.role,
			      .transmits = sitter.transmits,
			      .control_fd = -1,
			      .random = 0x9e3779b97f4a7c15ull + sitter.slot};
	assert_return_code(member_create(&seat->member, &options), 0);
	seat->member->slot = sitter.slot;
	seat->member->group = sitter.group;
	seat->transmit = seat->member->handoff->transmit;
	if (seat->role != NOBODY)
		attach_consumer(seat);
	assert_return_code(worker_hear(master.worker, seat->slot, seat->member->handoff->socket_fd),
			   0);
	seat->in_roster = true;
	return seat;
}

static inline struct seat *sit(struct sitter sitter)
{
	struct seat *seat = prepare(sitter);

	publish();
	settle();
	return seat;
}

/* Its member is in no roster from the next one on, and freed when that is in use. */
static inline void vacate(struct seat *seat)
{
	seat->in_roster = false;
	seat->member->until = master.generation + 1;
	seat->member->next = master.leaving;
	master.leaving = TAKE_PTR(seat->member);
}

static inline void join_consumer(struct seat *seat)
{
	if (seat->role == NOBODY)
		return;
	__atomic_store_n(&seat->leave, true, __ATOMIC_RELEASE);
	close(seat->control_fd);
	pthread_join(seat->thread, NULL);
}

/* The consumer goes first, with what it holds; nothing is settled yet. */
static inline void stand_up(struct seat *seat)
{
	join_consumer(seat);
	vacate(seat);
}

/* The daemon lets go first. */
static inline void eject(struct seat *seat)
{
	vacate(seat);
	publish();
	settle();
	join_consumer(seat);
}

/* ---- the main thread: the worker ---- */

static inline void start_worker(void)
{
	const struct worker_options options = {
		.device = "eth0",
		.queue = 3,
		.memory = {.umem = kernel.memory,
			   .sequences = (uint32_t *)(kernel.memory + kernel.umem.size),
			   .frames = FRAMES,
			   .receive_frames = RECEIVE_FRAMES,
			   .frame_size = FRAME_SIZE,
			   .writable = master.writable},
		.xsk = &kernel.xsk,
		.settings = &master.settings,
	};

	assert_return_code(worker_start(&master.worker, &options, &master.denied), 0);
}

static inline void begin(uint32_t spin_usecs, bool writable)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	master = (struct daemon){
		.settings = {.cpu = -1, .spin_usecs = spin_usecs},
		.writable = writable,
		.fds_before = count_fds(),
	};
	make_kernel();
	snprintf(master.path, sizeof(master.path), "/tmp/xdpd-worker-test.%d", getpid());
	memcpy(address.sun_path, master.path, sizeof(address.sun_path));
	unlink(master.path);
	master.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_return_code(bind(master.listen_fd, (struct sockaddr *)&address, sizeof(address)),
			   errno);
	assert_return_code(listen(master.listen_fd, 8), errno);
	start_worker();
	assert_string_equal(master.denied.text, "");
}

/* The worker ends while all the others are there, and its members after it. */
static inline void end(void)
{
	master.worker = worker_stop(master.worker);
	stop_kernel();
	for (uint32_t slot = 0; slot < SEATS; slot++)
		if (seats[slot].member)
			stand_up(&seats[slot]);
	free_leaving(UINT64_MAX);
	free_older();
	free(master.roster);
	remove_kernel();
	close(master.listen_fd);
	unlink(master.path);
	assert_no_blame();
	assert_int_equal(count_fds(), master.fds_before);
	for (size_t i = 0; i < sizeof(shared_mappings) / sizeof(shared_mappings[0]); i++)
		assert_int_equal(shared_mappings[i].users, 0);
}

static inline struct xdpd_worker_record describe(void)
{
	struct xdpd_worker_record record = {};
	uint32_t sum = 0;

	worker_describe(master.worker, &record);
	for (int i = 0; i < XDPD_PLACE_COUNT; i++)
		sum += record.frames[i];
	assert_int_equal(sum, FRAMES);
	return record;
}

static inline uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static inline void let_receive(uint64_t limit)
{
	__atomic_store_n(&kernel.limit, limit, __ATOMIC_RELEASE);
}

/* All that was received has come to each of the strict groups, each packet once. */
static inline void await_strict_groups(void)
{
	for (uint32_t group = 0; group < GROUPS; group++) {
		if (!(kernel.strict & 1u << group))
			continue;
		await(load(&kernel.acked[group]) >= load(&kernel.received),
		      "group %u has %llu packets of %llu", group,
		      (unsigned long long)load(&kernel.acked[group]),
		      (unsigned long long)load(&kernel.received));
		assert_int_equal(load(&kernel.acked[group]), load(&kernel.received));
		assert_int_equal(load(&kernel.acked_sum[group]), kernel.received_sum);
	}
}

#endif

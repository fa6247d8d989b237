// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shared delivery whose process is killed at any instruction and succeeded by another. All that the loop has lies in
 * shared memory; a child runs it, while this process plays the kernel and honest members with numbered frames and
 * packets, kills it, recovers and goes on. Where narrow windows count, the loop's process is stepped instruction by
 * instruction, and what each of its stores leaves is recovered.
 *
 * After each recovery: every frame is in one place; what a member holds by the ledger is what it holds by its own
 * account; it got what was meant for it but for what is counted as dropped, and nothing twice; each packet that was
 * taken from it is on the wire once; no counter went back.
 *
 * CRASH_SEED, CRASH_KILLS, CRASH_SCENARIOS and CRASH_SECONDS (for each test) in the environment say what to run; a
 * failure says the seed.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 64
#define RING_MAX   64
#define FRAME_SIZE 512u
#define OWN_FRAMES 8

#include "tests/unit/handoff_fixture.h"

#define SLOTS	  5u /* that members take; a group has the same number */
#define PLACES	  8u
#define ROSTERS	  4u
#define NO_GROUP  20u /* marked, and nobody is in it */
#define ARRAYS	  4096u
#define IDS	  4096u
#define ONE_IN(n) (below(n) == 0)

/* What both processes map. */
struct world {
	struct rig rig;
	struct player players[PLACES];
	_Alignas(64) unsigned char arrays[ARRAYS];
	struct roster rosters[ROSTERS];
	uint32_t wanted, adopted; /* generations; a roster lies at its generation modulo ROSTERS */
	uint32_t rounds;
};

/* A member, by its own account. */
struct seat {
	bool taken, tap, transmits;
	bool exact;	 /* it was there from the start, so what was meant for it is known */
	uint32_t id;	 /* its packets carry it */
	uint32_t slot;	 /* its place is the seat's index */
	uint64_t serial; /* last read */
	uint64_t meant;
	uint32_t put;		    /* packets into its TX ring */
	bool mine[FRAMES_MAX];	    /* read and neither given back nor on its way out */
	uint32_t read[FRAMES_MAX];  /* by RX index, the frames of the last entries */
	bool out[FRAMES_MAX];	    /* on its way out */
	bool own_out[OWN_FRAMES];   /* likewise, of its own memory */
	struct member_counters was; /* at the last recovery */
};

/* What is right, whatever the loop says. */
struct truth {
	struct seat seats[PLACES];
	bool used[PLACES]; /* places that the loop may touch */
	uint32_t ids;
	uint32_t log[256];  /* groups that a frame was marked with, by its number of arrival */
	uint64_t arrived;   /* frames that came into the RX ring and were not lost with it */
	uint64_t accounted; /* of those the loop has taken */
	uint64_t unclaimed;
	uint32_t sent[IDS];	   /* packets that the kernel has seen, by sender */
	uint64_t lost_rx, lost_tx; /* between counters and indices, as the rings are other ones */
	struct handoff_counters were; /* at the last recovery */
};

static struct world *world;
static struct truth truth;
static struct rig_options config;
static bool classified;

static uint64_t kills, recoveries, states, instructions, kinds[STEP_COMPLETE + 1];
static uint64_t seed;
static bool ended;

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct handoff *loop(void)
{
	return &world->rig.handoff;
}

static struct player *player_of(const struct seat *seat)
{
	return &world->players[seat - truth.seats];
}

#define FOR_EACH_SEAT(seat)                                                        \
	for (struct seat *seat = truth.seats; seat < truth.seats + PLACES; seat++) \
		if (seat->taken)

/* ---- rosters ---- */

static const struct roster *wanted(void)
{
	return &world->rosters[world->wanted % ROSTERS];
}

static void publish_roster(void)
{
	struct roster *roster = &world->rosters[(world->wanted + 1) % ROSTERS];

	roster->members = roster->taps = roster->unmarked = roster->groups = 0;
	memset(roster->member, 0, sizeof(roster->member));
	roster->classified = classified;
	roster->epoch = EPOCH;
	FOR_EACH_SEAT(seat)
	{
		roster->members |= BIT(seat->slot);
		roster->unmarked |= BIT(seat->slot);
		roster->groups |= 1u << seat->slot;
		roster->member[seat->slot] = &player_of(seat)->member;
		if (seat->tap)
			roster->taps |= BIT(seat->slot);
		memset(roster->choice[seat->slot], (int)seat->slot, ROSTER_BUCKETS);
	}
	__atomic_store_n(&world->wanted, world->wanted + 1, __ATOMIC_RELEASE);
}

static void adopt_wanted(void)
{
	const uint32_t generation = __atomic_load_n(&world->wanted, __ATOMIC_ACQUIRE);

	if (generation == world->adopted)
		return;
	handoff_adopt(loop(), &world->rosters[generation % ROSTERS]);
	__atomic_store_n(&world->adopted, generation, __ATOMIC_RELEASE);
}

static bool is_adopted(void)
{
	return __atomic_load_n(&world->adopted, __ATOMIC_ACQUIRE) == world->wanted;
}

static uint32_t slots_taken(void)
{
	uint32_t slots = 0;

	FOR_EACH_SEAT(seat)
	slots |= 1u << seat->slot;
	return slots;
}

static void join(uint32_t slot, bool exact)
{
	const bool tap = slot == SLOTS - 1;
	struct seat *seat;
	uint32_t place = 0;

	while (place < PLACES && truth.used[place])
		place++;
	if (place == PLACES || truth.ids + 1 == IDS)
		return;
	seat = &truth.seats[place];
	*seat = (struct seat){
		.taken = true,
		.tap = tap,
		.transmits = !tap && !ONE_IN(4),
		.exact = exact,
		.id = ++truth.ids,
		.slot = slot,
	};
	truth.used[place] = true;
	player_make(player_of(seat), &(struct player_options){
					     .rx = tap ? RING_MAX : 4u << below(4),
					     .fill = RING_MAX,
					     .tx = 4u << below(3),
					     .completion = RING_MAX,
					     .quota = ONE_IN(2) ? 0 : below(24) + 1,
					     .tap = tap,
					     .transmits = seat->transmits,
				     });
}

/* Its place is used until the loop has let go of it. */
static void come_and_go(void)
{
	uint32_t slot = below(SLOTS);

	if (!is_adopted())
		return;
	for (uint32_t place = 0; place < PLACES; place++)
		truth.used[place] = truth.seats[place].taken;
	/* One stays for ever. */
	FOR_EACH_SEAT(seat)
	if (seat->slot == slot && slot)
		seat->taken = false;
	if (!(slots_taken() & 1u << slot) && !ONE_IN(3))
		join(slot, false);
	publish_roster();
}

/* ---- the kernel ---- */

/* Either for the first member and others, or for nobody. */
static uint32_t random_groups(void)
{
	return ONE_IN(8) ? 1u << NO_GROUP : 1 | below(1u << SLOTS);
}

static void arrive(uint32_t count)
{
	for (; count; count--) {
		const uint32_t groups = random_groups();

		if (rig_arrives_marked(&world->rig, groups, below(UINT32_MAX)) == NO_FRAME)
			return;
		truth.log[truth.arrived++ % 256] = groups;
	}
}

struct sent {
	uint32_t id, number;
};

static struct sent sent_at(uint64_t address)
{
	struct sent sent;

	memcpy(&sent, world->rig.umem + address, sizeof(sent));
	assert_in_range(sent.id, 1, truth.ids);
	return sent;
}

/* Of each sender the next one. */
static void take_packets(uint32_t count)
{
	struct rig *rig = &world->rig;

	for (uint32_t i = rig->n_sending, end = i + rig_take_tx(rig, count); i < end; i++) {
		const struct sent sent = sent_at(rig->sending[i].addr);

		assert_int_equal(rig->sending[i].len, sizeof(sent));
		assert_int_equal(sent.number, ++truth.sent[sent.id]);
	}
}

static void move_kernel(void)
{
	switch (below(5)) {
	case 0:
		rig_take_fill(&world->rig, below(16));
		break;
	case 1:
	case 2:
		arrive(below(6));
		break;
	case 3:
		take_packets(below(8));
		break;
	default:
		rig_complete_tx(&world->rig, below(8));
	}
}

/* ---- members ---- */

static uint32_t read_frames(struct seat *seat)
{
	struct player *player = player_of(seat);
	const uint32_t most = below(8);
	uint64_t address, serial;
	uint32_t n;

	for (n = 0; n < most && (address = player_read(player)) != NO_FRAME; n++) {
		const uint64_t frame = address / FRAME_SIZE;

		memcpy(&serial, world->rig.umem + address, sizeof(serial));
		assert_true(serial > seat->serial);
		assert_false(seat->mine[frame] || seat->out[frame]);
		seat->serial = serial;
		seat->mine[frame] = true;
		seat->read[(player->rx.out.own - 1) % FRAMES_MAX] = (uint32_t)frame;
	}
	return n;
}

/* By a run, without keeping any. */
static void go_through(struct seat *seat)
{
	const uint32_t n = read_frames(seat), end = player_of(seat)->rx.out.own;

	for (uint32_t i = end - n; i != end; i++)
		seat->mine[seat->read[i % FRAMES_MAX]] = false;
	if (n)
		player_return_run(player_of(seat), n, n);
}

static uint32_t pick(const bool *flags, uint32_t n)
{
	const uint32_t start = below(n);

	for (uint32_t i = 0; i < n; i++)
		if (flags[(start + i) % n])
			return (start + i) % n;
	return n;
}

static void return_frames(struct seat *seat)
{
	for (uint32_t n = below(8); n; n--) {
		const uint32_t frame = pick(seat->mine, FRAMES_MAX);

		if (frame == FRAMES_MAX || !xdpd_ring_room(&player_of(seat)->fill.in, 1))
			return;
		player_return(player_of(seat), (uint64_t)frame * FRAME_SIZE + below(FRAME_SIZE));
		seat->mine[frame] = false;
	}
}

/* Before the packet, where each member has a place of its own. */
static void send_held(struct seat *seat, const struct sent *sent)
{
	const uint32_t frame = pick(seat->mine, FRAMES_MAX);
	const uint64_t address = (uint64_t)frame * FRAME_SIZE + 16 + seat->slot * 8;

	if (frame == FRAMES_MAX)
		return;
	memcpy(world->rig.umem + address, sent, sizeof(*sent));
	seat->mine[frame] = false;
	seat->out[frame] = true;
	seat->put++;
	player_send(player_of(seat), address, sizeof(*sent));
}

static void send_own(struct seat *seat, const struct sent *sent)
{
	const uint32_t frame = below(OWN_FRAMES);

	if (seat->own_out[frame])
		return;
	memcpy(player_of(seat)->own + frame * FRAME_SIZE, sent, sizeof(*sent));
	seat->own_out[frame] = true;
	seat->put++;
	player_send(player_of(seat), own_address(&world->rig, frame), sizeof(*sent));
}

static void send_packets(struct seat *seat)
{
	for (uint32_t n = below(5); n && xdpd_ring_room(&player_of(seat)->tx.in, 1); n--) {
		const struct sent sent = {.id = seat->id, .number = seat->put + 1};

		if (ONE_IN(2))
			send_own(seat, &sent);
		else
			send_held(seat, &sent);
	}
}

static void take_completions(struct seat *seat)
{
	const uint64_t end = own_address(&world->rig, 0);
	uint64_t address;

	for (uint32_t n = below(16); n && line_take_address(&player_of(seat)->completion, &address);
	     n--) {
		const uint64_t frame = (address < end ? address : address - end) / FRAME_SIZE;
		bool *out = address < end ? &seat->out[frame] : &seat->own_out[frame];

		assert_true(*out);
		*out = false;
		if (address < end)
			seat->mine[frame] = true;
	}
}

static void act(struct seat *seat)
{
	if (!seat->taken || seat->tap)
		return;
	switch (below(seat->transmits ? 6 : 4)) {
	case 0:
		(void)read_frames(seat);
		break;
	case 1:
		go_through(seat);
		break;
	case 2:
	case 3:
		return_frames(seat);
		break;
	case 4:
		send_packets(seat);
		break;
	default:
		take_completions(seat);
	}
}

static void play(void)
{
	if (ONE_IN(2))
		move_kernel();
	else if (ONE_IN(32))
		come_and_go();
	else
		act(&truth.seats[below(PLACES)]);
}

/* ---- what has to hold after a recovery ---- */

static void check_goes_on(const uint64_t *was, const uint64_t *is, size_t size)
{
	for (size_t i = 0; i < size / sizeof(*is); i++)
		assert_true(is[i] >= was[i]);
}

/* Frames that the loop has taken since: for whom they were. */
static void account(void)
{
	const uint64_t taken = loop()->counters.packets;

	assert_true(taken <= truth.arrived);
	assert_int_equal((uint32_t)(taken - truth.lost_rx), world->rig.rx.consumer - START);
	for (; truth.accounted < taken; truth.accounted++) {
		const uint32_t groups = truth.log[truth.accounted % 256];

		truth.unclaimed += classified && groups == 1u << NO_GROUP;
		FOR_EACH_SEAT(seat)
		seat->meant += !classified || groups >> seat->slot & 1;
	}
	assert_int_equal(loop()->counters.unclaimed, truth.unclaimed);
}

static void count_return(const struct seat *seat, uint64_t entry, uint8_t places[FRAMES_MAX])
{
	if (!xdpd_is_run(entry))
		places[entry / FRAME_SIZE]++;
	else
		for (uint32_t i = 0; i < xdpd_run_count(entry); i++)
			places[seat->read[(xdpd_run_first(entry) + i) % FRAMES_MAX]]++;
}

/* Each frame that it holds by the ledger is in one place on its side. */
static void check_column(const struct seat *seat)
{
	const struct player *player = player_of(seat);
	uint8_t places[FRAMES_MAX] = {};
	uint32_t wrong = 0;

	for (uint32_t i = player->rx.consumer; !seat->tap && i != player->rx.producer; i++)
		places[xdpd_ring_desc(&player->rx.out, i)->addr / FRAME_SIZE]++;
	for (uint32_t i = player->fill.consumer; i != player->fill.producer; i++)
		count_return(seat, *xdpd_ring_address(&player->fill.out, i), places);
	for (uint32_t frame = 0; frame < loop()->receive_frames; frame++)
		wrong += (uint64_t)places[frame] + seat->mine[frame] + seat->out[frame] !=
			 (loop()->holders[frame] >> seat->slot & 1);
	assert_int_equal(wrong, 0);
}

static void check_received(const struct seat *seat)
{
	const struct player *player = player_of(seat);
	const struct member_counters *counters = &player->member.counters;
	uint64_t serial = seat->serial, last;

	assert_int_equal((uint32_t)counters->receive_packets, player->rx.producer - START);
	if (seat->exact)
		assert_int_equal(counters->receive_packets + counters->dropped_ring_full +
					 counters->dropped_quota,
				 seat->meant);
	for (uint32_t i = player->rx.consumer; !seat->tap && i != player->rx.producer; i++) {
		last = serial;
		memcpy(&serial, world->rig.umem + xdpd_ring_desc(&player->rx.out, i)->addr,
		       sizeof(serial));
		assert_true(serial > last);
	}
}

/* What was taken is on the wire; what is on its way out is in its ring, in flight or completed. */
static void check_transmitted(const struct seat *seat)
{
	const struct rig *rig = &world->rig;
	const struct player *player = player_of(seat);
	const uint32_t taken = player->tx.consumer - START;
	uint32_t on_wire = truth.sent[seat->id], out = 0;

	for (uint32_t i = rig->tx.consumer; i != rig->tx.producer; i++)
		on_wire += sent_at(xdpd_ring_desc(&rig->tx.out, i)->addr).id == seat->id;
	assert_int_equal(taken, on_wire);
	assert_int_equal(player->member.counters.transmit_packets, taken);
	for (uint32_t i = 0; i < FRAMES_MAX; i++)
		out += seat->out[i];
	for (uint32_t i = 0; i < OWN_FRAMES; i++)
		out += seat->own_out[i];
	assert_int_equal(out, player->tx.producer - player->tx.consumer + player->member.in_flight +
				      player->completion.producer - player->completion.consumer);
}

static void check(void)
{
	rig_check(&world->rig);
	assert_int_equal(loop()->with_kernel + loop()->forwarded + loop()->lent +
				 loop()->queue_tail - loop()->queue_head,
			 loop()->receive_frames);
	account();
	if (config.tx)
		assert_int_equal((uint32_t)(loop()->counters.transmit_packets - truth.lost_tx),
				 world->rig.tx.producer - START);
	check_goes_on((uint64_t *)&truth.were, (uint64_t *)&loop()->counters, sizeof(truth.were));
	truth.were = loop()->counters;
	FOR_EACH_SEAT(seat)
	{
		struct handoff_member *member = &player_of(seat)->member;

		assert_int_equal(member->violation, VIOLATION_NONE);
		check_column(seat);
		check_received(seat);
		if (seat->transmits)
			check_transmitted(seat);
		check_goes_on((uint64_t *)&seat->was, (uint64_t *)&member->counters,
			      sizeof(seat->was));
		seat->was = member->counters;
	}
}

/* ---- recovery ---- */

static void rejoin(struct xdpd_ring *ring, const struct xdpd_ring *side)
{
	struct xdpd_ring joined = *side;

	if (side->size)
		xdpd_ring_join(&joined, side->entries, side->size, side->shared_own,
			       side->shared_peer, side->flags);
	handoff_rejoin(ring, &joined);
}

static void rejoin_member(const struct seat *seat)
{
	const struct xdpd_ring none = {};
	struct player *player = player_of(seat);
	struct handoff_member *member = &player->member;

	rejoin(&member->rx, &player->rx.in);
	rejoin(&member->fill, seat->tap ? &none : &player->fill.out);
	rejoin(&member->tx, &player->tx.out);
	rejoin(&member->completion, &player->completion.in);
	member->received = player->received;
	member->transmit = player->own;
	member->transmit_size = sizeof(player->own);
}

/* Pointers of a process that is no more. */
static void poison(void)
{
	struct handoff *h = loop();
	void *nowhere = (void *)(uintptr_t)0xdead000000000000ull;

	h->umem = nowhere;
	h->holders = nowhere;
	h->free = h->senders = nowhere;
	h->queue = h->stack = h->sequences = nowhere;
	h->roster = nowhere;
	h->rx.entries = h->fill.entries = h->tx.entries = h->completion.entries = nowhere;
	h->rx.shared_own = h->fill.shared_own = h->tx.shared_own = nowhere;
	h->rx.shared_peer = h->fill.shared_peer = h->tx.shared_peer = nowhere;
}

/* A kernel's ring, joined as after a start. */
static struct xdpd_ring joined(const struct xdpd_ring *side)
{
	struct xdpd_ring ring;

	xdpd_ring_join(&ring, side->entries, side->size, side->shared_own, side->shared_peer,
		       side->flags);
	return ring;
}

static int recover_with(bool fresh)
{
	struct rig *rig = &world->rig;
	const struct handoff_memory memory = rig_memory(rig, &config);
	const struct xdpd_ring none = {}, rx = joined(&rig->rx.out), fill = joined(&rig->fill.in);
	const struct xdpd_ring tx = joined(&rig->tx.in), completion = joined(&rig->completion.out);
	struct handoff_member *members[ROSTER_MEMBERS] = {};
	uint64_t stay = 0;

	FOR_EACH_SEAT(seat)
	{
		rejoin_member(seat);
		members[seat->slot] = &player_of(seat)->member;
		stay |= BIT(seat->slot);
	}
	return handoff_recover(loop(), &memory, &rx, &fill, config.tx ? &tx : &none,
			       config.tx ? &completion : &none, fresh, members, stay);
}

static void go_on(void)
{
	handoff_adopt(loop(), wanted());
	world->adopted = world->wanted;
	for (uint32_t place = 0; place < PLACES; place++)
		truth.used[place] = truth.seats[place].taken;
}

static void recover(void)
{
	poison();
	assert_int_equal(recover_with(false), 0);
	go_on();
	recoveries++;
	check();
}

/* Packets that were taken and frames that had arrived are lost with the old rings, and no more. */
static void recover_fresh(void)
{
	struct rig *rig = &world->rig;

	rig_make_rings(rig, &config);
	rig->n_hidden = rig->n_sending = 0;
	poison();
	assert_int_equal(recover_with(true), 0);
	go_on();
	recoveries++;
	truth.lost_rx = truth.arrived = loop()->counters.packets;
	truth.lost_tx = loop()->counters.transmit_packets;
	FOR_EACH_SEAT(seat)
	truth.sent[seat->id] = player_of(seat)->tx.consumer - START;
	assert_int_equal(loop()->with_kernel + loop()->forwarded, 0);
	check();
}

/* As a process does that is started again. Sometimes not all are there any more. */
static void start_again(void)
{
	const uint32_t leaves = ONE_IN(8) ? below(SLOTS) : 0;

	FOR_EACH_SEAT(seat)
	if (leaves && seat->slot == leaves)
		seat->taken = false;
	publish_roster();
	if (ONE_IN(50))
		recover_fresh();
	else
		recover();
}

/* ---- worlds ---- */

static void make_world(void)
{
	const uint32_t received = below(24) + 16, transmitted = below(10) + 1;

	config = (struct rig_options){
		.receive_frames = received,
		.frames = received + transmitted,
		.rx = 8u << below(3),
		.fill = 8u << below(4),
		.tx = ONE_IN(8) ? 0 : 4u << below(4),
		.completion = RING_MAX,
		.writable = ONE_IN(2),
		.arrays = world->arrays,
	};
	classified = ONE_IN(2);
	memset(world, 0, sizeof(*world));
	memset(&truth, 0, sizeof(truth));
	assert_true(handoff_arrays_size(&(struct handoff_memory){
			    .frames = config.frames, .receive_frames = received}) <= ARRAYS);
	rig_make(&world->rig, &config);
	world->rig.shuffles = ONE_IN(2);
	world->rig.next.epoch = EPOCH;
	join(0, true);
	for (uint32_t slot = 1; slot < SLOTS - ONE_IN(2); slot++)
		if (!ONE_IN(3))
			join(slot, true);
	publish_roster();
	adopt_wanted();
	check();
}

static void give_all_back(struct seat *seat)
{
	if (!seat->taken || seat->tap)
		return;
	for (uint32_t i = 0; i < 16; i++) {
		(void)read_frames(seat);
		return_frames(seat);
		go_through(seat);
		if (seat->transmits)
			take_completions(seat);
	}
}

static void run_round(void)
{
	adopt_wanted();
	handoff_run(loop());
}

/* All is sent, completed and given back. */
static void end_world(void)
{
	for (uint32_t i = 0; i < 64; i++) {
		run_round();
		take_packets(64);
		rig_complete_tx(&world->rig, 64);
		for (uint32_t place = 0; place < PLACES; place++)
			give_all_back(&truth.seats[place]);
	}
	run_round();
	check();
	if (!config.tx)
		return;
	assert_int_equal(loop()->lent + loop()->forwarded, 0);
	FOR_EACH_SEAT(seat)
	if (seat->transmits)
		assert_int_equal(truth.sent[seat->id], seat->put);
}

/* ---- at random moments ---- */

static void run_for_ever(void)
{
	for (uint32_t i = 0;; i++) {
		run_round();
		if (i % 8 == 0) {
			(void)handoff_doze(loop());
			handoff_awake(loop());
		}
		__atomic_store_n(&world->rounds, world->rounds + 1, __ATOMIC_RELAXED);
	}
}

static pid_t start_loop(void (*body)(void))
{
	const pid_t parent = getpid(), child = fork();

	assert_true(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		body();
	_exit(0);
}

static void end_loop(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void let_it_run(uint32_t rounds)
{
	const uint32_t first = __atomic_load_n(&world->rounds, __ATOMIC_RELAXED);
	const double end = now() + 1;

	while (__atomic_load_n(&world->rounds, __ATOMIC_RELAXED) - first < rounds && now() < end)
		for (uint32_t i = 0; i < 8; i++)
			play();
}

static void a_loop_killed_at_random_moments_is_succeeded_without_loss(void **state)
{
	const uint64_t wanted_kills = setting("CRASH_KILLS", 4000);
	const double end = now() + (double)setting("CRASH_SECONDS", 15);

	(void)state;
	for (kills = 0; kills < wanted_kills && now() < end;) {
		make_world();
		for (uint32_t i = 0; i < 100 && kills < wanted_kills; i++, kills++) {
			const pid_t child = start_loop(run_for_ever);

			let_it_run(below(12) + 1);
			for (uint32_t k = below(3); k; k--)
				play();
			end_loop(child);
			start_again();
		}
		end_world();
	}
	print_message("# killed %" PRIu64 " times\n", kills);
	ended = true;
}

/* ---- at every instruction ---- */

/* The packets' bytes do not count: nothing is judged by them. */
static bool has_changed(const struct world *last)
{
	const size_t rings = offsetof(struct world, rig.turn);
	const size_t umem = offsetof(struct world, rig.umem);
	const size_t players = offsetof(struct world, players);
	const size_t end = offsetof(struct world, rosters);
	const char *is = (const char *)world, *was = (const char *)last;

	return memcmp(&world->rig.handoff, &last->rig.handoff, sizeof(struct handoff)) ||
	       memcmp(is + rings, was + rings, umem - rings) ||
	       memcmp(is + players, was + players, end - players);
}

/* Undoes whatever is tried with what a store left. */
static void try(void (*what)(void))
{
	static struct world tried_world;
	static struct truth tried_truth;

	memcpy(&tried_world, world, sizeof(tried_world));
	tried_truth = truth;
	what();
	memcpy(world, &tried_world, sizeof(tried_world));
	truth = tried_truth;
}

/* One has left meanwhile. */
static void recover_fewer(void)
{
	const uint32_t slot = below(SLOTS - 1) + 1;

	FOR_EACH_SEAT(seat)
	if (seat->slot == slot)
		seat->taken = false;
	publish_roster();
	recover();
}

static void recover_and_end(void)
{
	recover();
	for (uint32_t i = 0; i < 32; i++) {
		play();
		run_round();
	}
	end_world();
}

static void recover_fresh_and_end(void)
{
	recover_fresh();
	end_world();
}

/* The state is the one that a kill at this instruction leaves: memory is all there is of it. */
static void try_state(void)
{
	const uint32_t kind = loop()->step.kind;

	states++;
	if (kind <= STEP_COMPLETE)
		kinds[kind]++;
	try(recover);
	if (states % 2 == 0)
		try(recover_fewer);
	if (states % 4 == 0)
		try(recover_fresh);
	if (states % 16 == 0)
		try(recover_and_end);
	if (states % 64 == 0)
		try(recover_fresh_and_end);
}

/*
 * Runs `body` in a process of its own, instruction by instruction, and `at_each` after those that changed the memory.
 * Ends after `limit` of these, with the process killed. Returns false if tracing is not allowed.
 */
static bool step_through(void (*body)(void), void (*at_each)(void), uint64_t limit)
{
	static struct world last;
	const pid_t parent = getpid(), child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent || ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		return false;
	memcpy(&last, world, sizeof(last));
	while (limit) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) < 0) {
			end_loop(child);
			return false;
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSTOPPED(status)) {
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			return true;
		}
		assert_int_equal(WSTOPSIG(status), SIGTRAP);
		instructions++;
		if (!has_changed(&last))
			continue;
		memcpy(&last, world, sizeof(last));
		at_each();
		limit--;
	}
	end_loop(child);
	return true;
}

static void count_state(void)
{
	states++;
}

static void recover_as_it_is(void)
{
	if (recover_with(false) < 0)
		_exit(2);
	go_on();
}

static void recover_fresh_as_it_is(void)
{
	if (recover_with(true) < 0)
		_exit(2);
	go_on();
}

static void prepare_scenario(void)
{
	for (uint32_t n = below(40) + 20; n; n--) {
		play();
		if (ONE_IN(3))
			run_round();
	}
	if (ONE_IN(2))
		come_and_go();
	rig_complete_tx(&world->rig, below(4));
	arrive(below(4));
}

static void skip_if_checked(void)
{
	if (!getenv("MEMCHECK"))
		return;
	print_message(
		"# skipped: under valgrind its instructions would be stepped, not the loop's\n");
	ended = true;
	skip();
}

static void each_store_leaves_what_can_be_gone_on_with(void **state)
{
	const uint64_t scenarios = setting("CRASH_SCENARIOS", 150);
	const double end = now() + (double)setting("CRASH_SECONDS", 15);
	uint64_t n = 0;

	(void)state;
	skip_if_checked();
	states = instructions = recoveries = 0;
	for (; n < scenarios && now() < end; n++) {
		if (n % 4 == 0)
			make_world();
		prepare_scenario();
		if (!step_through(run_round, try_state, UINT64_MAX)) {
			print_message("# skipped: ptrace is not allowed\n");
			skip();
		}
		check();
	}
	print_message("# %" PRIu64 " rounds of %" PRIu64 " instructions: %" PRIu64
		      " states, recovered %" PRIu64 " times\n",
		      n, instructions, states, recoveries);
	/* Fewer rounds, on a slow machine, need not have all of them. */
	for (uint32_t kind = STEP_NONE; n >= 100 && kind <= STEP_COMPLETE; kind++)
		assert_true(kinds[kind] > 0);
	ended = true;
}

static bool is_fresh; /* the recovery that is killed */

static void try_after_recovery(void)
{
	states++;
	if (is_fresh)
		try(recover_fresh);
	else
		try(recover);
	if (states % 64 == 0)
		try(is_fresh ? recover_fresh_and_end : recover_and_end);
}

static void a_recovery_that_is_killed_itself_is_succeeded_too(void **state)
{
	const uint64_t scenarios = setting("CRASH_SCENARIOS", 40);
	const double end = now() + (double)setting("CRASH_SECONDS", 15);
	uint64_t n = 0;

	(void)state;
	skip_if_checked();
	states = instructions = recoveries = 0;
	for (; n < scenarios && now() < end; n++) {
		make_world();
		prepare_scenario();
		if (!step_through(run_round, count_state, below(150) + 1)) {
			print_message("# skipped: ptrace is not allowed\n");
			skip();
		}
		is_fresh = ONE_IN(4);
		if (is_fresh) {
			rig_make_rings(&world->rig, &config);
			world->rig.n_hidden = world->rig.n_sending = 0;
		}
		assert_true(step_through(is_fresh ? recover_fresh_as_it_is : recover_as_it_is,
					 try_after_recovery, UINT64_MAX));
	}
	print_message("# %" PRIu64 " recoveries of %" PRIu64 " instructions: %" PRIu64
		      " states, recovered %" PRIu64 " times\n",
		      n, instructions, states, recoveries);
	ended = true;
}

/* ---- garbage ---- */

static void corrupt(void *memory, size_t size)
{
	static const uint64_t odd[] = {0,	   1,	       2,	   63,	       64,  65,
				       UINT32_MAX, 0x7fffffff, 0x80000000, UINT64_MAX, 0xfe};
	unsigned char *bytes = memory;

	for (uint32_t n = below(6); n; n--) {
		const uint64_t value =
			ONE_IN(2) ? odd[below(sizeof(odd) / sizeof(*odd))] : below(UINT32_MAX);
		const size_t width = (size_t)1 << below(4);
		const size_t at = below((uint32_t)(size / width)) * width;

		memcpy(bytes + at, &value, width);
	}
}

/* A frame is in one place by the ledger, and what lies in a ring is the kernel's by it too. */
static void check_sound(void)
{
	const struct handoff *h = loop();
	uint32_t places[XDPD_PLACE_COUNT], lent = 0, sent = 0, with_kernel = 0;
	uint8_t spare[FRAMES_MAX] = {};

	handoff_places(h, places);
	assert_int_equal(places[0] + places[1] + places[2] + places[3], h->frames);
	for (uint32_t i = h->queue_head; i != h->queue_tail; i++)
		spare[h->queue[i & h->queue_mask]]++;
	for (uint32_t i = 0; i < h->stacked; i++)
		spare[h->stack[i]]++;
	for (uint32_t frame = 0; frame < h->receive_frames; frame++) {
		const bool in_transmission = h->senders[frame] != HANDOFF_NOBODY;

		assert_true(spare[frame] <= !(h->holders[frame] || in_transmission));
		sent += in_transmission;
		lent += h->holders[frame] && !in_transmission;
		with_kernel += !h->holders[frame] && !in_transmission && !spare[frame];
	}
	assert_int_equal(lent, h->lent);
	assert_int_equal(sent, h->forwarded);
	assert_int_equal(with_kernel, h->with_kernel);
	FOR_EACH_SEAT(seat)
	{
		const struct handoff_member *member = &player_of(seat)->member;
		uint32_t held = 0;

		for (uint32_t frame = 0; frame < h->receive_frames; frame++)
			held += h->holders[frame] >> seat->slot & 1;
		assert_int_equal(held, member->held);
	}
}

static uint64_t refused, taken_up;

/* In memory of the exact size, so that a sanitizer sees what is beyond it. */
static void recover_garbage(void)
{
	const size_t size = handoff_arrays_size(&(struct handoff_memory){
		.frames = config.frames, .receive_frames = config.receive_frames});
	unsigned char *arrays = aligned_alloc(64, size);
	const bool fresh = ONE_IN(4);

	assert_non_null(arrays);
	memcpy(arrays, world->arrays, size);
	corrupt(loop(), sizeof(*loop()));
	if (ONE_IN(2))
		corrupt(&loop()->step, 24);
	if (ONE_IN(2))
		loop()->step.kind = below(STEP_COMPLETE + 2);
	if (ONE_IN(2))
		corrupt(arrays, size);
	FOR_EACH_SEAT(seat)
	{
		if (ONE_IN(2))
			corrupt(&player_of(seat)->member, sizeof(struct handoff_member));
		if (ONE_IN(8))
			corrupt(player_of(seat)->received, sizeof(player_of(seat)->received));
	}
	if (fresh)
		rig_make_rings(&world->rig, &config);
	config.arrays = arrays;
	if (recover_with(fresh) < 0) {
		refused++;
	} else {
		taken_up++;
		go_on();
		check_sound();
		for (uint32_t i = 0; i < 3; i++)
			handoff_run(loop());
		check_sound();
	}
	config.arrays = world->arrays;
	free(arrays);
}

static void garbage_is_refused_or_made_sound(void **state)
{
	const uint64_t scenarios = setting("CRASH_GARBAGE", 200);
	const double end = now() + (double)setting("CRASH_SECONDS", 15);

	(void)state;
	refused = taken_up = 0;
	for (uint64_t n = 0; n < scenarios && now() < end; n++) {
		make_world();
		prepare_scenario();
		for (uint32_t i = 0; i < 100; i++)
			try(recover_garbage);
	}
	print_message("# refused %" PRIu64 ", taken up %" PRIu64 "\n", refused, taken_up);
	assert_true(refused && taken_up);
	ended = true;
}

/* ---- all of it ---- */

static int make(void **state)
{
	(void)state;
	seed = setting("CRASH_SEED", 88172645463325252ull);
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	return world == MAP_FAILED;
}

static int begin(void **state)
{
	(void)state;
	random_state = seed;
	ended = false;
	return 0;
}

static int say_where(void **state)
{
	(void)state;
	if (!ended)
		print_message("# CRASH_SEED=%" PRIu64 "\n", seed);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, say_where)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_loop_killed_at_random_moments_is_succeeded_without_loss),
		TEST(each_store_leaves_what_can_be_gone_on_with),
		TEST(a_recovery_that_is_killed_itself_is_succeeded_too),
		TEST(garbage_is_refused_or_made_sound),
	};

	return cmocka_run_group_tests_name("handoff, after a crash", tests, make, NULL);
}

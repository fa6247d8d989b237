/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds a frame, while members join, leave, crash and lie at any moment: the worker lends frames and takes them
 * back, the main thread hands it a new roster of members with each change.
 *
 *     kernel --> worker --> RX of each member: a bit in `holders` for each
 *     member --> its fill ring --> worker: clears the bit; the last one frees the frame --> kernel
 *
 *     main: publishes a roster --> worker: adopts it, clears the columns of who left, acknowledges
 *     main: only then frees their rings and the old roster, and gives their slots to others
 *
 * Two slots, each in a group of its own, so that each frame goes to both; an honest member in the one, and in the
 * other two members one after the other, honest or hostile. What one side of a ring does at once, where the other
 * can't tell, is one step.
 *
 * What is asserted: at each turn of the worker a frame is in exactly one place, and what it counts is so; none is
 * lent to a member that has it, or goes to the kernel while a member reads it; no ring or roster is touched after it
 * was freed; an honest member is never ejected; when all have left, no frame is lent.
 *
 * Each of these changes something, and spin has to find an assertion that fails:
 *
 *     FREE_AT_ONCE      main frees the rings of who left without waiting for the worker
 *     REUSE_AT_ONCE     it gives the slot to the next without waiting
 *     FREE_ROSTER       it frees the old roster without waiting
 *     NO_CLEAR          the worker forgets to clear the column of who left
 *     NO_VALIDATION     it does not look who holds what is given back
 *     EJECT_FREES       it counts an ejected member's frames as free, and clears its column again when it leaves
 *
 * And each of these is an assertion that must fail, as else nothing would be shown:
 *
 *     EJECTS            nobody is ever ejected
 *     BOTH_HOLD         no frame is ever with two members
 *     REUSES            no slot is ever used again
 */

#define FRAMES	2
#define SLOTS	2
#define LIAR	1 /* the slot whose members may be hostile */
#define JOINS(slot) ((slot) + 1) /* a member in slot 0, two in slot 1, one after the other */
#define ROSTERS 7 /* one for each join and leave, and the empty one */
#define ROOM	1 /* entries of an RX ring */
#define QUOTA	2

#define BIT(slot) (1 << (slot))

/* ---- the worker's own: daemon memory that no member maps ---- */

byte holders[FRAMES]; /* a bit for each slot */
byte held[SLOTS];     /* bits in the slot's column */
bit in_kernel[FRAMES];
bit is_free[FRAMES];

/* ---- what main and worker share ---- */

byte rosters[ROSTERS]; /* by generation: the slots with a member; immutable once published */
bit roster_exists[ROSTERS];
byte newest;  /* the generation published last: in C a pointer, stored with release and read with acquire */
byte adopted; /* the generation that the worker uses: its acknowledgement */
bit ejected[SLOTS]; /* the worker asks main to end this one */
bit mapped[SLOTS];  /* the member's rings are there */
bit all_gone;

/* ---- what a member can write ---- */

chan rx[SLOTS] = [ROOM] of { byte };
chan fill[SLOTS] = [FRAMES] of { byte };
bit connected[SLOTS];
byte has[SLOTS]; /* a bit for each frame that an honest one took from RX and has not given back */

/* ---- for assertions only ---- */

bit hostile[SLOTS];
byte uses[SLOTS]; /* a bit for each frame that an honest member was lent and has not given back */
bit was_used[SLOTS];

/* A process for all members that ever have the slot; it ends by a crash or a leave, which look the same. */
proctype member(byte slot)
{
	byte at;

end:	do
	:: atomic {
		connected[slot] && nempty(rx[slot]) ->
		rx[slot] ? at;
		has[slot] = (hostile[slot] -> 0 : has[slot] | BIT(at)); /* who returns anything needs to have nothing */
		at = 0
	}

	/* Frames go back in any order. */
	:: atomic {
		connected[slot] && has[slot] ->
		if
		:: has[slot] & BIT(0) -> at = 0
		:: has[slot] & BIT(1) -> at = 1
		fi;
		has[slot] = has[slot] & ~BIT(at);
		uses[slot] = uses[slot] & ~BIT(at);
		assert(nfull(fill[slot])); /* it has an entry for each frame */
		fill[slot] ! at;
		at = 0
	}

	/*
	 * A hostile one: frames that it has or has not, as often as it likes, and what is none, as is an absurd index.
	 * The worker takes one entry at a time, so nothing is lost by one being there at a time.
	 */
	:: atomic {
		connected[slot] && hostile[slot] && empty(fill[slot]) ->
		if
		:: fill[slot] ! 0
		:: fill[slot] ! 1
		:: fill[slot] ! FRAMES
		fi
	}

	:: atomic {
		connected[slot] ->
		connected[slot] = 0;
		has[slot] = 0;
		uses[slot] = 0
	}
	od
}

/* ---- worker ---- */

inline check_ledger()
{
	d_step {
		count[0] = 0;
		count[1] = 0;
		for (f : 0 .. FRAMES - 1) {
			assert(in_kernel[f] + is_free[f] + (holders[f] != 0) == 1);
			for (s : 0 .. SLOTS - 1) {
				count[s] = count[s] + ((holders[f] & BIT(s)) != 0)
			}
		}
		for (s : 0 .. SLOTS - 1) {
			assert(count[s] == held[s] && held[s] <= QUOTA);
			count[s] = 0
		}
		f = 0;
		s = 0
	}
}

inline free_if_last(which)
{
	if
	:: holders[which] == 0 -> is_free[which] = 1
	:: else
	fi
}

/* Of a member that left or crashed: all that it held comes back. */
inline clear_column(slot)
{
	for (f : 0 .. FRAMES - 1) {
		if
		:: holders[f] & BIT(slot) ->
			holders[f] = holders[f] & ~BIT(slot);
			held[slot]--;
			free_if_last(f)
		:: else
		fi
	}
	f = 0
}

inline eject(slot)
{
	assert(hostile[slot]);
#ifdef EJECTS
	assert(false);
#endif
#ifdef EJECT_FREES
	for (f : 0 .. FRAMES - 1) {
		if
		:: holders[f] & BIT(slot) -> is_free[f] = 1
		:: else
		fi
	}
	f = 0;
#endif
	serving = serving & ~BIT(slot); /* its rings are not looked at again; its column waits for the roster */
	ejected[slot] = 1
}

inline deliver(which, slot)
{
	if
	:: serving & BIT(slot) ->
		assert(mapped[slot]);
		if
		:: len(rx[slot]) < ROOM && held[slot] < QUOTA ->
			assert(!(uses[slot] & BIT(which)));
			holders[which] = holders[which] | BIT(slot);
			held[slot]++;
			uses[slot] = uses[slot] | (connected[slot] && !hostile[slot] -> BIT(which) : 0);
			rx[slot] ! which
		:: else /* dropped for this member alone */
		fi
	:: else
	fi
}

inline take_back(slot)
{
	assert(mapped[slot]);
	fill[slot] ? address; /* read once, into a local */
	if
	:: address >= FRAMES -> eject(slot)
#ifndef NO_VALIDATION
	:: address < FRAMES && !(holders[address] & BIT(slot)) -> eject(slot)
#endif
	:: else ->
#ifdef NO_VALIDATION
		holders[address] = 0;
#else
		holders[address] = holders[address] & ~BIT(slot);
#endif
		held[slot] = (held[slot] -> held[slot] - 1 : 0);
		free_if_last(address)
	fi;
	address = 0
}

proctype worker()
{
	byte serving, roster, address, f, s;
	byte count[SLOTS];

	do
	/* handoff_adopt(). A new roster: the pointer first, then what it points to. */
	:: newest != adopted ->
		check_ledger();
		roster = newest;
		atomic {
			assert(roster_exists[roster] && roster_exists[adopted]);
			for (s : 0 .. SLOTS - 1) {
				if
				:: rosters[adopted] & ~rosters[roster] & BIT(s) ->
#ifndef NO_CLEAR
					clear_column(s);
#endif
					serving = serving & ~BIT(s)
				:: rosters[roster] & ~rosters[adopted] & BIT(s) -> serving = serving | BIT(s)
				:: else
				fi
			}
			s = 0
		}
		atomic {
			adopted = roster; /* with release: main may free what it replaces */
			roster = 0
		}

	/* handoff_receive(). The kernel has a frame, any: to each member, or straight back. */
	:: atomic {
			in_kernel[0] || in_kernel[1] ->
			check_ledger();
			if
			:: in_kernel[0] -> address = 0
			:: in_kernel[1] -> address = 1
			fi;
			in_kernel[address] = 0;
			deliver(address, 0);
			deliver(address, 1);
#ifdef BOTH_HOLD
			assert(holders[address] != 3);
#endif
			free_if_last(address);
			address = 0
		}

	/* handoff_collect() */
	:: atomic { serving & BIT(0) && nempty(fill[0]) -> check_ledger(); take_back(0) }
	:: atomic { serving & BIT(1) && nempty(fill[1]) -> check_ledger(); take_back(1) }

	/* handoff_stock(): the kernel gets what is free. */
	:: atomic {
		is_free[0] || is_free[1] ->
		check_ledger();
		for (f : 0 .. FRAMES - 1) {
			if
			:: is_free[f] ->
				assert(!(uses[0] & BIT(f)) && !(uses[1] & BIT(f)));
				is_free[f] = 0;
				in_kernel[f] = 1
			:: else
			fi
		}
		f = 0
	}

	:: all_gone -> check_ledger(); break
	od
}

/* ---- main thread ---- */

#define EMPTY	 0
#define ATTACHED 1
#define LEAVING	 2

/* With each roster, those before the one that the worker uses go. */
inline publish(slots)
{
	do
	:: oldest < adopted ->
		roster_exists[oldest] = 0;
		rosters[oldest] = 0;
		oldest++
	:: else -> break
	od;
	rosters[newest + 1] = slots;
	roster_exists[newest + 1] = 1;
	newest++;
#ifdef FREE_ROSTER
	roster_exists[newest - 1] = 0
#endif
}

inline free_rings(slot)
{
#ifndef REUSE_AT_ONCE
	mapped[slot] = 0;
#endif
	do
	:: rx[slot] ? _
	:: fill[slot] ? _
	:: empty(rx[slot]) && empty(fill[slot]) -> break
	od
}

inline attach(slot)
{
	atomic {
		state[slot] == EMPTY && joins[slot] < JOINS(slot) ->
		joins[slot]++;
		mapped[slot] = 1;
#ifdef REUSES
		assert(!was_used[slot]);
		was_used[slot] = 1;
#endif
		if
		:: hostile[slot] = 0
		:: slot == LIAR -> hostile[slot] = 1
		fi;
		connected[slot] = 1;
		state[slot] = ATTACHED;
		publish(rosters[newest] | BIT(slot))
	}
}

/* Its connection has closed, or the worker has ejected it. */
inline end_of(slot)
{
	atomic {
		state[slot] == ATTACHED && (!connected[slot] || ejected[slot]) ->
		connected[slot] = 0;
		has[slot] = 0;
		uses[slot] = 0;
		ejected[slot] = 0;
		publish(rosters[newest] & ~BIT(slot));
		state[slot] = LEAVING;
		left_by[slot] = newest;
#if defined(FREE_AT_ONCE) || defined(REUSE_AT_ONCE)
		free_rings(slot);
#endif
#ifdef REUSE_AT_ONCE
		state[slot] = EMPTY
#endif
	}
}

inline free_slot(slot)
{
	atomic {
		state[slot] == LEAVING && adopted >= left_by[slot] ->
		free_rings(slot);
		hostile[slot] = 0;
		state[slot] = EMPTY;
		left_by[slot] = 0
	}
}

proctype main_thread()
{
	byte oldest;
	byte joins[SLOTS];
	byte state[SLOTS];
	byte left_by[SLOTS];

	do
	:: attach(0)
	:: attach(1)
	:: end_of(0)
	:: end_of(1)
	:: free_slot(0)
	:: free_slot(1)
	:: atomic {
		joins[0] == JOINS(0) && joins[1] == JOINS(1) && state[0] == EMPTY && state[1] == EMPTY && adopted == newest ->
		assert(holders[0] == 0 && holders[1] == 0 && held[0] == 0 && held[1] == 0);
		all_gone = 1;
		break
	}
	od
}

init
{
	atomic {
		in_kernel[0] = 1;
		in_kernel[1] = 1;
		roster_exists[0] = 1;
		run member(0);
		run member(1);
		run worker();
		run main_thread()
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap reads what is overwritten under it: each frame that it accepts is whole and the one that its entry names.
 *
 *     kernel --> rx --> worker: entry, producer, sequence --> fill --> kernel      reader: reads all, writes nothing
 *
 * Each load and store is a step of its own. Stores become visible in the order of the program where a release or a
 * fence orders them; where none does, the one that can be late is late (`unpublished`).
 *
 * Each of these changes something, and spin has to find an accepted frame that is torn or another's:
 *
 *     NO_BURST_MARGIN       the reader trusts the entries that the worker may be writing
 *     ENTRY_CHECK_FIRST     it looks at the producer only before it reads the entry
 *     SEQUENCE_CHECK_FIRST  it compares the sequence before it reads the frame: so does a processor without the fence
 *     SEQUENCE_AFTER_FILL   the worker counts the sequence up after the kernel has the frame again
 *     NO_FENCE_BURST        entries of the next burst can be seen before the producer's index of the last one:
 *                           a release orders only what stands before it
 *
 * And each of these is an assertion that must fail, as else the reader would prove nothing:
 *
 *     ACCEPTS               no frame is ever accepted
 *     OVERRUN_ENTRY         no entry is ever found overwritten
 *     OVERRUN_FRAME         no frame is ever found overwritten
 */

#define SIZE	 4 /* entries of the tap's RX ring */
#define BURST	 2 /* XDPD_TAP_BURST */
#define FRAMES	 3
#define RECEIVED 7

#ifdef NO_BURST_MARGIN
#define WHOLE SIZE
#else
#define WHOLE (SIZE - BURST)
#endif

typedef frame {
	byte head, tail; /* its first and last byte: the number of what was received, from 1 on */
};
frame frames[FRAMES];

typedef entry {
	byte address, options;
};
entry entries[SIZE];
byte producer;
byte sequences[FRAMES];

/* The worker's store to `producer` that is not visible yet. */
bit unpublished;
byte next_producer;

chan fill = [FRAMES] of { byte };
chan rx = [FRAMES] of { byte };

/* What the worker meant, for the assertions only. */
entry meant[RECEIVED];

proctype kernel()
{
	byte at, count;

	do
	:: count < RECEIVED ->
end:		fill ? at;
		count++;
		frames[at].head = count;
		frames[at].tail = count;
		rx ! at
	:: count == RECEIVED -> break
	od
}

/* publish_tap() */
inline publish()
{
	atomic {
		next_producer = own;
		unpublished = 1
	}
#ifndef NO_FENCE_BURST
	/* The fence before it reads the flags of who sleeps, which also keeps the next burst's entries back. */
	!unpublished
#endif
}

/* handoff_stock() */
inline give_back()
{
	do
	:: n > 0 ->
		n--;
#ifdef SEQUENCE_AFTER_FILL
		fill ! burst[n];
		sequences[burst[n]]++
#else
		/* The fill ring's release orders this before all that the kernel does to the frame. */
		sequences[burst[n]]++;
		fill ! burst[n]
#endif
	:: else -> break
	od
}

proctype worker()
{
	byte at, n, own;
	byte burst[BURST];

	do
	:: n < BURST && own < RECEIVED ->
end:		rx ? at; /* handoff_receive(), write_tap_entry() */
		entries[own % SIZE].address = at;
		entries[own % SIZE].options = sequences[at];
		d_step {
			meant[own].address = at;
			meant[own].options = sequences[at];
			burst[n] = at;
			n++;
			own++
		}
	:: n == BURST || n > 0 && (empty(rx) || own == RECEIVED) ->
		publish();
		give_back()
	:: n == 0 && own == RECEIVED -> break
	od
}

proctype store_buffer()
{
end:	do
	:: atomic {
		unpublished ->
		producer = next_producer;
		unpublished = 0
	}
	od
}

inline skip_ahead()
{
	/* What is older than that can't be whole any more. */
	consumer = (seen > consumer + WHOLE -> seen - WHOLE : consumer + 1)
}

proctype reader()
{
	byte consumer, seen, number;
	entry e;
	frame f;

	do
	:: consumer == RECEIVED -> break
	:: consumer < RECEIVED ->
end:		atomic {
			producer != consumer;
			seen = producer
		}
		e.address = entries[consumer % SIZE].address;
		e.options = entries[consumer % SIZE].options;
#ifndef ENTRY_CHECK_FIRST
		seen = producer;
#endif
		if
		:: seen - consumer > WHOLE ->
#ifdef OVERRUN_ENTRY
			assert(false);
#endif
			skip_ahead()
		:: else ->
			assert(e.address == meant[consumer].address && e.options == meant[consumer].options);
#ifdef SEQUENCE_CHECK_FIRST
			number = sequences[e.address];
#endif
			f.head = frames[e.address].head;
			f.tail = frames[e.address].tail;
#ifndef SEQUENCE_CHECK_FIRST
			number = sequences[e.address];
#endif
			if
			:: number == e.options ->
				assert(f.head == consumer + 1 && f.tail == consumer + 1);
#ifdef ACCEPTS
				assert(false)
#endif
			:: else ->
#ifdef OVERRUN_FRAME
				assert(false)
#endif
			fi;
			consumer++
		fi
	od
}

init
{
	byte i;

	atomic {
		for (i : 0 .. FRAMES - 1) {
			fill ! i
		}
		run kernel();
		run worker();
		run store_buffer();
		run reader()
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sleep and wake-up between a member and the worker, both ways, on processors with store buffers: no side sleeps
 * while there is something for it in a ring.
 *
 * A member that sleeps too long shows as an end that is no end: spin reports an invalid end state, the sleeper in its
 * poll() and the other side, which counts on it, asleep or done as well.
 *
 * Each store goes into the buffer of its process first and from there into memory later, in order, whenever it likes;
 * a process reads its own newest store. That is x86's model [TSO]; that other processors also reorder loads is not
 * shown here, and no fence of the protocol is only for that.
 *
 * Each of these takes something away, and spin has to find the wake-up that is lost then:
 *
 *     NO_FENCE_PUBLISH   the worker publishes in RX and reads the member's flag without a fence in between
 *     NO_FENCE_SLEEP     the member sets its flag and looks at RX again without one
 *     NO_FENCE_RETURN    the member puts into fill or TX and reads the worker's flag without one
 *     NO_FENCE_DOZE      the worker sets its flags and looks at fill and TX again without one
 *     NO_SECOND_LOOK     the member sleeps without looking at RX again
 *     CLEAR_AFTER_BYTE   the worker clears the member's flag only after it has sent the byte
 *     BYTES_AFTER_LOOK   the member reads the bytes of its socket after it has looked at RX again
 */

#define FRAMES	2 /* of the UMEM: the worker runs out of them, so it sleeps for fill as well */
#define RECEIVE 3 /* frames that arrive */
#define SEND	1 /* packets that the member sends */

#define MEMBER 0
#define WORKER 1

/* The words of shared memory, by who writes them: the indices have one writer, the flags of RX two. */
#define RX_PRODUCER   0 /* worker */
#define RX_FLAGS      1 /* member sets, worker clears */
#define FILL_PRODUCER 2 /* member */
#define FILL_FLAGS    3 /* worker */
#define TX_PRODUCER   4 /* member */
#define TX_FLAGS      5 /* worker */
#define WORDS	      6

byte memory[WORDS];
chan buffer[2] = [3] of { byte, byte }; /* word, value */

typedef stores {
	byte waiting[WORDS]; /* how many of this word are in the buffer */
	byte newest[WORDS];
};
stores own[2];

bit readable[2]; /* the socket's end of each side: a byte waits there */

#define LOAD(me, word) (own[me].waiting[word] -> own[me].newest[word] : memory[word])

inline store(me, word, value)
{
	atomic {
		nfull(buffer[me]);
		buffer[me] ! word, value;
		own[me].waiting[word]++;
		own[me].newest[word] = value
	}
}

/* __atomic_thread_fence(__ATOMIC_SEQ_CST) */
inline fence(me)
{
	empty(buffer[me])
}

/* send(), poll() and recv() take locks in the kernel, which drain the buffer as well. */
inline send_byte(me, to)
{
	atomic {
		empty(buffer[me]);
		readable[to] = 1
	}
}

inline poll(me)
{
	atomic {
		empty(buffer[me]);
		readable[me]
	}
}

inline read_bytes(me)
{
	atomic {
		empty(buffer[me]);
		readable[me] = 0
	}
}

proctype drain(byte whose)
{
	byte word, value;

end:	do
	:: atomic {
		buffer[whose] ? word, value;
		memory[word] = value;
		own[whose].waiting[word]--;
		if
		:: own[whose].waiting[word] == 0 -> own[whose].newest[word] = 0
		:: else
		fi;
		word = 0;
		value = 0
	}
	od
}

/* xdpd_ring_needs_wakeup() of fill or TX after xdpd_ring_advance(), and the doorbell. */
inline ring_doorbell(flags)
{
#ifndef NO_FENCE_RETURN
	fence(MEMBER);
#endif
	if
	:: LOAD(MEMBER, flags) -> send_byte(MEMBER, WORKER)
	:: else
	fi
}

proctype member()
{
	byte taken = 0; /* RX's consumer, fill's producer: each frame is given back at once */
	byte sent = 0;

	do
	/* xdpd_rx() and xdpd_release() */
	:: taken < RECEIVE && LOAD(MEMBER, RX_PRODUCER) != taken ->
		taken++;
		store(MEMBER, FILL_PRODUCER, taken);
		ring_doorbell(FILL_FLAGS)

	/* xdpd_tx(): at any moment */
	:: sent < SEND ->
		sent++;
		store(MEMBER, TX_PRODUCER, sent);
		ring_doorbell(TX_FLAGS)

	/* xdpd_wait(), or settle_down() of who sleeps on xdpd_fd(): nothing is there */
	:: taken < RECEIVE && LOAD(MEMBER, RX_PRODUCER) == taken ->
#ifndef BYTES_AFTER_LOOK
		if
		:: read_bytes(MEMBER) /* settle_down() */
		:: true
		fi;
#endif
		store(MEMBER, RX_FLAGS, 1);
#ifndef NO_FENCE_SLEEP
		fence(MEMBER);
#endif
		if
#ifndef NO_SECOND_LOOK
		:: LOAD(MEMBER, RX_PRODUCER) != taken ->
			store(MEMBER, RX_FLAGS, 0) /* a byte may come although */
		:: LOAD(MEMBER, RX_PRODUCER) == taken ->
#else
		:: true ->
#endif
#ifdef BYTES_AFTER_LOOK
			read_bytes(MEMBER);
#endif
			poll(MEMBER);
			store(MEMBER, RX_FLAGS, 0);
			read_bytes(MEMBER)
		fi
	:: taken == RECEIVE && sent == SEND -> break
	od
}

proctype worker()
{
	byte published = 0, returned = 0; /* RX's producer, fill's consumer */
	byte transmitted = 0;

	do
	/* handoff_collect(): a frame is back. */
	:: LOAD(WORKER, FILL_PRODUCER) != returned -> returned++

	/* handoff_transmit(): a packet goes out. */
	:: LOAD(WORKER, TX_PRODUCER) != transmitted -> transmitted++

	/* handoff_receive(): the kernel has a frame, as long as it has memory for one. */
	:: published < RECEIVE && published - returned < FRAMES ->
		published++;
		store(WORKER, RX_PRODUCER, published);
#ifndef NO_FENCE_PUBLISH
		fence(WORKER);
#endif
		if
		:: LOAD(WORKER, RX_FLAGS) ->
#ifdef CLEAR_AFTER_BYTE
			send_byte(WORKER, MEMBER);
			store(WORKER, RX_FLAGS, 0)
#else
			store(WORKER, RX_FLAGS, 0);
			send_byte(WORKER, MEMBER)
#endif
		:: else
		fi

	/* handoff_doze(), the sleep, handoff_awake(): there is nothing to do, but more will come. */
	:: (published == RECEIVE || published - returned == FRAMES) &&
	   LOAD(WORKER, FILL_PRODUCER) == returned && LOAD(WORKER, TX_PRODUCER) == transmitted &&
	   !(returned == RECEIVE && transmitted == SEND) ->
		store(WORKER, FILL_FLAGS, 1);
		store(WORKER, TX_FLAGS, 1);
#ifndef NO_FENCE_DOZE
		fence(WORKER); /* one for all flags */
#endif
		if
		:: LOAD(WORKER, FILL_PRODUCER) != returned
		:: else ->
			if
			:: LOAD(WORKER, TX_PRODUCER) != transmitted
			:: else ->
				poll(WORKER);
				read_bytes(WORKER)
			fi
		fi;
		store(WORKER, FILL_FLAGS, 0);
		store(WORKER, TX_FLAGS, 0)

	:: returned == RECEIVE && transmitted == SEND -> break
	od
}

init
{
	atomic {
		run member();
		run worker();
		run drain(MEMBER);
		run drain(WORKER)
	}
}

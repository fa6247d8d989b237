/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A member of a queue with shared delivery that does with what it was granted whatever it should not, in a process of
 * its own without rights. It attaches, says so, waits for the word to begin, does its deed for a while or until its
 * attachment is revoked, and ends.
 */
#ifndef TESTS_LIVE_HOSTILE_H
#define TESTS_LIVE_HOSTILE_H

#include <stdint.h>

#include "tests/live/protocol.h"

enum hostile_deed {
	HOSTILE_LIE,		 /* one of those below */
	HOSTILE_RANDOM_WORDS,	 /* all over its memory */
	HOSTILE_PLAUSIBLE_WORDS, /* in its rings, near to what is right */
	HOSTILE_CHANGES, /* entries and packets are one thing and then another, from a second thread */
	HOSTILE_HOLES,	/* its memory is taken away */
	HOSTILE_GREED,	/* rights that it was not given */
	HOSTILE_BELL,	/* its socket is filled, drained, made blocking, shut and closed */
	HOSTILE_FLOOD,	/* rings without end */
	HOSTILE_MUTE,	/* asks without end and reads no answer */
	HOSTILE_CLOSES, /* keeps nothing but the connection */
	HOSTILE_HOARD,	/* gives nothing back, and sends all that it can */
	HOSTILE_STUCK, /* has no room for what comes back of what it sends; `word` is 2 then, and it sleeps */
	HOSTILE_VANISH, /* ends without a word */
	HOSTILE_FORK,	/* leaves a child that has its memory, and writes to it */
	HOSTILE_GHOST,	/* says goodbye, and goes on writing */
	HOSTILE_TAP,	/* the same as random words, where a tap can write */
	HOSTILE_FRAMES, /* where members may write to frames: to all of them, also to those of others */
	HOSTILE_DEEDS,
};

extern const char *const hostile_deed_names[HOSTILE_DEEDS];

/* Things that an honest member never writes, each of which is a violation by itself. */
struct hostile_lie {
	const char *name;
	const char *violation; /* as the metric's label names it */
	void (*tell)(struct protocol *protocol);
	bool at_once; /* it needs no frame to lie about, and the daemon sees it without one */
};

extern const struct hostile_lie hostile_lies[];
extern const uint32_t hostile_n_lies;

/* In memory that it shares with the test. */
struct hostile {
	struct stepper stepper; /* step: PROTOCOL_STARTED; `word` 1: it shall begin */
	enum hostile_deed deed;
	uint32_t lie; /* of hostile_lies */
	uint64_t seed;
	uint64_t ms; /* how long, at most */

	/* what came of it */
	char reason[XDPD_REASON_MAX]; /* that it was told by a REVOKE; "": by none */
	char gained[64];	      /* what it could do and should not have been able to; "" */
	uint64_t done;		      /* how often it did something */
};

/* Ready to run as struct child_options' `call` with the hostile as its argument. `target` is filled in but for flags. */
void hostile_init(struct hostile *ret, const struct protocol_target *target,
		  enum hostile_deed deed);

int hostile_run(void *hostile);

#endif

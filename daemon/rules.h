/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steering of one interface: the rules in force, those that are about to be, and what each has counted. A rule is
 * the same rule as before if match, action and groups read the same: its counters go on.
 */
#ifndef DAEMON_RULES_H
#define DAEMON_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/xdpd_bpf.h"
#include "client/xdpd_protocol.h"
#include "config/config.h"
#include "daemon/failure.h"

struct redirect;
struct rule_set;

/* Starts as {}; ends with rules_clear(). */
struct rules {
	struct rule_set *in_force;	 /* NULL: none were ever wanted */
	struct rule_set *next;		 /* NULL: what is in force is wanted */
	bool counting;			 /* a program has them, and counts */
	struct xdpd_bpf_counter retired; /* what rules that are gone had counted */
	struct xdpd_bpf_counter plain;	 /* what no rule counted, as it was last told */
};

void rules_clear(struct rules *rules);

/*
 * From now on these are wanted. `slots[i]` is the bit of the interface's group i. Returns 0 or -errno with a sentence,
 * and nothing has changed: -E2BIG (too many different addresses or ports), -ENOMEM.
 */
int rules_want(struct rules *rules, const struct config_interface *config,
	       const uint8_t slots[CONFIG_GROUPS_MAX], struct failure *why);

/* As rules_want(), but only says whether they could be had. */
int rules_check(const struct config_interface *config, struct failure *why);

/* Some are wanted that are not in force, or the program does not have them yet. */
bool rules_are_pending(const struct rules *rules);

/* Some frames go to some groups only, by the rules in force or by those that are wanted. */
bool rules_name_groups(const struct rules *rules);

/* The program has those that are wanted when this returns. Returns 0 or -errno. */
int rules_put_in_force(struct rules *rules, struct redirect *redirect);

/* The program is about to go: takes over what it counted. The rules stay wanted. */
void rules_suspend(struct rules *rules, struct redirect *redirect);

struct saved_interface;
struct saved_rule;

/* What the next process has to know. Returns how many rules there are: at most XDPD_RULES_MAX + 1. */
size_t rules_save(const struct rules *rules, struct saved_rule *ret);

/*
 * Takes up those that another process had put in force, where they are the ones that are wanted; `saved->counting`: its
 * program has them still. Others are wanted anew, and what the old ones counted is theirs that read the same.
 */
void rules_adopt(struct rules *rules, const struct saved_interface *saved,
		 const struct saved_rule *entries, size_t n);

/*
 * Of those in force, the default last. Returns how many: at most XDPD_RULES_MAX + 1. `seen` is what all programs of
 * the interface ever counted. Where all goes to all the program counts no rule [steering_is_plain()]; but what was seen
 * and no rule has counted was the default's then.
 */
size_t rules_describe(struct rules *rules, struct redirect *redirect,
		      const struct xdpd_bpf_counter *seen, struct xdpd_rule_record *ret);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An interface's rules, compiled into what the XDP program evaluates: see bpf/steering.h. Pure: no kernel, no state.
 */
#ifndef DAEMON_STEERING_H
#define DAEMON_STEERING_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/steering.h"
#include "config/config.h"
#include "daemon/failure.h"

/*
 * `slots[i]` is the bit (0 to XDPD_GROUPS_MAX - 1) that stands for config->groups[i] in masks of groups. Returns 0 and
 * sets all of `*ret` but its rules' counters, which are redirect_steer()'s; or -errno with a sentence, then `*ret` is
 * not touched: -ENOSPC when the rules tell more ports, numbers or addresses apart than there is room for, -ENOMEM.
 */
int steering_compile(const struct config_interface *config, const uint8_t slots[CONFIG_GROUPS_MAX],
		     struct xdpd_bpf_steering *ret, struct failure *why);

/* Some redirect, the default included, is not to all groups. */
bool steering_names_groups(const struct config_interface *config);

/* No rules, and a default that redirects to all groups: what is in force where nothing is said. */
bool steering_is_plain(const struct xdpd_bpf_steering *steering);

#endif

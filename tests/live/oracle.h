/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an interface's rules should do, the plain way: a frame's fields are read one after another, and each rule is
 * held against them in its turn. And frames and rules by chance, made so that they often meet. Links without cmocka.
 */
#ifndef TESTS_LIVE_ORACLE_H
#define TESTS_LIVE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct oracle_fields {
	bool has_ethertype, has_vlan, has_proto, has_ports;
	uint32_t ethertype, vlan, proto, source_port, destination_port;
	bool fragment;
	int family; /* AF_INET, AF_INET6; 0: it has no addresses */
	uint8_t source[16], destination[16];
};

void oracle_read(struct oracle_fields *ret, const uint8_t *frame, size_t length);

/* The place of the first rule that matches; n_rules: none does. */
size_t oracle_match(const struct config_interface *config, const struct oracle_fields *fields);

#define ORACLE_FRAME_MAX 512

/* Numbers that follow from a seed, the same ones each time. */
struct oracle_chance {
	uint64_t state;
};

uint32_t oracle_below(struct oracle_chance *chance, uint32_t limit);

/* A frame of 14 bytes or more, and its length. */
size_t oracle_frame(struct oracle_chance *chance, uint8_t frame[ORACLE_FRAME_MAX]);

/* Rules, and the memory that they point to. */
struct oracle_rules {
	struct config_rule rules[CONFIG_RULES_MAX];
	struct config_range ranges[CONFIG_RULES_MAX][6][4];
	struct config_prefix prefixes[CONFIG_RULES_MAX][2][4];
	struct config_interface config;
};

/* n of them, with 8 groups to redirect to, and a default. */
void oracle_rules(struct oracle_chance *chance, struct oracle_rules *ret, size_t n);

#endif

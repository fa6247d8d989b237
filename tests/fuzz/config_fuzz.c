/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a config, and as the text and the fragment of an edit. An edit that is accepted has to parse,
 * and a queue that was added has to go away again. The text of a rule's match has to be that match again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_parsed(const char *text)
{
	struct config_errors errors = {};
	struct config *config = NULL;

	if (config_parse("edited", text, strlen(text), &config, &errors) < 0)
		abort();
	config_free(config);
}

static void edit(const char *text, const char *fragment)
{
	struct config_errors errors = {};
	char *added = NULL, *removed = NULL;

	if (config_text_add_queue("text", text, "eth0", fragment, &added, &errors) == 0) {
		expect_parsed(added);
		if (config_text_remove_queue("text", added, "eth0", fragment, 8, &removed,
					     &errors) == 0)
			expect_parsed(removed);
		else if (!errors.n_lines)
			abort();
	} else if (config_text_remove_queue("text", text, "eth0", fragment, 8, &removed, &errors) ==
		   0) {
		expect_parsed(removed);
	}
	free(added);
	free(removed);
	config_errors_clear(&errors);
}

static void expect_match(const struct config_rule *rule)
{
	struct config_errors errors = {};
	struct config *config = NULL;
	char *text;

	if (asprintf(&text,
		     "interfaces: [{ name: eth0, steer: [{ match: { %s }, action: pass }] }]",
		     rule->text) < 0)
		abort();
	if (config_parse("rule", text, strlen(text), &config, &errors) < 0 ||
	    strcmp(config->interfaces[0].rules[0].text, rule->text) != 0)
		abort();
	config_free(config);
	free(text);
}

static void expect_matches(const struct config *config)
{
	for (size_t i = 0; i < config->n_interfaces; i++)
		for (size_t j = 0; j < config->interfaces[i].n_rules; j++)
			expect_match(&config->interfaces[i].rules[j]);
}

/* Up to the first NUL the input is the text, after it the fragment. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors errors = {};
	struct config *config = NULL;
	char *text = malloc(size + 1);
	size_t length;
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	r = config_parse("fuzz", text, size, &config, &errors);
	if ((r == 0) != (config != NULL) || (r < 0 && !errors.n_lines))
		abort();
	if (config)
		expect_matches(config);
	config_free(config);
	config_errors_clear(&errors);
	length = strlen(text);
	edit(text, length < size ? text + length + 1 : "id: 3, frames: 8");
	edit(text, "id: [0, 5]");
	free(text);
	return 0;
}

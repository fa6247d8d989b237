/* SPDX-License-Identifier: BSD-2-Clause */
/* xdpctl check FILE: what is wrong with a config, without a daemon. */
#include "ctl/command.h"

#include <stdio.h>

#include "ctl/records.h"
#include "ctl/table.h"
#include "daemon/cleanup.h"

static void print_outcome(const char *path, const struct config_errors *errors, bool valid)
{
	cleanup_json json_t *lines = json_array();
	cleanup_json json_t *document = NULL;

	for (size_t i = 0; i < errors->n_lines; i++)
		json_array_append_new(lines, text_value(errors->lines[i], SIZE_MAX));
	document = json_pack("{s:o, s:b, s:O}", "file", text_value(path, SIZE_MAX), "valid", valid,
			     "errors", lines);
	print_json(document, false);
}

int command_check(const struct invocation *invocation)
{
	const char *path = invocation->words[0];
	struct config_errors errors = {0};
	struct config *config = NULL;
	bool valid = config_load(path, &config, &errors) == 0;

	if (invocation->json) {
		print_outcome(path, &errors, valid);
	} else if (valid) {
		cleanup_free char *name = clean_text(path, false);

		printf("%s is valid\n", name);
	} else if (errors.n_lines) {
		say_config_errors(&errors);
	} else {
		say("can't check %s: out of memory", path);
	}
	config_errors_clear(&errors);
	config_free(config);
	return valid ? EXIT_DONE : EXIT_REFUSED;
}

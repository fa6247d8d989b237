/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "daemon/cleanup.h"

static struct config_errors errors;

static int clear_errors(void **state)
{
	(void)state;
	config_errors_clear(&errors);
	return 0;
}

static void assert_edited(int r, const char *before, const char *result, const char *after)
{
	if (r < 0)
		fail_msg("refused: %s\n%s", errors.n_lines ? errors.lines[0] : strerror(-r),
			 before);
	assert_string_equal(result, after);
}

static void assert_added(const char *before, const char *fragment, const char *after)
{
	cleanup_free char *result = NULL;
	int r = config_text_add_queue("test", before, "eth0", fragment, &result, &errors);

	assert_edited(r, before, result, after);
}

static void assert_removed(const char *before, const char *ids, const char *after)
{
	cleanup_free char *result = NULL, *fragment = NULL;
	int r;

	assert_true(asprintf(&fragment, "id: %s", ids) > 0);
	r = config_text_remove_queue("test", before, "eth0", fragment, 4, &result, &errors);
	assert_edited(r, before, result, after);
}

static void assert_refused(int r, const char *result, int code, const char *line)
{
	assert_int_equal(r, code);
	assert_null(result);
	assert_true(errors.n_lines >= 1);
	assert_string_equal(errors.lines[0], line);
	config_errors_clear(&errors);
}

static void assert_add_refused(const char *text, const char *device, const char *fragment, int code,
			       const char *line)
{
	char *result = NULL;
	int r = config_text_add_queue("test", text, device, fragment, &result, &errors);

	assert_refused(r, result, code, line);
}

static void assert_remove_refused(const char *text, const char *ids, uint32_t channels, int code,
				  const char *line)
{
	cleanup_free char *fragment = NULL;
	char *result = NULL;
	int r;

	assert_true(asprintf(&fragment, "{ id: %s }", ids) > 0);
	r = config_text_remove_queue("test", text, "eth0", fragment, channels, &result, &errors);
	assert_refused(r, result, code, line);
}

/* ---- adding: where there is no list yet ---- */

static void the_first_interface_is_added_to_a_file_without_any(void **state)
{
	(void)state;
	assert_added("", "id: 3", "interfaces:\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added("# mine\n", "id: 3",
		     "# mine\ninterfaces:\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added("---\n", "id: 3",
		     "---\ninterfaces:\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added("socket:\n  mode: \"0600\"\n", "{ id: 0-3, frames: 8192 }",
		     "socket:\n  mode: \"0600\"\ninterfaces:\n  - name: eth0\n    queues:\n"
		     "      - id: 0-3\n        frames: 8192\n");
	assert_added("metrics: { listen: off }", "id: 3",
		     "metrics: { listen: off }\ninterfaces:\n  - name: eth0\n    queues:\n      - "
		     "id: 3");
	assert_added("{}", "id: 3", "{ interfaces: [{ name: eth0, queues: [{ id: 3 }] }] }");
	assert_added("{ metrics: { listen: off } }\n", "id: 3",
		     "{ metrics: { listen: off }, interfaces: [{ name: eth0, queues: [{ id: 3 }] "
		     "}] }\n");
}

static void an_empty_list_of_interfaces_becomes_one_with_lines(void **state)
{
	(void)state;
	assert_added("interfaces: []\n", "id: 3",
		     "interfaces:\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added(
		"interfaces:   []   # none yet\n# end\n", "id: 3",
		"interfaces:     # none yet\n  - name: eth0\n    queues:\n      - id: 3\n# end\n");
	assert_added("interfaces:\nmetrics: { listen: off }\n", "id: 3",
		     "interfaces:\n  - name: eth0\n    queues:\n      - id: 3\nmetrics: { listen: "
		     "off }\n");
	assert_added("interfaces: # none\n", "id: 3",
		     "interfaces: # none\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added("interfaces: ~ # none\n", "id: 3",
		     "interfaces: [{ name: eth0, queues: [{ id: 3 }] }] # none\n");
	assert_added("{ interfaces: [ ] }\n", "id: 3",
		     "{ interfaces: [{ name: eth0, queues: [{ id: 3 }] }] }\n");
}

static void an_interface_without_queues_gets_the_list(void **state)
{
	(void)state;
	assert_added("interfaces:\n  - name: eth0\n    mode: native # best\n\n# end\n", "id: 3",
		     "interfaces:\n  - name: eth0\n    mode: native # best\n    queues:\n      - "
		     "id: 3\n\n# end\n");
	assert_added(
		"interfaces:\n  - name: eth0\n    replace: true\n", "id: 3",
		"interfaces:\n  - name: eth0\n    replace: true\n    queues:\n      - id: 3\n");
	assert_added("interfaces:\n  - name: eth0\n    queues: []\n  - name: eth1\n", "id: 3",
		     "interfaces:\n  - name: eth0\n    queues:\n      - id: 3\n  - name: eth1\n");
	assert_added("interfaces:\n  - name: eth0\n    queues:\n", "id: 3",
		     "interfaces:\n  - name: eth0\n    queues:\n      - id: 3\n");
	assert_added("interfaces:\n  - { name: eth0 }\n", "id: 3",
		     "interfaces:\n  - { name: eth0, queues: [{ id: 3 }] }\n");
	assert_added("interfaces:\n  - { name: eth0, queues: }\n", "id: 3",
		     "interfaces:\n  - { name: eth0, queues: [{ id: 3 }] }\n");
	assert_added("interfaces: [{ name: eth0, queues: [] }]", "id: 3",
		     "interfaces: [{ name: eth0, queues: [{ id: 3 }] }]");
}

/* ---- adding: beside others ---- */

static void an_item_is_written_as_its_neighbours_are(void **state)
{
	(void)state;
	assert_added("interfaces:\n- name: eth0\n  queues:\n  - id: 0\n    frames: 2\n",
		     "{ id: 3, frames: 4 }",
		     "interfaces:\n- name: eth0\n  queues:\n  - id: 0\n    frames: 2\n  - id: 3\n  "
		     "  frames: 4\n");
	assert_added("interfaces:\n    - name: eth0\n      queues:\n          - { id: 0 }\n",
		     "id: 3, rings: { rx: 1024 }",
		     "interfaces:\n    - name: eth0\n      queues:\n          - { id: 0 }\n"
		     "          - { id: 3, rings: { rx: 1024 } }\n");
	assert_added("interfaces:\n- name: eth1\n  queues:\n  - id: 0\n", "id: 3",
		     "interfaces:\n- name: eth1\n  queues:\n  - id: 0\n- name: eth0\n  queues:\n  "
		     "- id: 3\n");
	assert_added("interfaces: [{ name: eth0, queues: [{ id: 0 }, { id: 1 }, ] }]\n", "id: 3",
		     "interfaces: [{ name: eth0, queues: [{ id: 0 }, { id: 1 }, { id: 3 } ] }]\n");
	assert_added("interfaces: [{ name: eth1 }]\n", "id: 3",
		     "interfaces: [{ name: eth1 }, { name: eth0, queues: [{ id: 3 }] }]\n");
	assert_added("interfaces:\n  - name: eth0\n    queues: [\n      { id: 0 }, # zero\n"
		     "      { id: 1 } # one\n    ]\n",
		     "id: 3",
		     "interfaces:\n  - name: eth0\n    queues: [\n      { id: 0 }, # zero\n"
		     "      { id: 1 }, # one\n      { id: 3 }\n    ]\n");
	assert_added("interfaces:\n  - name: eth0\n    queues: [\n      { id: 1 },\n    ]\n",
		     "id: 3",
		     "interfaces:\n  - name: eth0\n    queues: [\n      { id: 1 },\n      { id: 3 "
		     "},\n    ]\n");
}

static void comments_blank_lines_and_line_ends_stay(void **state)
{
	(void)state;
	assert_added("interfaces:\n"
		     "  - name: eth0 # first\n"
		     "    queues:\n"
		     "      - id: 0 # zero\n"
		     "        # frames: 9\n"
		     "      # - id: 9\n"
		     "\n"
		     "  # the other\n"
		     "  - name: eth1\n",
		     "id: 3",
		     "interfaces:\n"
		     "  - name: eth0 # first\n"
		     "    queues:\n"
		     "      - id: 0 # zero\n"
		     "        # frames: 9\n"
		     "      - id: 3\n"
		     "      # - id: 9\n"
		     "\n"
		     "  # the other\n"
		     "  - name: eth1\n");
	assert_added("interfaces:\r\n- name: eth0\r\n  queues:\r\n  - id: 0\r\n\r\n# end\r\n",
		     "id: 3",
		     "interfaces:\r\n- name: eth0\r\n  queues:\r\n  - id: 0\r\n  - id: 3\r\n\r\n# "
		     "end\r\n");
	assert_added(
		"\xef\xbb\xbfinterfaces:\n- name: eth0\n  queues:\n  - id: 0 # \xc3\xa9\n  # x\n",
		"id: 3",
		"\xef\xbb\xbfinterfaces:\n- name: eth0\n  queues:\n  - id: 0 # \xc3\xa9\n  - id: "
		"3\n  # x\n");
	assert_added("# \xe2\x82\xac\xe2\x82\xac\ninterfaces:\n- name: eth0\n  queues: [{ id: 0 }] "
		     "# \xc3\xa9",
		     "id: 3",
		     "# \xe2\x82\xac\xe2\x82\xac\ninterfaces:\n- name: eth0\n  queues: [{ id: 0 }, "
		     "{ id: 3 }] # \xc3\xa9");
	assert_added("interfaces:\n- name: eth0\n  queues:\n  - id: 0 # last", "id: 3",
		     "interfaces:\n- name: eth0\n  queues:\n  - id: 0 # last\n  - id: 3");
}

static void a_fragment_may_be_written_in_any_flow_style(void **state)
{
	const char *empty = "interfaces: [{ name: eth0 }]";

	(void)state;
	assert_added(empty, "{ id: [4, 5], attach: { users: [\"*\"] } }",
		     "interfaces: [{ name: eth0, queues: [{ id: [4, 5], attach: { users: [\"*\"] } "
		     "}] }]");
	assert_added(empty, "  {\"id\": 'all' # x\n, attach: {users: &a [0], groups: *a}}",
		     "interfaces: [{ name: eth0, queues: [{ id: all, attach: { users: [0], groups: "
		     "[0] } }] }]");
	assert_added(empty, "id: 3 # comment", "interfaces: [{ name: eth0, queues: [{ id: 3 }] }]");
}

static void a_shared_queue_is_added_with_its_worker(void **state)
{
	(void)state;
	assert_added("interfaces: [{ name: eth0 }]",
		     "{ worker: { cpu: 2 }, id: 3, umem: read-only, delivery: shared }",
		     "interfaces: [{ name: eth0, queues: [{ worker: { cpu: 2 }, id: 3, umem: "
		     "read-only, delivery: shared }] }]");
}

static void groups_and_rules_stay_when_a_queue_is_added(void **state)
{
	(void)state;
	assert_added("interfaces:\n"
		     "- steer: [{ match: { vlan: 5 }, action: redirect, groups: [ids] }]\n"
		     "  groups: [{ name: ids }]\n"
		     "  name: eth0 # x\n"
		     "- name: eth1\n"
		     "  default: { action: drop }\n",
		     "{ id: 3, delivery: shared }",
		     "interfaces:\n"
		     "- steer: [{ match: { vlan: 5 }, action: redirect, groups: [ids] }]\n"
		     "  groups: [{ name: ids }]\n"
		     "  name: eth0 # x\n"
		     "  queues:\n"
		     "    - id: 3\n"
		     "      delivery: shared\n"
		     "- name: eth1\n"
		     "  default: { action: drop }\n");
}

/* ---- adding: refused ---- */

static void errors_in_a_fragment_name_the_place_in_the_fragment(void **state)
{
	(void)state;
	assert_add_refused("", "eth0", "id: 3, framse: 1", -EINVAL,
			   "eth0 queue:1:8: unknown key `framse`, did you mean `frames`?");
	assert_add_refused(
		"", "eth0", "{ id: 3, frames: x }", -EINVAL,
		"eth0 queue:1:18: `frames` is `x`, expected a decimal number from 2 to 4294967295");
	assert_add_refused("", "eth0", "", -EINVAL,
			   "eth0 queue:1:1: a queue without `id`, expected a number, a range as in "
			   "0-3, a list "
			   "as in [0, 2], or all");
	assert_add_refused(
		"", "eth0", "{ id: 3 } x", -EINVAL,
		"eth0 queue:1:11: more text after the end, expected one mapping in the file");
	assert_add_refused(
		"", "a/b", "id: 3", -EINVAL,
		"interface: `a/b` has a `/` or `:`, expected an interface's name as in eth0");
	assert_add_refused(
		"interfaces: [{ name: eth0, mode: generic }]", "eth0", "id: 3, bind: zero-copy",
		-EINVAL,
		"eth0 queue:1:14: `bind` is `zero-copy` and the interface's `mode` is `generic`, "
		"expected `copy`, or a `native` mode for zero-copy");
	assert_add_refused(
		"", "eth0", "id: 3, worker: { cpu: 2 }", -EINVAL,
		"eth0 queue:1:8: `worker` is only for `delivery: shared`, and this queue's is "
		"`exclusive`");
	assert_add_refused("", "eth0", "id: 3, delivery: shared, worker: { cpus: 2 }", -EINVAL,
			   "eth0 queue:1:36: unknown key `cpus`, did you mean `cpu`?");
}

static void errors_in_the_file_come_first(void **state)
{
	(void)state;
	assert_add_refused("socket: x\n", "eth0", "id: 3", -EINVAL,
			   "test:1:9: `socket` is `x`, expected a mapping with `path` or `mode`");
}

static void a_queue_that_is_there_is_not_added_again(void **state)
{
	const char *text = "interfaces:\n- name: eth0\n  queues:\n  - id: 0-3\n- name: eth1\n  "
			   "queues: [{ id: all }]\n";

	(void)state;
	assert_add_refused(text, "eth0", "id: [2-5, 0]", -EEXIST,
			   "test:4:5: queue [0, 2, 3] of eth0 is here already, expected a new one");
	assert_add_refused(text, "eth0", "id: all", -EEXIST,
			   "test:4:5: queue 0-3 of eth0 is here already, expected a new one");
	assert_add_refused(text, "eth1", "id: 9", -EEXIST,
			   "test:6:12: queue 9 of eth1 is here already, expected a new one");
}

static void what_aliases_share_is_left_to_a_person(void **state)
{
	const char *text = "interfaces:\n"
			   "- { name: eth1, queues: &q [{ id: 0 }] }\n"
			   "- name: eth0\n"
			   "  queues: *q\n";
	char *result = NULL;

	(void)state;
	assert_add_refused(
		text, "eth0", "id: 3", -EINVAL,
		"test:4:3: the queues of eth0 can't be changed here without changing more (an "
		"alias, or an unusual layout); edit the file by hand");
	assert_int_equal(config_text_add_queue("test", text, "eth1", "id: 3", &result, &errors),
			 -EINVAL);
	assert_int_equal(
		config_text_remove_queue("test", text, "eth1", "id: 0", 0, &result, &errors),
		-EINVAL);
	assert_int_equal(
		config_text_remove_queue("test", text, "eth0", "id: 0", 0, &result, &errors),
		-EINVAL);
	assert_null(result);
}

/* ---- removing ---- */

static void ids_are_taken_out_of_an_item(void **state)
{
	(void)state;
	assert_removed(
		"interfaces:\n- name: eth0\n  queues:\n  - id: 0-3 # four\n    frames: 2\n", "3",
		"interfaces:\n- name: eth0\n  queues:\n  - id: [0, 1, 2] # four\n    frames: 2\n");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: [0, 2, 7] }] }]", "[0, 7]",
		       "interfaces: [{ name: eth0, queues: [{ id: 2 }] }]");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: 0-15 }] }]", "2",
		       "interfaces: [{ name: eth0, queues: [{ id: [0, 1, 3-15] }] }]");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: all, frames: 2 }] }]", "1",
		       "interfaces: [{ name: eth0, queues: [{ id: [0, 2, 3], frames: 2 }] }]");
	assert_removed("interfaces:\n- name: eth0\n  queues:\n  - id:\n      - 1\n      - 2\n    "
		       "frames: 2\n",
		       "1", "interfaces:\n- name: eth0\n  queues:\n  - id: 2\n    frames: 2\n");
}

static void an_item_without_ids_goes(void **state)
{
	(void)state;
	assert_removed("interfaces:\n- name: eth0\n  queues:\n  # a\n  - id: 0\n    frames: 2 # "
		       "x\n  # b\n  - id: 1\n",
		       "0", "interfaces:\n- name: eth0\n  queues:\n  # a\n  # b\n  - id: 1\n");
	assert_removed("interfaces:\n- name: eth0\n  queues:\n  - id: 0\n  - id: 1\n# end", "1",
		       "interfaces:\n- name: eth0\n  queues:\n  - id: 0\n# end");
	assert_removed("interfaces:\r\n- name: eth0\r\n  queues:\r\n  - id: 0\r\n  - id: 1\r\n",
		       "0", "interfaces:\r\n- name: eth0\r\n  queues:\r\n  - id: 1\r\n");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: 0 }, { id: 1 }, { id: 2 }] }]",
		       "0", "interfaces: [{ name: eth0, queues: [{ id: 1 }, { id: 2 }] }]");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: 0 }, { id: 1 }, { id: 2 }] }]",
		       "1-2", "interfaces: [{ name: eth0, queues: [{ id: 0 }] }]");
	assert_removed("interfaces: [{ name: eth0, queues: [{ id: 0 }, { id: 1 }, { id: 2 }] }]",
		       "all", "interfaces: [{ name: eth0, queues: [] }]");
	assert_removed("interfaces:\n- name: eth0\n  queues: [\n    { id: 0 }, # a\n    { id: 1 } "
		       "# b\n  ]\n",
		       "0", "interfaces:\n- name: eth0\n  queues: [\n    { id: 1 } # b\n  ]\n");
}

static void the_last_item_leaves_an_empty_list(void **state)
{
	(void)state;
	assert_removed("interfaces:\n- name: eth0\n  queues: # mine\n  - id: 0\n  - id: 1\n# end\n",
		       "0-1", "interfaces:\n- name: eth0\n  queues: [] # mine\n# end\n");
	assert_removed("interfaces:\n- name: eth0\n  queues:\n  - id: all\n", "0-3",
		       "interfaces:\n- name: eth0\n  queues: []\n");
}

static void what_is_not_there_is_not_removed(void **state)
{
	const char *text = "interfaces:\n- { name: eth0, queues: [{ id: 0-3 }] }\n";

	(void)state;
	assert_remove_refused(text, "[3, 4, 6]", 0, -ENOENT,
			      "test: queue [4, 6] of eth0 is not there");
	assert_remove_refused("", "3", 0, -ENOENT, "test: interface eth0 is not there");
	assert_remove_refused("interfaces: [{ name: eth0 }]", "all", 0, -ENOENT,
			      "test: eth0 has no queues");
	assert_remove_refused("interfaces: [{ name: eth0, queues: [{ id: all }] }]", "4", 4,
			      -ENOENT, "test: queue 4 of eth0 is not there");
	assert_remove_refused(
		"interfaces: [{ name: eth0, queues: [{ id: all }] }]", "0", 0, -EINVAL,
		"test:1:37: eth0 has `id: all`, and which queues remain can't be told while the "
		"interface is not there; edit the file by hand");
	assert_remove_refused(
		text, "x", 0, -EINVAL,
		"eth0 queue:1:7: `id` is `x`, expected a number, a range as in 0-3, a list as in "
		"[0, 2], or all");
}

static void what_was_added_and_removed_again_leaves_the_text_as_it_was(void **state)
{
	static const char *const texts[] = {
		"interfaces:\n- name: eth0\n  queues:\n  - id: 0 # x\n\n# end\n",
		"interfaces:\n  - name: eth0\n    queues:\n      - { id: 0 }\n  - name: eth1\n",
		"interfaces: [{ name: eth0, queues: [{ id: 0 }] }]\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cleanup_free char *added = NULL;

		assert_int_equal(config_text_add_queue("test", texts[i], "eth0",
						       "{ id: 3, frames: 8 }", &added, &errors),
				 0);
		assert_removed(added, "3", texts[i]);
	}
}

/* ---- names of users and groups ---- */

/* Stands for the machine's: any name is there, with the same id, unless all are gone. */
static struct {
	uint32_t id;
	bool gone;
	unsigned int looked_up;
} database;

struct passwd *getpwnam(const char *name)
{
	static struct passwd entry;

	(void)name;
	database.looked_up++;
	entry.pw_uid = database.id;
	return database.gone ? NULL : &entry;
}

struct group *getgrnam(const char *name)
{
	static struct group entry;

	(void)name;
	database.looked_up++;
	entry.gr_gid = database.id;
	return database.gone ? NULL : &entry;
}

static const char named[] = "access: { attach: { users: [ida], groups: [ida] } }\n"
			    "interfaces: [{ name: eth0, queues: [{ id: 0 }] }]\n";

/* As a file, with the names' id in the database then. Returns what config_load() does. */
static int load_named(uint32_t id)
{
	cleanup_fd int fd = memfd_create("config", MFD_CLOEXEC);
	struct config *config = NULL;
	char path[64];
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, named, strlen(named)), strlen(named));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	database.id = id;
	database.looked_up = 0;
	r = config_load(path, &config, &errors);
	config_free(config);
	return r;
}

static void assert_named(const char *text, uint32_t user, uint32_t group)
{
	struct config *config = NULL;
	const struct access_list *who;

	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), 0);
	who = &config->interfaces[0].queues[0].attach.who;
	assert_int_equal(who->uids[0], user);
	assert_int_equal(who->gids[0], group);
	config_free(config);
}

static int restore_database(void **state)
{
	database.gone = false;
	return clear_errors(state);
}

static void a_load_looks_names_up_anew_and_what_follows_takes_what_it_found(void **state)
{
	(void)state;
	assert_int_equal(load_named(1000), 0);
	assert_int_equal(database.looked_up, 2);
	database.id = 2000;
	assert_named(named, 1000, 1000);
	assert_int_equal(load_named(2000), 0);
	assert_int_equal(database.looked_up, 2);
	assert_named(named, 2000, 2000);
	assert_int_equal(database.looked_up, 2);
}

static void an_edit_looks_up_only_names_that_are_new(void **state)
{
	cleanup_free char *plain = NULL, *of_bert = NULL, *without = NULL;

	(void)state;
	assert_int_equal(load_named(1000), 0);
	database.looked_up = 0;
	assert_int_equal(config_text_add_queue("test", named, "eth0", "id: 3", &plain, &errors), 0);
	assert_named(plain, 1000, 1000);
	assert_int_equal(
		config_text_remove_queue("test", plain, "eth0", "id: 3", 0, &without, &errors), 0);
	assert_int_equal(database.looked_up, 0);
	assert_int_equal(config_text_add_queue("test", named, "eth0",
					       "id: 3, attach: { users: [bert] }", &of_bert,
					       &errors),
			 0);
	assert_named(of_bert, 1000, 1000);
	assert_int_equal(database.looked_up, 1);
}

static void a_name_that_is_gone_fails_a_load_but_no_edit_of_something_else(void **state)
{
	cleanup_free char *added = NULL, *removed = NULL;

	(void)state;
	assert_int_equal(load_named(1000), 0);
	database.gone = true;
	assert_int_equal(load_named(0), -EINVAL);
	assert_int_equal(errors.n_lines, 2);
	config_errors_clear(&errors);
	assert_int_equal(config_text_add_queue("test", named, "eth0", "id: 3", &added, &errors), 0);
	assert_int_equal(
		config_text_remove_queue("test", added, "eth0", "id: 3", 0, &removed, &errors), 0);
	assert_named(removed, 1000, 1000);
	assert_add_refused(named, "eth0", "id: 3, attach: { users: [carla] }", -EINVAL,
			   "eth0 queue:1:26: there is no user `carla`, expected an existing name, "
			   "a number or \"*\"");
}

static void a_user_and_a_group_of_one_name_are_two(void **state)
{
	static const char user_dora[] = "access: { attach: { users: [dora], groups: [1] } }\n"
					"interfaces: [{ name: eth0, queues: [{ id: 0 }] }]\n";
	static const char both_dora[] = "access: { attach: { users: [dora], groups: [dora] } }\n"
					"interfaces: [{ name: eth0, queues: [{ id: 0 }] }]\n";

	(void)state;
	database.id = 1000;
	assert_named(user_dora, 1000, 1);
	database.id = 2000;
	assert_named(both_dora, 1000, 2000);
}

#define TEST(name)	 cmocka_unit_test_teardown(name, clear_errors)
#define NAMES_TEST(name) cmocka_unit_test_teardown(name, restore_database)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_interface_is_added_to_a_file_without_any),
		TEST(an_empty_list_of_interfaces_becomes_one_with_lines),
		TEST(an_interface_without_queues_gets_the_list),
		TEST(an_item_is_written_as_its_neighbours_are),
		TEST(comments_blank_lines_and_line_ends_stay),
		TEST(a_fragment_may_be_written_in_any_flow_style),
		TEST(a_shared_queue_is_added_with_its_worker),
		TEST(groups_and_rules_stay_when_a_queue_is_added),
		TEST(errors_in_a_fragment_name_the_place_in_the_fragment),
		TEST(errors_in_the_file_come_first),
		TEST(a_queue_that_is_there_is_not_added_again),
		TEST(what_aliases_share_is_left_to_a_person),
		TEST(ids_are_taken_out_of_an_item),
		TEST(an_item_without_ids_goes),
		TEST(the_last_item_leaves_an_empty_list),
		TEST(what_is_not_there_is_not_removed),
		TEST(what_was_added_and_removed_again_leaves_the_text_as_it_was),
		NAMES_TEST(a_load_looks_names_up_anew_and_what_follows_takes_what_it_found),
		NAMES_TEST(an_edit_looks_up_only_names_that_are_new),
		NAMES_TEST(a_name_that_is_gone_fails_a_load_but_no_edit_of_something_else),
		NAMES_TEST(a_user_and_a_group_of_one_name_are_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

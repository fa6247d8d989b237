/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "daemon/cleanup.h"

/* ---- helpers ---- */

static struct config_errors errors;

static int clear_errors(void **state)
{
	(void)state;
	config_errors_clear(&errors);
	return 0;
}

static char *join_errors(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	for (size_t i = 0; i < errors.n_lines; i++)
		fprintf(out, "%s\n", errors.lines[i]);
	fclose(out);
	return text;
}

static char *read_whole(const char *path, size_t *ret_length)
{
	cleanup_file FILE *file = fopen(path, "re");
	char *text = calloc(1, 65536);

	assert_non_null(text);
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	*ret_length = fread(text, 1, 65535, file);
	return text;
}

static struct config *parse(const char *text)
{
	struct config *config = NULL;
	int r = config_parse("test", text, strlen(text), &config, &errors);
	cleanup_free char *lines = join_errors();

	if (r < 0)
		fail_msg("refused: %s\n%s", text, lines);
	return config;
}

/* The lines of the errors, each with its file name "test". */
static void assert_refused(const char *text, const char *expected)
{
	struct config *config = (struct config *)&errors; /* anything: has to stay */
	cleanup_free char *lines = NULL;

	config_errors_clear(&errors);
	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), -EINVAL);
	assert_ptr_equal(config, &errors);
	lines = join_errors();
	assert_string_equal(lines, expected);
}

static void find_examples(const char *pattern, glob_t *ret)
{
	char path[512];
	const char *slash = strrchr(__FILE__, '/');

	assert_non_null(slash);
	snprintf(path, sizeof(path), "%.*s/config_examples/%s", (int)(slash - __FILE__), __FILE__,
		 pattern);
	if (glob(path, 0, NULL, ret) != 0)
		fail_msg("no examples: %s (run from the tree's top)", path);
}

/* ---- the examples ---- */

static void good_examples_are_accepted(void **state)
{
	glob_t files;

	(void)state;
	find_examples("good/*.yaml", &files);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		struct config *config = NULL;
		int r = config_load(files.gl_pathv[i], &config, &errors);
		cleanup_free char *lines = join_errors();

		if (r < 0)
			fail_msg("%s", lines);
		config_free(config);
	}
	globfree(&files);
}

/* Each has beside it what is said, without the file's name. */
static void bad_examples_are_refused_with_their_messages(void **state)
{
	glob_t files;
	size_t wrong = 0;

	(void)state;
	find_examples("bad/*.yaml", &files);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		const char *path = files.gl_pathv[i];
		cleanup_free char *text = NULL, *expected = NULL, *lines = NULL, *beside = NULL;
		struct config *config = NULL;
		size_t length, ignored;

		assert_true(asprintf(&beside, "%.*s.expected", (int)strlen(path) - 5, path) > 0);
		text = read_whole(path, &length);
		expected = read_whole(beside, &ignored);
		config_errors_clear(&errors);
		(void)config_parse("", text, length, &config, &errors);
		for (size_t j = 0; j < errors.n_lines; j++)
			memmove(errors.lines[j], errors.lines[j] + 1, strlen(errors.lines[j]));
		lines = join_errors();
		if (strcmp(lines, expected) != 0) {
			print_error("%s:\n%s--- expected:\n%s", path, lines, expected);
			wrong++;
		}
		config_free(config);
	}
	globfree(&files);
	assert_int_equal(wrong, 0);
}

static void the_installed_sample_has_the_defaults(void **state)
{
	struct config *sample = NULL, *empty = parse("");

	(void)state;
	assert_int_equal(config_load("config/xdpd.yaml", &sample, &errors), 0);
	assert_string_equal(sample->socket_path, empty->socket_path);
	assert_int_equal(sample->socket_mode, empty->socket_mode);
	assert_string_equal(sample->metrics.text, empty->metrics.text);
	assert_int_equal(sample->admin.n_uids, 1);
	assert_int_equal(sample->n_interfaces, 0);
	config_free(sample);
	config_free(empty);
}

/* By one of the same length, everywhere. */
static void replace(char *text, const char *word, const char *by)
{
	while ((text = strstr(text, word)))
		memcpy(text, by, strlen(by));
}

static void the_example_in_the_sample_is_accepted_without_its_comment_signs(void **state)
{
	size_t length;
	cleanup_free char *text = read_whole("config/xdpd.yaml", &length);
	char *in = strstr(text, "# interfaces:\n"), *out = text;
	struct config *config;

	(void)state;
	assert_non_null(in);
	while (*in) {
		size_t line = strcspn(in, "\n") + 1;

		assert_true(line > 2);
		memmove(out, in + 2, line - 2);
		out += line - 2;
		in += line;
	}
	*out = '\0';
	/* Users and groups that not every machine has. */
	replace(text, "suricata", "root    ");
	replace(text, "capture", "root   ");
	config = parse(text);
	assert_int_equal(config->interfaces[0].n_queues, 7);
	assert_int_equal(config->interfaces[0].n_groups, 3);
	assert_int_equal(config->interfaces[0].n_rules, 6);
	config_free(config);
}

/* ---- what is parsed ---- */

static void an_empty_file_means_the_defaults(void **state)
{
	struct config *config = parse("");
	const struct sockaddr_in *address = (const struct sockaddr_in *)&config->metrics.address;

	(void)state;
	assert_string_equal(config->source, "");
	assert_string_equal(config->socket_path, "/run/xdpd/xdpd.sock");
	assert_int_equal(config->socket_mode, 0666);
	assert_int_equal(config->admin.n_uids, 1);
	assert_int_equal(config->admin.uids[0], 0);
	assert_int_equal(config->admin.n_gids, 0);
	assert_false(config->admin.anyone);
	assert_true(config->metrics.on);
	assert_string_equal(config->metrics.text, "127.0.0.1:9820");
	assert_int_equal(address->sin_family, AF_INET);
	assert_int_equal(ntohs(address->sin_port), 9820);
	assert_int_equal(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(config->metrics.address_length, sizeof(*address));
	assert_int_equal(config->n_interfaces, 0);
	config_free(config);
}

static void a_queue_has_the_defaults_for_what_is_not_given(void **state)
{
	struct config *config = parse("interfaces: [{ name: eth0, queues: [{ id: 3 }] }]");
	const struct config_queue *queue = config_find_queue(&config->interfaces[0], 3);

	(void)state;
	assert_non_null(queue);
	assert_int_equal(queue->id, 3);
	assert_int_equal(queue->delivery, XDPD_EXCLUSIVE);
	assert_int_equal(queue->bind, XDPD_BIND_AUTO);
	assert_int_equal(queue->frames, 4096);
	assert_int_equal(queue->frame_size, 4096);
	assert_int_equal(queue->headroom, 0);
	assert_int_equal(queue->rings.rx, 2048);
	assert_int_equal(queue->rings.tx, 2048);
	assert_int_equal(queue->rings.fill, 2048);
	assert_int_equal(queue->rings.completion, 2048);
	assert_int_equal(queue->handover, CONFIG_HANDOVER_AUTO);
	assert_true(queue->attach.transmit);
	assert_false(queue->attach.who.anyone);
	assert_int_equal(queue->attach.who.n_uids, 0);
	assert_int_equal(config->interfaces[0].mode, XDPD_MODE_AUTO);
	assert_int_equal(config->interfaces[0].bind, XDPD_BIND_AUTO);
	assert_null(config_find_queue(&config->interfaces[0], 2));
	config_free(config);
}

static void another_program_is_replaced_only_where_the_config_says_so(void **state)
{
	struct config *config = parse("interfaces: [{ name: eth0 }, { name: eth1, replace: true }, "
				      "{ name: eth2, replace: false }]");

	(void)state;
	assert_false(config->interfaces[0].replace);
	assert_true(config->interfaces[1].replace);
	assert_false(config->interfaces[2].replace);
	config_free(config);
	assert_refused("interfaces: [{ name: eth0, replace: always }]",
		       "test:1:37: `replace` is `always`, expected `true` or `false`\n");
}

static void every_key_is_taken_over(void **state)
{
	size_t length;
	cleanup_free char *text =
		read_whole("tests/unit/config_examples/good/everything.yaml", &length);
	struct config *config = parse(text);
	const struct config_interface *eth0 = config_find_interface(config, "eth0");
	const struct config_interface *wlan = config_find_interface(config, "wlan-0.12@x");
	const struct config_queue *queue;
	const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&config->metrics.address;

	(void)state;
	assert_string_equal(config->source, text);
	assert_string_equal(config->socket_path, "/run/xdpd/other.sock");
	assert_int_equal(config->socket_mode, 0660);
	assert_int_equal(config->admin.n_uids, 2);
	assert_int_equal(config->admin.uids[1], 1234);
	assert_int_equal(config->admin.n_gids, 1);
	assert_int_equal(address->sin6_family, AF_INET6);
	assert_int_equal(ntohs(address->sin6_port), 9999);
	assert_memory_equal(&address->sin6_addr, &in6addr_loopback, 16);
	assert_string_equal(config->metrics.text, "[::1]:9999");

	assert_int_equal(config->n_interfaces, 3);
	assert_int_equal(eth0->mode, XDPD_MODE_NATIVE);
	assert_int_equal(eth0->bind, XDPD_BIND_COPY);
	assert_int_equal(eth0->n_queues, 6);
	for (uint32_t i = 1; i < eth0->n_queues; i++)
		assert_true(eth0->queues[i - 1].id < eth0->queues[i].id);
	queue = config_find_queue(eth0, 2);
	assert_int_equal(queue->bind, XDPD_BIND_COPY);
	assert_int_equal(queue->frames, 8192);
	assert_int_equal(queue->frame_size, 2048);
	assert_int_equal(queue->headroom, 128);
	assert_int_equal(queue->rings.rx, 1024);
	assert_int_equal(queue->rings.tx, 512);
	assert_int_equal(queue->rings.fill, 4096);
	assert_int_equal(queue->rings.completion, 256);
	assert_true(queue->attach.who.anyone);
	assert_int_equal(queue->attach.who.n_uids, 0);
	assert_int_equal(queue->attach.who.n_gids, 0);
	assert_false(queue->attach.transmit);
	queue = config_find_queue(eth0, 9);
	assert_int_equal(queue->bind, XDPD_BIND_ZERO_COPY);
	assert_int_equal(queue->handover, CONFIG_HANDOVER_BOUND);
	assert_int_equal(queue->attach.who.uids[0], 1000);
	assert_int_equal(queue->attach.who.gids[0], 2000);
	assert_true(queue->attach.transmit);

	assert_true(wlan->all);
	assert_int_equal(wlan->n_queues, 0);
	queue = config_find_queue(wlan, 77);
	assert_ptr_equal(queue, &wlan->all_queues);
	assert_int_equal(queue->attach.who.n_uids, 0);
	assert_int_equal(queue->attach.who.gids[0], 3000);
	assert_null(config_find_interface(config, "eth1"));
	config_free(config);
}

#define ATTACH(all, own)                    \
	"access: { attach: { " all " } }\n" \
	"interfaces: [{ name: eth0, queues: [{ id: 0, attach: { " own " } }, { id: 1 }] }]"

/* Who may attach to queue 0; a user or group of 0 stands for none. */
static void assert_attach(const char *text, bool anyone, uid_t user, gid_t group, bool transmit)
{
	struct config *config = parse(text);
	const struct attach_access *attach = &config->interfaces[0].queues[0].attach;

	assert_int_equal(attach->who.anyone, anyone);
	assert_int_equal(attach->who.n_uids, user ? 1 : 0);
	if (user)
		assert_int_equal(attach->who.uids[0], user);
	assert_int_equal(attach->who.n_gids, group ? 1 : 0);
	if (group)
		assert_int_equal(attach->who.gids[0], group);
	assert_int_equal(attach->transmit, transmit);
	config_free(config);
}

static void a_queue_for_groups_is_not_for_the_users_of_all_queues(void **state)
{
	(void)state;
	assert_attach(ATTACH("users: ['*']", "groups: [7]"), false, 0, 7, true);
	assert_attach(ATTACH("users: [5], groups: [6]", "groups: [7]"), false, 0, 7, true);
	assert_attach(ATTACH("users: [5], transmit: false", "groups: [7]"), false, 0, 7, false);
	assert_attach(ATTACH("users: ['*']", "groups: []"), false, 0, 0, true);
}

static void a_queue_for_users_is_not_for_the_groups_of_all_queues(void **state)
{
	(void)state;
	assert_attach(ATTACH("groups: [6]", "users: [8]"), false, 8, 0, true);
	assert_attach(ATTACH("users: ['*'], groups: [6]", "users: [8]"), false, 8, 0, true);
	assert_attach(ATTACH("groups: [6], transmit: false", "users: ['*']"), true, 0, 0, false);
	assert_attach(ATTACH("groups: [6]", "users:"), false, 0, 0, true);
}

static void a_queue_for_users_and_groups_is_for_these_alone(void **state)
{
	(void)state;
	assert_attach(ATTACH("users: ['*'], groups: [6]", "users: [8], groups: [7]"), false, 8, 7,
		      true);
	assert_attach(ATTACH("users: [5]", "users: ['*'], groups: [7], transmit: false"), true, 0,
		      7, false);
}

static void a_queue_with_transmit_alone_is_for_those_of_all_queues(void **state)
{
	(void)state;
	assert_attach(ATTACH("users: [5], groups: [6]", "transmit: false"), false, 5, 6, false);
	assert_attach(ATTACH("users: ['*'], transmit: false", "transmit: true"), true, 0, 0, true);
	assert_attach(ATTACH("users: ['*'], groups: [6]", ""), true, 0, 6, true);
}

static void what_one_queue_says_of_attach_is_not_said_of_the_next(void **state)
{
	struct config *config = parse(ATTACH("users: [5], groups: [6]", "groups: [7]"));
	const struct access_list *who = &config->interfaces[0].queues[1].attach.who;

	(void)state;
	assert_int_equal(who->n_uids, 1);
	assert_int_equal(who->uids[0], 5);
	assert_int_equal(who->n_gids, 1);
	assert_int_equal(who->gids[0], 6);
	config_free(config);
}

static void metrics_can_be_off_or_on_a_unix_socket(void **state)
{
	struct config *config = parse("metrics: { listen: off }");

	(void)state;
	assert_false(config->metrics.on);
	assert_string_equal(config->metrics.text, "off");
	config_free(config);
	config = parse("metrics: { listen: unix:/run/xdpd/metrics.sock }");
	assert_true(config->metrics.on);
	assert_int_equal(config->metrics.address.ss_family, AF_UNIX);
	assert_string_equal(((struct sockaddr_un *)&config->metrics.address)->sun_path,
			    "/run/xdpd/metrics.sock");
	config_free(config);
}

static void a_listen_address_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		"9820",		":9820",      "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536",
		"1.2.3:1",	"[::1]",      "::1:9820",  "[::1:9820",	  "unix:",
		"unix:x",	"127.0.0.1:", "[]:9820",   "[1.2.3.4]:5", "127.0.0.1:+1",
		"127.0.0.1:1 ", "*:9820",     "",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[128], expected[256];

		snprintf(text, sizeof(text), "metrics: { listen: \"%s\" }", bad[i]);
		snprintf(expected, sizeof(expected),
			 "test:1:20: `listen` is `%s`, expected an address with its port as in "
			 "127.0.0.1:9820 or \"[::1]:9820\", unix:/path or off\n",
			 bad[i]);
		assert_refused(text, expected);
	}
}

static void a_unix_path_fits_or_is_refused(void **state)
{
	char text[512];
	struct config *config;

	(void)state;
	snprintf(text, sizeof(text), "metrics: { listen: unix:/%0106d }\nsocket: { path: /%0106d }",
		 0, 0);
	config = parse(text);
	assert_int_equal(strlen(config->socket_path), 107);
	assert_int_equal(strlen(config->metrics.text), 112);
	config_free(config);
	snprintf(text, sizeof(text), "metrics: { listen: unix:/%0107d }\nsocket: { path: /%0107d }",
		 0, 0);
	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), -EINVAL);
	assert_int_equal(errors.n_lines, 2);
}

/* ---- limits ---- */

static void more_frames_than_memory_are_refused(void **state)
{
	const char *text = "interfaces:\n"
			   "  - name: eth0\n"
			   "    queues:\n"
			   "      - { id: 0, frames: 4294967295 }\n";
	struct config *config;

	(void)state;
	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), -EINVAL);
	assert_int_equal(errors.n_lines, 1);
	assert_non_null(strstr(errors.lines[0],
			       "test:4:26: 4294967295 frames of 4096 bytes are "
			       "16777215 MiB, expected less than this machine's memory"));
}

static void the_frames_of_all_queues_together_fit_the_memory_or_are_refused(void **state)
{
	uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4096;
	char text[256];
	struct config *config;

	(void)state;
	snprintf(text, sizeof(text),
		 "interfaces:\n  - name: eth0\n    queues:\n      - { id: 0, frames: %u }\n"
		 "      - { id: 1, frames: %u }\n      - { id: 2, frames: %u }\n",
		 (unsigned)(pages / 2), (unsigned)(pages / 2), (unsigned)(pages / 2));
	assert_int_equal(config_parse("test", text, strlen(text), &config, &errors), -EINVAL);
	assert_int_equal(errors.n_lines, 1);
	assert_non_null(
		strstr(errors.lines[0], "test:6:26: with these, the frames of all queues are "));
}

static void too_many_queues_are_refused(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *config;

	(void)state;
	fprintf(out, "interfaces:\n");
	for (int i = 0; i < 17; i++)
		fprintf(out,
			"- { name: e%d, queues: [{ id: 0-4095, frames: 2, frame_size: 2048 }] }\n",
			i);
	fclose(out);
	assert_int_equal(config_parse("test", text, size, &config, &errors), -EINVAL);
	assert_int_equal(errors.n_lines, 1);
	assert_string_equal(errors.lines[0],
			    "test:18:25: with these the interfaces have 69632 queues, "
			    "expected at most 65536");
	free(text);
}

static void a_file_of_over_a_mebibyte_is_refused(void **state)
{
	const size_t length = 1024 * 1024 + 1;
	cleanup_free char *text = malloc(length);
	struct config *config;

	(void)state;
	memset(text, '\n', length);
	assert_int_equal(config_parse("test", text, length, &config, &errors), -EINVAL);
	assert_string_equal(errors.lines[0], "test: more than 1048576 bytes, expected a config");
	config_errors_clear(&errors);
	assert_int_equal(config_parse("test", text, length - 1, &config, &errors), 0);
	config_free(config);
}

static void aliases_that_expand_without_end_are_refused(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *config;

	(void)state;
	fprintf(out, "interfaces:\n- name: e\n  queues:\n  - id: &ids [0");
	for (int i = 1; i < 2000; i++)
		fprintf(out, ", %d", i);
	fprintf(out, "]\n");
	for (int i = 1; i < 2000; i++)
		fprintf(out, "  - { id: *ids }\n");
	fclose(out);
	assert_int_equal(config_parse("test", text, size, &config, &errors), -EINVAL);
	free(text);
}

static void brackets_without_end_are_refused_soon(void **state)
{
	const size_t length = 200000;
	cleanup_free char *text = malloc(length);
	struct config *config;

	(void)state;
	memset(text, '[', length);
	assert_int_equal(config_parse("test", text, length, &config, &errors), -EINVAL);
	assert_int_equal(errors.n_lines, 1);
}

/* ---- comparing ---- */

static void a_socket_is_the_same_when_only_who_may_attach_differs(void **state)
{
	struct config *config = parse("interfaces:\n"
				      "- name: eth0\n"
				      "  queues:\n"
				      "  - { id: 0 }\n"
				      "  - { id: 1 }\n"
				      "  - { id: 2, attach: { users: [5, 7] } }\n"
				      "  - { id: 3, attach: { users: [7, 5, 7] } }\n"
				      "  - { id: 4, attach: { transmit: false } }\n"
				      "  - { id: 5, handover: bound }\n"
				      "  - { id: 6, bind: copy }\n"
				      "  - { id: 7, frames: 2 }\n"
				      "  - { id: 8, frame_size: 2048 }\n"
				      "  - { id: 9, headroom: 1 }\n"
				      "  - { id: 10, rings: { rx: 1 } }\n"
				      "  - { id: 11, rings: { tx: 1 } }\n"
				      "  - { id: 12, rings: { fill: 1 } }\n"
				      "  - { id: 13, rings: { completion: 1 } }\n");
	const struct config_queue *queues = config->interfaces[0].queues;

	(void)state;
	assert_true(config_queue_equal(&queues[0], &queues[1]));
	assert_true(config_queue_same_socket(&queues[0], &queues[2]));
	assert_false(config_queue_equal(&queues[0], &queues[2]));
	assert_true(config_queue_equal(&queues[2], &queues[3]));
	for (size_t i = 4; i < config->interfaces[0].n_queues; i++)
		assert_false(config_queue_same_socket(&queues[0], &queues[i]));
	config_free(config);
}

static void access_is_by_user_or_by_any_group_or_for_anyone(void **state)
{
	uid_t uids[] = {10, 20};
	gid_t gids[] = {100, 200}, mine[] = {50, 200};
	struct access_list list = {.uids = uids, .n_uids = 2, .gids = gids, .n_gids = 2};
	struct access_list nobody = {}, anyone = {.anyone = true};

	(void)state;
	assert_true(access_allows(&list, 20, NULL, 0));
	assert_true(access_allows(&list, 1, mine, 2));
	assert_false(access_allows(&list, 1, mine, 1));
	assert_false(access_allows(&list, 100, NULL, 0));
	assert_false(access_allows(&nobody, 0, mine, 2));
	assert_true(access_allows(&anyone, 12345, NULL, 0));
}

/* ---- ids ---- */

static void assert_ids(const char *text, size_t n, const uint32_t *expected)
{
	cleanup_free uint32_t *ids = NULL;
	size_t n_ids;
	bool all;

	assert_int_equal(config_parse_ids(text, &ids, &n_ids, &all), 0);
	assert_false(all);
	assert_int_equal(n_ids, n);
	assert_memory_equal(ids, expected, n * sizeof(*ids));
}

static void ids_are_numbers_ranges_and_lists(void **state)
{
	cleanup_free uint32_t *ids = NULL;
	size_t n;
	bool all = false;

	(void)state;
	assert_ids("3", 1, (uint32_t[]){3});
	assert_ids("0-3", 4, (uint32_t[]){0, 1, 2, 3});
	assert_ids(" [ 2, 0 ] ", 2, (uint32_t[]){0, 2});
	assert_ids("4-7,0,2,5-6", 6, (uint32_t[]){0, 2, 4, 5, 6, 7});
	assert_ids("4095", 1, (uint32_t[]){4095});
	assert_ids("7-7", 1, (uint32_t[]){7});
	assert_int_equal(config_parse_ids(" all ", &ids, &n, &all), 0);
	assert_true(all);
	assert_int_equal(n, 0);
}

static void ids_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"",	"-1", "1-",  "3-1", "1,,2",  "1,",
					  ",1", "a",  "0x1", "1 2", "all,1", "allx",
					  "[1", "1]", "[]",  "[]]", "1-2-3", "1;2"};
	uint32_t *ids = (uint32_t *)&errors;
	size_t n = 99;
	bool all = true;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(config_parse_ids(bad[i], &ids, &n, &all), -EINVAL);
	assert_int_equal(config_parse_ids("4096", &ids, &n, &all), -ERANGE);
	assert_int_equal(config_parse_ids("0-99999999999999999999", &ids, &n, &all), -ERANGE);
	assert_ptr_equal(ids, &errors);
	assert_int_equal(n, 99);
}

/* ---- files ---- */

static char folder[] = "/tmp/xdpd-config-test.XXXXXX";
static char path[128], link_path[128];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/xdpd.yaml", folder);
	snprintf(link_path, sizeof(link_path), "%s/link.yaml", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	unlink(link_path);
	if (rmdir(folder) < 0)
		print_error("%s is not empty\n", folder);
	return clear_errors(state);
}

static void write_text(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void a_file_that_cannot_be_read_is_an_error_that_says_why(void **state)
{
	struct config *config;
	char expected[256];

	(void)state;
	assert_int_equal(config_load(path, &config, &errors), -ENOENT);
	assert_int_equal(config_load(folder, &config, &errors), -EISDIR);
	snprintf(expected, sizeof(expected), "%s: can't be read (No such file or directory)", path);
	assert_string_equal(errors.lines[0], expected);
	snprintf(expected, sizeof(expected), "%s: can't be read (Is a directory)", folder);
	assert_string_equal(errors.lines[1], expected);
}

static void a_loaded_file_says_its_name_in_errors(void **state)
{
	struct config *config;
	char expected[256];

	(void)state;
	write_text("metrics: off\n");
	assert_int_equal(config_load(path, &config, &errors), -EINVAL);
	snprintf(expected, sizeof(expected),
		 "%s:1:10: `metrics` is `off`, expected a mapping with `listen`", path);
	assert_string_equal(errors.lines[0], expected);
}

static void saving_replaces_the_file_and_keeps_its_mode_and_owner(void **state)
{
	cleanup_free char *text = NULL;
	struct stat before, after;
	size_t length;

	(void)state;
	write_text("old");
	assert_int_equal(chmod(path, 0640), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, 12, 34), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(config_save(path, "new text\n"), 0);
	assert_int_equal(stat(path, &after), 0);
	text = read_whole(path, &length);
	assert_string_equal(text, "new text\n");
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_int_equal(after.st_gid, before.st_gid);
	assert_int_not_equal(after.st_ino, before.st_ino);
}

static void saving_through_a_symlink_keeps_the_link(void **state)
{
	cleanup_free char *text = NULL;
	struct stat status;
	size_t length;

	(void)state;
	write_text("old");
	assert_int_equal(symlink("xdpd.yaml", link_path), 0);
	assert_int_equal(config_save(link_path, "new"), 0);
	assert_int_equal(lstat(link_path, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	text = read_whole(path, &length);
	assert_string_equal(text, "new");
}

static void saving_what_is_no_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(config_save(path, "x"), -ENOENT);
	assert_int_equal(config_save(folder, "x"), -EINVAL);
	assert_int_equal(config_save("/dev/null", "x"), -EINVAL);
}

#define TEST(name)	cmocka_unit_test_teardown(name, clear_errors)
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_examples_are_accepted),
		TEST(bad_examples_are_refused_with_their_messages),
		TEST(the_installed_sample_has_the_defaults),
		TEST(the_example_in_the_sample_is_accepted_without_its_comment_signs),
		TEST(an_empty_file_means_the_defaults),
		TEST(a_queue_has_the_defaults_for_what_is_not_given),
		TEST(another_program_is_replaced_only_where_the_config_says_so),
		TEST(every_key_is_taken_over),
		TEST(a_queue_for_groups_is_not_for_the_users_of_all_queues),
		TEST(a_queue_for_users_is_not_for_the_groups_of_all_queues),
		TEST(a_queue_for_users_and_groups_is_for_these_alone),
		TEST(a_queue_with_transmit_alone_is_for_those_of_all_queues),
		TEST(what_one_queue_says_of_attach_is_not_said_of_the_next),
		TEST(metrics_can_be_off_or_on_a_unix_socket),
		TEST(a_listen_address_that_is_none_is_refused),
		TEST(a_unix_path_fits_or_is_refused),
		TEST(more_frames_than_memory_are_refused),
		TEST(the_frames_of_all_queues_together_fit_the_memory_or_are_refused),
		TEST(too_many_queues_are_refused),
		TEST(a_file_of_over_a_mebibyte_is_refused),
		TEST(aliases_that_expand_without_end_are_refused),
		TEST(brackets_without_end_are_refused_soon),
		TEST(a_socket_is_the_same_when_only_who_may_attach_differs),
		TEST(access_is_by_user_or_by_any_group_or_for_anyone),
		TEST(ids_are_numbers_ranges_and_lists),
		TEST(ids_that_are_none_are_refused),
		FILE_TEST(a_file_that_cannot_be_read_is_an_error_that_says_why),
		FILE_TEST(a_loaded_file_says_its_name_in_errors),
		FILE_TEST(saving_replaces_the_file_and_keeps_its_mode_and_owner),
		FILE_TEST(saving_through_a_symlink_keeps_the_link),
		FILE_TEST(saving_what_is_no_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

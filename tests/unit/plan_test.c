// SPDX-License-Identifier: BSD-2-Clause
/* The plan, without a kernel: wanted as YAML, actual as structs, the actions as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "daemon/plan.h"

static struct config *parse(const char *yaml)
{
	struct config_errors errors = {};
	struct config *config = NULL;

	if (config_parse("test", yaml, strlen(yaml), &config, &errors) < 0)
		fail_msg("%s", errors.n_lines ? errors.lines[0] : "no memory");
	return config;
}

/* "attach program eth0; open queue eth0 1; " */
static char *plan_text(const struct config *wanted, const struct plan_interface *interfaces,
		       size_t n)
{
	struct plan plan;
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_int_equal(plan_diff(&plan, wanted, interfaces, n), 0);
	for (size_t i = 0; i < plan.n_actions; i++) {
		const struct plan_action *action = &plan.actions[i];

		fprintf(stream, "%s %s", plan_kind_names[action->kind], action->device);
		if (strstr(plan_kind_names[action->kind], "queue"))
			fprintf(stream, " %u", action->queue);
		fputs("; ", stream);
	}
	fclose(stream);
	plan_clear(&plan);
	return text;
}

static void expect(const struct config *wanted, const struct plan_interface *interfaces, size_t n,
		   const char *expected)
{
	char *text = plan_text(wanted, interfaces, n);

	assert_string_equal(text, expected);
	free(text);
}

#define TWO_QUEUES "interfaces: [{ name: eth0, queues: [{ id: 0-1, frames: 64 }] }]"
#define ALL_QUEUES "interfaces: [{ name: eth0, queues: [{ id: all, frames: 64 }] }]"
#define NOTHING	   "interfaces: []"

/* eth0 as the daemon keeps it once TWO_QUEUES is carried out. */
struct kept {
	struct config *config;
	struct plan_queue queues[4];
	struct plan_interface interface;
};

static struct kept keep(const char *yaml, size_t n_queues)
{
	struct kept kept = {.config = parse(yaml)};

	kept.interface = (struct plan_interface){
		.name = "eth0",
		.config = &kept.config->interfaces[0],
		.ifindex = 7,
		.channels = 4,
		.program_ifindex = 7,
		.n_queues = n_queues,
	};
	for (uint32_t i = 0; i < n_queues; i++)
		kept.queues[i] = (struct plan_queue){
			.id = i, .settings = config_find_queue(kept.interface.config, i)};
	return kept;
}

static void expect_change(const char *before, size_t n_queues, const char *after,
			  const char *expected)
{
	struct kept kept = keep(before, n_queues);
	struct config *wanted = parse(after);

	kept.interface.queues = kept.queues;
	expect(wanted, &kept.interface, 1, expected);
	config_free(wanted);
	config_free(kept.config);
}

static void at_boot_the_program_comes_before_its_queues(void **state)
{
	struct config *wanted = parse(TWO_QUEUES);
	struct plan_interface eth0 = {.name = "eth0", .ifindex = 7, .channels = 4};

	(void)state;
	expect(wanted, &eth0, 1,
	       "add interface eth0; attach program eth0; add queue eth0 0; open queue eth0 0; "
	       "add queue eth0 1; open queue eth0 1; ");
	config_free(wanted);
}

static void an_absent_interface_is_kept_and_waited_for(void **state)
{
	struct config *wanted = parse(TWO_QUEUES);
	struct plan_interface eth0 = {.name = "eth0"};

	(void)state;
	expect(wanted, &eth0, 1, "add interface eth0; add queue eth0 0; add queue eth0 1; ");
	config_free(wanted);
}

static void what_did_not_change_is_in_no_action(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2, TWO_QUEUES, "");
	expect_change(ALL_QUEUES, 4, ALL_QUEUES, "");
}

static void an_added_queue_leaves_its_neighbours_alone(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2,
		      "interfaces: [{ name: eth0, queues: [{ id: 0-2, frames: 64 }] }]",
		      "add queue eth0 2; open queue eth0 2; ");
}

static void a_removed_queue_leaves_its_neighbours_alone(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2,
		      "interfaces: [{ name: eth0, queues: [{ id: 1, frames: 64 }] }]",
		      "remove queue eth0 0; ");
}

static void changed_settings_reopen_that_queue_alone(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2,
		      "interfaces: [{ name: eth0, queues: [{ id: 0, frames: 64 }, { id: 1, frames: "
		      "128 }] }]",
		      "close queue eth0 1; open queue eth0 1; ");
}

static void changed_access_touches_nothing(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2,
		      "interfaces: [{ name: eth0, queues: [{ id: 0-1, frames: 64, attach: { users: "
		      "[root] } }] }]",
		      "");
}

static void a_changed_mode_replaces_program_and_queues(void **state)
{
	(void)state;
	expect_change(
		TWO_QUEUES, 2,
		"interfaces: [{ name: eth0, mode: generic, queues: [{ id: 0-1, frames: 64 }] }]",
		"close queue eth0 0; close queue eth0 1; detach program eth0; attach program eth0; "
		"open queue eth0 0; open queue eth0 1; ");
}

static void an_interface_that_is_not_wanted_any_more_is_forgotten(void **state)
{
	(void)state;
	expect_change(TWO_QUEUES, 2, NOTHING,
		      "remove queue eth0 0; remove queue eth0 1; detach program eth0; remove "
		      "interface eth0; ");
}

static void an_interface_that_went_away_leaves_its_queues_waiting(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.ifindex = 0;
	kept.interface.channels = 0;
	expect(kept.config, &kept.interface, 1,
	       "close queue eth0 0; close queue eth0 1; detach program eth0; ");
	config_free(kept.config);
}

static void an_interface_that_came_back_with_another_ifindex_starts_over(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.ifindex = 8;
	expect(kept.config, &kept.interface, 1,
	       "close queue eth0 0; close queue eth0 1; detach program eth0; attach program eth0; "
	       "open queue eth0 0; open queue eth0 1; ");
	config_free(kept.config);
}

static void a_waiting_queue_is_opened_when_its_channel_exists(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.queues[1].waiting = true;
	kept.interface.channels = 1;
	expect(kept.config, &kept.interface, 1, "");
	kept.interface.channels = 2;
	expect(kept.config, &kept.interface, 1, "open queue eth0 1; ");
	config_free(kept.config);
}

static void a_queue_whose_channel_went_is_closed_and_stays_wanted(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.channels = 1;
	expect(kept.config, &kept.interface, 1, "close queue eth0 1; ");
	config_free(kept.config);
}

static void all_follows_the_channels(void **state)
{
	struct kept kept = keep(ALL_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.channels = 3;
	expect(kept.config, &kept.interface, 1, "add queue eth0 2; open queue eth0 2; ");
	kept.interface.channels = 1;
	expect(kept.config, &kept.interface, 1, "remove queue eth0 1; ");
	config_free(kept.config);
}

static void all_of_an_absent_interface_keeps_what_there_was(void **state)
{
	struct kept kept = keep(ALL_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.ifindex = 0;
	kept.interface.channels = 0;
	expect(kept.config, &kept.interface, 1,
	       "close queue eth0 0; close queue eth0 1; detach program eth0; ");
	config_free(kept.config);
}

static void what_failed_is_tried_again_only_when_things_have_changed(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	expect(kept.config, &kept.interface, 1, "");
	kept.queues[1].again = true;
	expect(kept.config, &kept.interface, 1, "open queue eth0 1; ");
	kept.interface.program_ifindex = 0;
	kept.queues[0].waiting = kept.queues[1].waiting = true;
	expect(kept.config, &kept.interface, 1,
	       "attach program eth0; open queue eth0 0; open queue eth0 1; ");
	config_free(kept.config);
}

static void a_lost_program_is_restored_and_its_queues_stay(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.program_lost = true;
	expect(kept.config, &kept.interface, 1, "restore program eth0; ");
	kept.interface.ifindex = 0;
	kept.interface.channels = 0;
	expect(kept.config, &kept.interface, 1,
	       "close queue eth0 0; close queue eth0 1; detach program eth0; ");
	config_free(kept.config);
}

static void a_lost_program_of_another_mode_starts_over(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 1);
	struct config *wanted = parse(
		"interfaces: [{ name: eth0, mode: generic, queues: [{ id: 0, frames: 64 }] }]");

	(void)state;
	kept.interface.queues = kept.queues;
	kept.interface.program_lost = true;
	expect(wanted, &kept.interface, 1,
	       "close queue eth0 0; detach program eth0; attach program eth0; open queue eth0 0; ");
	config_free(wanted);
	config_free(kept.config);
}

static void a_queue_whose_socket_died_is_opened_anew_alone(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);

	(void)state;
	kept.interface.queues = kept.queues;
	kept.queues[1].dead = true;
	expect(kept.config, &kept.interface, 1, "close queue eth0 1; open queue eth0 1; ");
	config_free(kept.config);
}

static void that_others_are_replaced_is_no_action_by_itself(void **state)
{
	(void)state;
	expect_change(
		TWO_QUEUES, 2,
		"interfaces: [{ name: eth0, replace: true, queues: [{ id: 0-1, frames: 64 }] }]",
		"");
}

static void all_that_ends_comes_before_all_that_begins(void **state)
{
	struct kept kept = keep(TWO_QUEUES, 2);
	struct config *wanted =
		parse("interfaces: [{ name: eth1, queues: [{ id: 0, frames: 64 }] }]");
	struct plan_interface interfaces[2];

	(void)state;
	kept.interface.queues = kept.queues;
	interfaces[0] = (struct plan_interface){.name = "eth1", .ifindex = 9, .channels = 1};
	interfaces[1] = kept.interface;
	expect(wanted, interfaces, 2,
	       "remove queue eth0 0; remove queue eth0 1; detach program eth0; remove interface "
	       "eth0; "
	       "add interface eth1; attach program eth1; add queue eth1 0; open queue eth1 0; ");
	config_free(wanted);
	config_free(kept.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_boot_the_program_comes_before_its_queues),
		cmocka_unit_test(an_absent_interface_is_kept_and_waited_for),
		cmocka_unit_test(what_did_not_change_is_in_no_action),
		cmocka_unit_test(an_added_queue_leaves_its_neighbours_alone),
		cmocka_unit_test(a_removed_queue_leaves_its_neighbours_alone),
		cmocka_unit_test(changed_settings_reopen_that_queue_alone),
		cmocka_unit_test(changed_access_touches_nothing),
		cmocka_unit_test(a_changed_mode_replaces_program_and_queues),
		cmocka_unit_test(an_interface_that_is_not_wanted_any_more_is_forgotten),
		cmocka_unit_test(an_interface_that_went_away_leaves_its_queues_waiting),
		cmocka_unit_test(an_interface_that_came_back_with_another_ifindex_starts_over),
		cmocka_unit_test(a_waiting_queue_is_opened_when_its_channel_exists),
		cmocka_unit_test(a_queue_whose_channel_went_is_closed_and_stays_wanted),
		cmocka_unit_test(all_follows_the_channels),
		cmocka_unit_test(all_of_an_absent_interface_keeps_what_there_was),
		cmocka_unit_test(what_failed_is_tried_again_only_when_things_have_changed),
		cmocka_unit_test(a_lost_program_is_restored_and_its_queues_stay),
		cmocka_unit_test(a_lost_program_of_another_mode_starts_over),
		cmocka_unit_test(a_queue_whose_socket_died_is_opened_anew_alone),
		cmocka_unit_test(that_others_are_replaced_is_no_action_by_itself),
		cmocka_unit_test(all_that_ends_comes_before_all_that_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
